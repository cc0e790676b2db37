"""Writes down what Infisical's own clients for Python and Node send for a login and a listing: agent/secrets/tests/infisical-sdks.json.
Our client is held against it (`cargo test -p skykeep-secrets --test infisical`). Started by tests/lab/judge-world/record."""
import http.server
import importlib.metadata
import json
import os
import subprocess
import sys
import threading
import urllib.parse

from infisical_sdk import InfisicalSDKClient

SECRET = {
    "id": "5f1c0b5e-0000-4000-8000-000000000001", "_id": "5f1c0b5e-0000-4000-8000-000000000001", "workspace": "a-project", "environment": "prod",
    "version": 1, "type": "shared", "secretKey": "NAME", "secretValue": "its value", "secretValueHidden": False, "secretComment": "",
    "secretReminderNote": None, "secretReminderRepeatDays": None, "skipMultilineEncoding": False, "createdAt": "2026-11-01T08:00:00.000Z",
    "updatedAt": "2026-11-01T08:00:00.000Z", "isRotatedSecret": False, "rotationId": None, "secretPath": "/folder", "tags": [], "secretMetadata": [],
}
ANSWERS = {
    "POST": {"accessToken": "a-token", "expiresIn": 7200, "accessTokenMaxTTL": 2592000, "tokenType": "Bearer"},
    "GET": {"secrets": [SECRET], "imports": []},
}
NODE = """
const { InfisicalSDK } = require("@infisical/sdk");
(async () => {
  const client = new InfisicalSDK({ siteUrl: process.argv[1] });
  await client.auth().universalAuth.login({ clientId: "an-id", clientSecret: "a-secret" });
  const { secrets } = await client.secrets().listSecrets({ projectId: "a-project", environment: "prod", secretPath: "/folder", viewSecretValue: true });
  if (secrets[0].secretValue !== "its value") throw new Error("another value");
})().catch((error) => { console.error(error); process.exit(1); });
"""
seen = []


class Recorder(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urllib.parse.urlsplit(self.path)
        request = {"method": self.command, "path": url.path}
        if url.query:
            request["query"] = dict(sorted(urllib.parse.parse_qsl(url.query)))
        request["headers"] = {name: self.headers[name] for name in ("authorization", "content-type") if name in self.headers}
        if body:
            request["body"] = json.loads(body)
        seen.append(request)
        answer = json.dumps(ANSWERS[self.command]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET


def recorded(work):
    seen.clear()
    work()
    return list(seen)


def by_python():
    client = InfisicalSDKClient(host=here)
    client.auth.universal_auth.login(client_id="an-id", client_secret="a-secret")
    found = client.secrets.list_secrets(project_id="a-project", environment_slug="prod", secret_path="/folder")
    assert found.secrets[0].secretValue == "its value"


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
threading.Thread(target=server.serve_forever, daemon=True).start()
here = f"http://127.0.0.1:{server.server_port}"
node = os.environ["NODE_FOLDER"]
version = json.load(open(f"{node}/node_modules/@infisical/sdk/package.json"))["version"]
out = {
    "answers": ANSWERS,
    "clients": {
        f"infisicalsdk {importlib.metadata.version('infisicalsdk')} (Python)": recorded(by_python),
        f"@infisical/sdk {version} (Node)": recorded(lambda: subprocess.run(["node", "-e", NODE, here], cwd=node, check=True)),
    },
}
with open(sys.argv[1], "w") as file:
    json.dump(out, file, indent=1)
    file.write("\n")
