"""The real registry, run on loopback for as long as we push, and a small pusher."""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def split(name):
    """registry.k8s.io/pause:3 -> (pause, 3): one registry serves every host."""
    path, tag = name.split("/", 1)[1].rsplit(":", 1)
    return path, tag


@contextlib.contextmanager
def serve(binary, root):
    """Run the registry on a free port of loopback; stop it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        config = pathlib.Path(work, "config.yml")
        config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {json.dumps(str(root))}}}, "
            "maintenance: {uploadpurging: {enabled: false}}}\n"
            f"http: {{addr: 127.0.0.1:{port}}}\n"
        )
        log = pathlib.Path(work, "log")
        with log.open("w") as out:
            environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
            child = subprocess.Popen(
                [str(binary), "serve", str(config)], stdout=out, stderr=out, env=environment
            )
        try:
            deadline = time.monotonic() + 20
            while True:
                if child.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"the registry did not start:\n{log.read_text()}")
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                time.sleep(0.05)
            yield Pusher(port)
        finally:
            child.terminate()
            child.wait(10)


class Pusher:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def call(self, method, path, body=None, headers=None, want=()):
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status not in want:
            raise SystemExit(f"registry: {method} {path}: {answer.status} {text[:500]!r}")
        return answer

    def has(self, repo, digest):
        return self.call("HEAD", f"/v2/{repo}/blobs/{digest}", want=(200, 404)).status == 200

    def manifest_is(self, repo, tag, digest):
        answer = self.call("HEAD", f"/v2/{repo}/manifests/{tag}", headers={"Accept": MANIFEST},
                           want=(200, 404))
        return answer.getheader("Docker-Content-Digest") == digest

    def blob(self, repo, digest, source, size, seen_in=None):
        """Upload unless it is there; `seen_in` names a repository to take it from."""
        if self.has(repo, digest):
            return
        query = f"?mount={digest}&from={seen_in}" if seen_in else ""
        answer = self.call("POST", f"/v2/{repo}/blobs/uploads/{query}",
                           headers={"Content-Length": "0"}, want=(201, 202))
        if answer.status == 201:
            return
        place = urllib.parse.urlsplit(answer.getheader("Location"))
        target = f"{place.path}?{place.query}&digest={digest}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        if isinstance(source, bytes):
            self.call("PUT", target, source, headers, want=(201,))
        else:
            with open(source, "rb") as body:
                self.call("PUT", target, body, headers, want=(201,))

    def image(self, name, layers, config):
        """Push one image; `layers` are (digest, size, file or None, repository or None)."""
        repo, tag = split(name)
        for digest, size, path, seen_in in layers:
            self.blob(repo, digest, path, size, seen_in)
        config = {
            "created": "1970-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer[0] for layer in layers]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "skykeep lab"}] * len(layers),
        }
        data = json.dumps(config, sort_keys=True).encode()
        about = {"mediaType": CONFIG, "digest": digest_of(data), "size": len(data)}
        self.blob(repo, about["digest"], data, len(data))
        manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": about,
            "layers": [{"mediaType": LAYER, "digest": d, "size": s} for d, s, _, _ in layers],
        }, sort_keys=True).encode()
        digest = digest_of(manifest)
        if not self.manifest_is(repo, tag, digest):
            self.call("PUT", f"/v2/{repo}/manifests/{tag}", manifest, {"Content-Type": MANIFEST},
                      want=(201,))
        return digest


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()
