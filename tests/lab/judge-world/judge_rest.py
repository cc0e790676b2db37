"""The other inhabitants, by their usual clients: git, restic, curl, and a visitor."""
import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from datetime import datetime, timezone

from judge import KEYS, WORK, check, finish, raises

CA = os.path.join(WORK, "ca.pem")
TMP = tempfile.mkdtemp(prefix="judge-world-")
QUIET = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_SSL_CAINFO": CA, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ASKPASS": "true"}
RESTIC = {
    **os.environ,
    "RESTIC_REPOSITORY": "s3:https://s3.eu-central-1.amazonaws.com/rossi-backups/restic",
    "RESTIC_PASSWORD": KEYS["restic_password"],
    "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
    "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
    "AWS_DEFAULT_REGION": "eu-central-1",
    "RESTIC_CACHE_DIR": os.path.join(TMP, "cache"),
}


def run(*words, env=QUIET):
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)


READY = json.load(open(os.path.join(WORK, "ready.json")))


def when(part):
    """Only where the world has this part: it says so itself when it starts."""
    if READY[part]:
        return check
    return lambda test: print(f"--    not in this world ({part}): {test.__name__.replace('_', ' ')}")


@when("commit")
def git_clones_with_the_token():
    done = run("git", "clone", "-q", f"https://git:{KEYS['github_token']}@github.com/rossi/castle.git", os.path.join(TMP, "castle"))
    assert done.returncode == 0, done.stderr
    assert os.path.isdir(os.path.join(TMP, "castle", "clusters", "rossi")), os.listdir(os.path.join(TMP, "castle"))


@when("commit")
def git_fetches_one_commit_by_its_number():
    commit = run("git", "-C", os.path.join(TMP, "castle"), "rev-parse", "HEAD").stdout.strip()
    fresh = os.path.join(TMP, "fresh")
    run("git", "init", "-q", fresh)
    done = run("git", "-C", fresh, "fetch", "-q", "--depth=1", f"https://git:{KEYS['github_token']}@github.com/rossi/castle", commit)
    assert done.returncode == 0, done.stderr


@when("commit")
def git_may_not_push():
    clone = os.path.join(TMP, "castle")
    run("git", "-C", clone, "-c", "user.name=j", "-c", "user.email=j@j", "commit", "-q", "--allow-empty", "-m", "no")
    done = run("git", "-C", clone, "push", "origin", "main")
    assert done.returncode != 0, "a push went through"


@check
def git_without_the_token_is_asked_for_one():
    done = run("git", "ls-remote", "https://github.com/rossi/castle.git")
    assert done.returncode != 0 and ("401" in done.stderr or "Authentication failed" in done.stderr or "could not read" in done.stderr), done.stderr
    error = raises(urllib.error.HTTPError, lambda: urllib.request.urlopen("https://github.com/rossi/castle.git/info/refs?service=git-upload-pack"))
    assert error.code == 401 and error.headers["www-authenticate"].startswith("Basic"), error.headers


@check
def restic_finds_one_snapshot_and_restores_the_site():
    done = run("restic", "--cacert", CA, "restore", "latest", "--verify", "--target", os.path.join(TMP, "r"), env=RESTIC)
    assert done.returncode == 0, done.stderr
    site = os.path.join(TMP, "r", "srv", "site")
    lines = open(os.path.join(site, "MANIFEST")).read().splitlines()
    assert len(lines) == 202
    for line in lines:
        digest, name = line.split("  ", 1)
        assert hashlib.sha256(open(os.path.join(site, name), "rb").read()).hexdigest() == digest, name


@check
def restic_finds_no_error_in_its_repository():
    done = run("restic", "--cacert", CA, "check", "--read-data", env=RESTIC)
    assert done.returncode == 0 and "no errors were found" in done.stdout, done.stdout + done.stderr


@check
def a_wrong_password_opens_nothing():
    assert run("restic", "--cacert", CA, "snapshots", env={**RESTIC, "RESTIC_PASSWORD": "wrong"}).returncode != 0


