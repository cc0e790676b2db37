"""What images need besides their static binary, taken from Debian's packages:
a skeleton (users, certificates, /tmp), busybox, and the network tools that
kube-proxy and flannel call. Packages are unpacked, never installed."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

TOOLS = """
nftables libnftables1 libnftnl11 libmnl0 libjansson4 libgmp10 libedit2 libbsd0 libmd0 libtinfo6
iptables libxtables12 libip4tc2 libip6tc2 libnfnetlink0 libnetfilter-conntrack3 conntrack
iproute2 libbpf1 libelf1 zlib1g libcap2 libdb5.3 libselinux1 libpcre2-8-0 libtirpc3
libgssapi-krb5-2 libk5crypto3 libkrb5-3 libkrb5support0 libcom-err2 libkeyutils1 libssl3
ipset libipset13 kmod libkmod2 liblzma5 libzstd1 libc6 libgcc-s1 netbase
""".split()
POSTGRES = """
postgresql-15 postgresql-client-15 pgbackrest libpq5 libc6 libgcc-s1 libstdc++6 libssl3 libxml2 libicu72 liblz4-1 libzstd1 zlib1g
libpam0g libaudit1 libcap-ng0 libgssapi-krb5-2 libk5crypto3 libkrb5-3 libkrb5support0 libcom-err2 libkeyutils1 libldap-2.5-0
libsasl2-2 libsystemd0 libcap2 libgcrypt20 libgpg-error0 liblzma5 libreadline8 libtinfo6 libbz2-1.0 libuuid1 libxslt1.1
libgnutls30 libp11-kit0 libidn2-0 libunistring2 libtasn1-6 libnettle8 libhogweed6 libgmp10 libffi8 libselinux1 libpcre2-8-0
tzdata libcrypt1 libdb5.3
""".split()
OTHERS = ["busybox-static", "tini", "ca-certificates"]
NEEDED_TOOLS = ["nft", "iptables", "ip6tables", "iptables-save", "iptables-restore", "conntrack",
                "ip", "ipset", "modprobe"]
UNWANTED = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian",
            "usr/share/bash-completion", "usr/share/bug", "usr/share/nftables",
            "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/perl-base",
            # Names a repo1-path, and then no other file may.
            "etc/pgbackrest.conf",
            # What postgres compiles queries with: it does without.
            "usr/lib/postgresql/15/lib/bitcode", "usr/lib/postgresql/15/lib/llvmjit.so"]

PASSWD = """root:x:0:0:root:/root:/bin/sh
app:x:100:101:app:/home/app:/sbin/nologin
postgres:x:999:999:postgres:/var/lib/postgresql:/bin/sh
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
nobody:x:65534:65534:nobody:/:/sbin/nologin
"""
GROUP = "root:x:0:\napp:x:101:\npostgres:x:999:\nnonroot:x:65532:\nnobody:x:65534:\n"


def run(*args, cwd=None):
    done = subprocess.run(args, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, args))[:300]}: {done.stderr[-2000:]}")
    return done.stdout


def prepare(cache):
    """The unpacked packages (folders skeleton, busybox, tools, postgres), made once per set of versions."""
    packages = sorted({*TOOLS, *POSTGRES, *OTHERS})
    listed = run("apt-cache", "policy", *packages)
    recipe = pathlib.Path(__file__).read_bytes() + "\n".join(
        line for line in listed.splitlines() if "Candidate:" in line or not line.startswith(" ")
    ).encode()
    home = cache / f"image-base-{hashlib.sha256(recipe).hexdigest()[:16]}"
    if home.is_dir():
        return home
    work = pathlib.Path(tempfile.mkdtemp(prefix=".image-base-", dir=cache))
    try:
        fetch(work / "debs", packages)
        tools(work)
        postgres(work)
        busybox(work)
        skeleton(work)
        shutil.rmtree(work / "debs")
        shutil.rmtree(work / "one", ignore_errors=True)
        work.chmod(0o755)
        os.rename(work, home)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return home


def fetch(folder, packages):
    folder.mkdir()
    run("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *packages, cwd=folder)


def deb(work, package):
    found = sorted((work / "debs").glob(f"{package}_*.deb"))
    if len(found) != 1:
        raise SystemExit(f"package {package}: {len(found)} files")
    return found[0]


def unpack(work, root, packages):
    # The merged layout first: packages still carry /lib and /sbin.
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in packages:
        content = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb(work, package)],
                                   stdout=subprocess.PIPE)
        run_tar = subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root],
                                 stdin=content.stdout)
        if run_tar.returncode or content.wait():
            raise SystemExit(f"cannot unpack {package}")
    for name in UNWANTED:
        if (root / name).is_file():
            (root / name).unlink()
        shutil.rmtree(root / name, ignore_errors=True)


def linked(root, places):
    """A missing library shows itself here, not in a node an hour later."""
    for place in places:
        for path in sorted((root / place).iterdir()):
            if path.is_symlink() or not path.is_file() or path.read_bytes()[:4] != b"\x7fELF":
                continue
            said = subprocess.run(["chroot", root, "/lib64/ld-linux-x86-64.so.2", "--list",
                                   f"/{place}/{path.name}"], capture_output=True, text=True)
            if "not found" in said.stdout + said.stderr:
                raise SystemExit(f"image base: {path.name}: {said.stdout}{said.stderr}")


def postgres(work):
    """A database as an owner's image has it: Debian's PostgreSQL 15 and pgBackRest."""
    root = work / "postgres"
    unpack(work, root, POSTGRES)
    shell(work, root, "usr/bin")
    linked(root, ["usr/bin", "usr/lib/postgresql/15/bin", "usr/lib/postgresql/15/lib"])


def tools(work):
    root = work / "tools"
    unpack(work, root, TOOLS)
    # What the packages' own scripts would have linked; nftables' flavour, the
    # default of Debian.
    for version in ("", "6"):
        for suffix in ("", "-save", "-restore"):
            link = root / f"usr/sbin/ip{version}tables{suffix}"
            link.unlink(missing_ok=True)
            link.symlink_to("xtables-nft-multi")
    shell(work, root, "usr/bin")
    for tool in NEEDED_TOOLS:
        if not any((root / "usr" / place / tool).exists() for place in ("bin", "sbin")):
            raise SystemExit(f"image base: no {tool}")
    linked(root, ["usr/bin", "usr/sbin"])


def shell(work, root, place):
    """busybox, with a link for each applet that no real program takes."""
    one = work / "one"
    run("dpkg-deb", "-x", deb(work, "busybox-static"), one)
    found = next(path for path in (one / "bin/busybox", one / "usr/bin/busybox") if path.exists())
    (root / place).mkdir(parents=True, exist_ok=True)
    shutil.copy2(found, root / place / "busybox")
    for applet in run(found, "--list").split():
        taken = [root / folder / applet for folder in ("usr/bin", "usr/sbin", place)]
        if not any(path.exists() or path.is_symlink() for path in taken):
            (root / place / applet).symlink_to("busybox")
    shutil.rmtree(one)


def busybox(work):
    root = work / "busybox"
    shell(work, root, "bin")
    one = work / "one"
    run("dpkg-deb", "-x", deb(work, "tini"), one)
    (root / "sbin").mkdir()
    shutil.copy2(one / "usr/bin/tini-static", root / "sbin/tini")
    shutil.rmtree(one)


def skeleton(work):
    root, one = work / "skeleton", work / "one"
    run("dpkg-deb", "-x", deb(work, "ca-certificates"), one)
    for folder in ("etc/ssl/certs", "root", "run", "tmp", "var/tmp"):
        (root / folder).mkdir(parents=True)
    for folder in ("tmp", "var/tmp"):
        (root / folder).chmod(0o1777)
    bundle = "".join(path.read_text() for path in sorted((one / "usr/share/ca-certificates").rglob("*.crt")))
    (root / "etc/ssl/certs/ca-certificates.crt").write_text(bundle)
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    shutil.rmtree(one)
