"""The downloads of castle.lock as files: <root>/<host>/<path>, plus artifacts.json."""

import gzip
import json
import os
import pathlib
import shutil
import tarfile
import tempfile
import urllib.parse

from layers import digest_of


def place(root, artifact):
    url = urllib.parse.urlsplit(artifact.url)
    return root / url.netloc / url.path.lstrip("/")


def put(root, artifact, binaries: pathlib.Path):
    """Write one artifact (atomically) and answer its line of castle.lock."""
    target = place(root, artifact)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    os.close(handle)
    try:
        if artifact.unpack:
            archive(temporary, artifact, binaries)
        else:
            os.unlink(temporary)
            link(binaries / artifact.files[""], temporary)
        os.chmod(temporary, 0o755 if not artifact.unpack else 0o644)
        os.replace(temporary, target)
    finally:
        pathlib.Path(temporary).unlink(missing_ok=True)
    return {
        "name": artifact.name,
        "url": artifact.url,
        "sha256": digest_of(target).removeprefix("sha256:"),
        "size": target.stat().st_size,
        "dest": artifact.dest,
        "mode": artifact.mode,
        "unpack": artifact.unpack,
    }


def link(source, target):
    """A hard link costs nothing; a copy is right where links cannot go."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)


def archive(target, artifact, binaries):
    with open(target, "wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, binary in sorted(artifact.files.items()):
                entry = tarfile.TarInfo(name)
                entry.mode, entry.size = 0o755, os.stat(binaries / binary).st_size
                with open(binaries / binary, "rb") as content:
                    tar.addfile(entry, content)


def remember(path, lines):
    """Merge lines into a JSON file keyed by name; readers never see half of it."""
    known = json.loads(path.read_text()) if path.exists() else {}
    known.update(lines)
    write(path, known)


def write(path, content):
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, path)