@check
def a_release_is_redirected_and_its_ranges_are_right():
    name = "/judge/tool/releases/download/v1/tool%2Bx.bin"
    answer = urllib.request.urlopen(f"https://github.com{name}")
    whole = answer.read()
    assert answer.url.startswith("https://release-assets.githubusercontent.com/") and whole == bytes(range(256)) * 16
    part = urllib.request.urlopen(urllib.request.Request(f"https://github.com{name}", headers={"Range": "bytes=10-19"}))
    assert part.status == 206 and part.read() == whole[10:20] and part.headers["content-range"] == "bytes 10-19/4096"


@check
def an_absent_file_is_a_404_and_no_path_leaves_the_folder():
    for path in ("/release/none", "/../../credentials.json", "/%2e%2e/%2e%2e/credentials.json"):
        done = run("curl", "-sS", "-L", "--path-as-is", "--cacert", CA, "-o", "/dev/null", "-w", "%{http_code}", f"https://dl.k8s.io{path}")
        assert done.stdout == "404", (path, done.stdout, done.stderr)


@check
def every_answer_says_the_time():
    for url in ("https://www.cloudflare.com/", "https://www.debian.org/"):
        said = parsedate_to_datetime(urllib.request.urlopen(url).headers["date"])
        assert abs((datetime.now(timezone.utc) - said).total_seconds()) < 3


@check
def amazon_says_which_address_a_caller_has():
    assert urllib.request.urlopen("https://checkip.amazonaws.com/").read() == b"203.0.113.91\n"


@check
def http_2_is_spoken_except_by_aws():
    for host, version in (("api.cloudflare.com", "2"), ("s3.eu-central-1.amazonaws.com", "1.1")):
        done = run("curl", "-sS", "--cacert", CA, "-o", "/dev/null", "-w", "%{http_version}", f"https://{host}/")
        assert done.stdout == version, (host, done.stdout, done.stderr)


@check
def another_ca_is_not_trusted_and_another_name_is_not_served():
    assert run("curl", "-sS", "https://github.com/", env={"PATH": os.environ["PATH"]}).returncode in (60, 77)
    assert run("curl", "-sS", "--cacert", CA, "--connect-to", "evil.example:443:203.0.113.10:443", "https://evil.example/").returncode != 0


@when("registry")
def the_registry_answers_under_all_its_names_and_takes_nothing():
    kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    for url in ("https://registry.k8s.io/v2/pause/manifests/3.10.2", "https://ghcr.io/v2/flannel-io/flannel/manifests/v0.28.4", "https://registry-1.docker.io/v2/library/busybox/manifests/latest"):
        answer = urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": kinds}))
        body = answer.read()
        assert answer.headers["docker-content-digest"] == "sha256:" + hashlib.sha256(body).hexdigest(), url
    push = urllib.request.Request("https://registry.k8s.io/v2/pause/blobs/uploads/", method="POST", data=b"")
    assert raises(urllib.error.HTTPError, lambda: urllib.request.urlopen(push)).code == 405


@check
def dhcp_offers_an_address_a_router_and_a_resolver_but_no_clock():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        sock.bind(("0.0.0.0", 68))
        sock.settimeout(10)
        mac = bytes([2, 0, 0, 0, 0, 99])
        discover = struct.pack(">BBBBIHH", 1, 1, 6, 0, 0x5EED, 0, 0x8000) + bytes(16) + mac + bytes(10 + 192)
        discover += b"\x63\x82\x53\x63" + bytes([53, 1, 1, 55, 5, 1, 3, 6, 42, 51, 255])
        sock.sendto(discover, ("255.255.255.255", 67))
        offer = sock.recv(2048)
    options, at = {}, 240
    while offer[at] != 255:
        options[offer[at]] = offer[at + 2 : at + 2 + offer[at + 1]]
        at += 2 + offer[at + 1]
    address = socket.inet_ntoa(offer[16:20])
    assert address.startswith("203.0.113.") and 100 <= int(address.split(".")[3]) <= 150, address
    assert socket.inet_ntoa(options[3]) == "203.0.113.1" and socket.inet_ntoa(options[6]) == "203.0.113.53" and 42 not in options, options


shutil.rmtree(TMP, ignore_errors=True)
finish()
