"""Layers: deterministic tar files, so that the same files give the same digest."""

import hashlib
import io
import os
import pathlib
import stat
import tarfile


class Layer:
    """Collects entries; `write` sorts them, adds parents, drops owner and time."""

    def __init__(self):
        self.entries = {}

    def directory(self, path, mode=0o755, user=0):
        self.entries[path.strip("/")] = ("dir", mode, None, user)
        return self

    def text(self, path, content, mode=0o644):
        self.entries[path.strip("/")] = ("text", mode, content.encode(), 0)
        return self

    def link(self, path, target):
        self.entries[path.strip("/")] = ("link", 0o777, target, 0)
        return self

    def file(self, path, source, mode=0o755):
        self.entries[path.strip("/")] = ("file", mode, pathlib.Path(source), 0)
        return self

    def tree(self, prefix, source):
        """Everything below a folder, with its modes and links."""
        source = pathlib.Path(source)
        for path in sorted(source.rglob("*")):
            name = prefix.strip("/") + "/" + str(path.relative_to(source))
            about = path.lstat()
            if stat.S_ISLNK(about.st_mode):
                self.link(name, os.readlink(path))
            elif stat.S_ISDIR(about.st_mode):
                self.directory(name, stat.S_IMODE(about.st_mode))
            elif stat.S_ISREG(about.st_mode):
                self.file(name, path, stat.S_IMODE(about.st_mode))
        return self

    def _with_parents(self):
        known = dict(self.entries)
        for name in self.entries:
            parent = os.path.dirname(name)
            while parent and parent not in known:
                known[parent] = ("dir", 0o755, None, 0)
                parent = os.path.dirname(parent)
        return sorted(known.items())

    def write(self, path):
        """Write the tar and answer (digest, size)."""
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            for name, (kind, mode, what, user) in self._with_parents():
                entry = tarfile.TarInfo(name)
                entry.mode, entry.uid, entry.gid, entry.mtime = mode, user, user, 0
                if kind == "dir":
                    entry.type = tarfile.DIRTYPE
                    tar.addfile(entry)
                elif kind == "link":
                    entry.type, entry.linkname = tarfile.SYMTYPE, what
                    tar.addfile(entry)
                elif kind == "text":
                    entry.size = len(what)
                    tar.addfile(entry, io.BytesIO(what))
                else:
                    with open(what, "rb") as content:
                        entry.size = os.fstat(content.fileno()).st_size
                        tar.addfile(entry, content)
        return digest_of(path), os.path.getsize(path)


def digest_of(path):
    with open(path, "rb") as content:
        return "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()
