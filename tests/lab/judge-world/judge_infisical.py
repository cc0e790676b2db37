"""Infisical's own client for Python against the double; the v4 calls, which it does not know, by plain HTTP."""
import json
import urllib.error
import urllib.request

from infisical_sdk import InfisicalSDKClient
from infisical_sdk.infisical_requests import InfisicalError

from judge import KEYS, check, finish, raises

HOST, PROJECT = "https://eu.infisical.com", KEYS["infisical_project_id"]
WHERE = {"project_id": PROJECT, "environment_slug": "prod", "secret_path": "/skykeep"}
client = InfisicalSDKClient(host=HOST)


def call(path, token=None, body=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(HOST + path, data=data, headers={**headers, "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def login(secret=KEYS["infisical_client_secret"]):
    return call("/api/v1/auth/universal-auth/login", body={"clientId": KEYS["infisical_client_id"], "clientSecret": secret})


@check
def a_stranger_is_refused():
    raises(InfisicalError, lambda: client.secrets.list_secrets(**WHERE))
    status, body = call(f"/api/v4/secrets?projectId={PROJECT}&environment=prod")
    assert status == 401 and body["statusCode"] == 401, body


@check
def the_machine_identity_logs_in():
    client.auth.universal_auth.login(client_id=KEYS["infisical_client_id"], client_secret=KEYS["infisical_client_secret"])


@check
def all_secrets_are_listed_with_their_values():
    found = {secret.secretKey: secret.secretValue for secret in client.secrets.list_secrets(**WHERE).secrets}
    assert sorted(found) == sorted(
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "CLOUDFLARE_API_TOKEN", "RESTIC_PASSWORD", "BLOG_TLS_CRT", "BLOG_TLS_KEY",
         "HCLOUD_TOKEN", "PULSE_ACCESS_KEY_ID", "PULSE_SECRET_ACCESS_KEY", "SHOP_DATABASE_PASSWORD",
         "CLOUDFLARE_KEYS_TOKEN", "KEYS_ACCESS_KEY_ID", "KEYS_SECRET_ACCESS_KEY"]
    )
    assert found["GITHUB_TOKEN"] == KEYS["github_token"] and found["BLOG_TLS_CRT"].count("BEGIN CERTIFICATE") == 2


@check
def one_secret_is_read_by_name():
    assert client.secrets.get_secret_by_name(secret_name="RESTIC_PASSWORD", **WHERE).secretValue == KEYS["restic_password"]


@check
def an_absent_secret_is_an_error():
    raises(InfisicalError, lambda: client.secrets.get_secret_by_name(secret_name="NOTHING", **WHERE))


@check
def an_absent_folder_is_an_error():
    raises(InfisicalError, lambda: client.secrets.list_secrets(**{**WHERE, "secret_path": "/elsewhere"}))


@check
def the_fourth_version_says_the_same():
    token = login()[1]["accessToken"]
    status, body = call(f"/api/v4/secrets?projectId={PROJECT}&environment=prod&secretPath=/skykeep&viewSecretValue=true", token)
    assert status == 200 and len(body["secrets"]) == 14 and body["imports"] == []
    status, body = call(f"/api/v4/secrets/GITHUB_TOKEN?projectId={PROJECT}&environment=prod&secretPath=/skykeep", token)
    assert status == 200 and body["secret"]["secretValue"] == KEYS["github_token"] and not body["secret"]["secretValueHidden"]
    status, body = call(f"/api/v4/secrets/GITHUB_TOKEN?projectId={PROJECT}&environment=prod&secretPath=/skykeep&viewSecretValue=false", token)
    assert body["secret"]["secretValueHidden"] and body["secret"]["secretValue"] != KEYS["github_token"]


@check
def a_forged_token_is_forbidden():
    status, body = call(f"/api/v4/secrets?projectId={PROJECT}&environment=prod", "forged")
    assert status == 403 and body["error"] == "TokenError", body


@check
def the_two_hundred_and_first_read_of_a_minute_is_too_many():
    token = login()[1]["accessToken"]
    path = f"/api/v4/secrets/GITHUB_TOKEN?projectId={PROJECT}&environment=prod&secretPath=/skykeep"
    statuses = [call(path, token)[0] for _ in range(201)]
    assert statuses[0] == 200 and statuses[-1] == 429, (statuses[0], statuses[-1])


@check
def three_wrong_secrets_lock_the_identity():
    assert [login("0" * 64)[0] for _ in range(3)] == [401, 401, 401]
    status, body = login()
    assert status == 401 and "locked" in body["message"], body


finish()
