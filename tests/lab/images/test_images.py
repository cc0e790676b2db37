"""Run with: python3 -m unittest discover -s tests/lab/images -p 'test_*.py'"""

import pathlib
import tarfile
import tempfile
import unittest

import artifacts
import catalog
import registry
from layers import Layer, digest_of


class Layers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def layer(self, reverse=False):
        program = self.folder / "program"
        program.write_text("#!/bin/sh\n")
        steps = [lambda l: l.file("/usr/bin/program", program), lambda l: l.link("/bin", "usr/bin"),
                 lambda l: l.directory("/tmp", 0o1777), lambda l: l.directory("/home", user=100)]
        layer = Layer()
        for step in reversed(steps) if reverse else steps:
            step(layer)
        return layer

    def test_the_same_files_give_the_same_digest_in_any_order_and_at_any_time(self):
        one, _ = self.layer().write(self.folder / "one.tar")
        (self.folder / "program").unlink()
        two, _ = self.layer(reverse=True).write(self.folder / "two.tar")
        self.assertEqual(one, two)

    def test_a_layer_keeps_modes_links_and_owners_and_adds_the_parents(self):
        self.layer().write(self.folder / "one.tar")
        with tarfile.open(self.folder / "one.tar") as tar:
            found = {entry.name: entry for entry in tar}
        self.assertEqual(sorted(found), ["bin", "home", "tmp", "usr", "usr/bin", "usr/bin/program"])
        self.assertEqual(found["tmp"].mode, 0o1777)
        self.assertEqual(found["usr/bin/program"].mode, 0o755)
        self.assertEqual(found["bin"].linkname, "usr/bin")
        self.assertEqual((found["home"].uid, found["usr"].uid), (100, 0))

    def test_an_archive_is_the_same_each_time_and_is_announced_as_what_it_is(self):
        program = self.folder / "program"
        program.write_text("x")
        artifact = catalog.Artifact("a", "https://example.org/x/a.tgz", "/opt", {"bin/a": "program"})
        first = artifacts.put(self.folder / "root", artifact, self.folder)
        again = artifacts.put(self.folder / "root", artifact, self.folder)
        self.assertEqual(first, again)
        target = self.folder / "root/example.org/x/a.tgz"
        self.assertEqual("sha256:" + first["sha256"], digest_of(target))
        self.assertEqual(first["size"], target.stat().st_size)
        with tarfile.open(target) as tar:
            self.assertEqual(tar.getnames(), ["bin/a"])


class Catalog(unittest.TestCase):
    def test_a_repository_is_the_path_after_the_host(self):
        self.assertEqual(registry.split("registry.k8s.io/coredns/coredns:v1"), ("coredns/coredns", "v1"))

    def test_no_two_images_share_a_repository_and_a_tag(self):
        names = [registry.split(image.name) for image in catalog.IMAGES + [catalog.SKYKEEP]]
        self.assertEqual(len(names), len(set(names)))

    def test_an_entry_point_by_path_is_a_file_of_the_image(self):
        for image in catalog.IMAGES:
            for word in image.entrypoint[:1]:
                if word.startswith("/") and word != "/sbin/tini":
                    self.assertIn(word, {**image.files, **image.texts}, image.name)


if __name__ == "__main__":
    unittest.main()
