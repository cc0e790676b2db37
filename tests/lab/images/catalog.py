"""What the laboratory serves: images and downloads, under their real names.

Entry points, users and paths are those of the upstream images, so that the
manifests of kubeadm, flannel, Flux and the applications run unchanged."""

from dataclasses import dataclass, field

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KUBERNETES = "v1.36.3"

# Traefik's own entry script also runs a shell command when asked to; so does
# this one.
TRAEFIK_ENTRY = """#!/bin/sh
case "${1:-traefik}" in
-* | version | healthcheck) set -- traefik "$@" ;;
esac
exec "$@"
"""


@dataclass
class Image:
    name: str
    files: dict = field(default_factory=dict)  # path in the image -> binary (or folder) of the parts
    base: tuple = ("skeleton",)
    entrypoint: tuple = ()
    cmd: tuple = ()
    user: str = ""
    env: tuple = ()
    workdir: str = ""
    texts: dict = field(default_factory=dict)  # executable text files
    folders: dict = field(default_factory=dict)  # folder -> owner
    also: tuple = ()  # further tags

    def config(self):
        config = {"Env": [PATH, *self.env]}
        if self.entrypoint:
            config["Entrypoint"] = list(self.entrypoint)
        if self.cmd:
            config["Cmd"] = list(self.cmd)
        if self.user:
            config["User"] = self.user
        if self.workdir:
            config["WorkingDir"] = self.workdir
        return config


def local(*names):
    return {f"/usr/local/bin/{name}": name for name in names}


def control_plane(name):
    return Image(f"registry.k8s.io/{name}:{KUBERNETES}", local(name),
                 entrypoint=(f"/usr/local/bin/{name}",))


def flux(name, tag, entrypoint=None, env=()):
    return Image(f"ghcr.io/fluxcd/{name}:{tag}", local(name), ("skeleton", "busybox"),
                 entrypoint=entrypoint or (name,), user="65534:65534", env=env)


IMAGES = [
    # kubeadm 1.36.3 names 3.10.2, containerd 2.2.0 on its own 3.10.1.
    Image("registry.k8s.io/pause:3.10.2", {"/pause": "pause"}, base=(), entrypoint=("/pause",),
          user="65535:65535", also=("3.10.1",)),
    Image("registry.k8s.io/etcd:3.6.8-0", local("etcd", "etcdctl")),
    control_plane("kube-apiserver"),
    control_plane("kube-controller-manager"),
    control_plane("kube-scheduler"),
    Image(f"registry.k8s.io/kube-proxy:{KUBERNETES}", local("kube-proxy"), ("skeleton", "tools"),
          entrypoint=("/usr/local/bin/kube-proxy",)),
    Image("registry.k8s.io/coredns/coredns:v1.14.2", {"/coredns": "coredns"},
          entrypoint=("/coredns",), user="65532:65532", workdir="/"),
    Image("ghcr.io/flannel-io/flannel:v0.28.4", {"/opt/bin/flanneld": "flanneld"},
          ("skeleton", "tools"), entrypoint=("/opt/bin/flanneld",)),
    # The image that flannel's own manifest copies the plugin from.
    Image("ghcr.io/flannel-io/flannel-cni-plugin:v1.9.1-flannel1", {"/flannel": "flannel"},
          ("skeleton", "busybox")),
    flux("source-controller", "v1.9.1"),
    flux("kustomize-controller", "v1.9.1", ("/sbin/tini", "--", "kustomize-controller"),
         ("GNUPGHOME=/tmp",)),
    flux("helm-controller", "v1.4.0"),
    flux("notification-controller", "v1.9.3"),
    Image("docker.io/rancher/local-path-provisioner:v0.0.30",
          {"/usr/bin/local-path-provisioner": "local-path-provisioner"}, ("skeleton", "busybox"),
          cmd=("local-path-provisioner",)),
    Image("docker.io/library/busybox:1.35.0", base=("skeleton", "busybox"), cmd=("sh",),
          also=("1.35", "latest")),
    Image("docker.io/library/caddy:2.10.2", {"/usr/bin/caddy": "caddy"}, ("skeleton", "busybox"),
          cmd=("caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"),
          env=("XDG_CONFIG_HOME=/config", "XDG_DATA_HOME=/data"), workdir="/srv",
          folders={"/config/caddy": 0, "/data/caddy": 0, "/etc/caddy": 0, "/srv": 0}),
    Image("ghcr.io/stefanprodan/podinfo:6.9.2", {"/home/app/podinfo": "podinfo", "/home/app/ui": "podinfo-ui"},
          ("skeleton", "busybox"), cmd=("./podinfo",), user="app", workdir="/home/app",
          folders={"/home/app": 100}),
    Image("docker.io/library/traefik:v3.6.0", local("traefik"), ("skeleton", "busybox"),
          entrypoint=("/entrypoint.sh",), cmd=("traefik",), texts={"/entrypoint.sh": TRAEFIK_ENTRY}),
    # The owner's own: nobody publishes it, so it has no entry point but what the repository names.
    Image("docker.io/rossi/postgres:15", base=("skeleton", "postgres"), user="999:999",
          cmd=("/usr/lib/postgresql/15/bin/postgres",), folders={"/var/lib/postgresql": 999}),
]

SKYKEEP = Image("ghcr.io/skykeep/skykeep:v0.1.0", {"/usr/local/bin/skykeep": "skykeep"},
                entrypoint=("/usr/local/bin/skykeep",))


@dataclass
class Artifact:
    """A download of castle.lock: one binary, or a tar.gz of several."""

    name: str
    url: str
    dest: str
    files: dict  # path in the archive -> binary; one entry "" for a bare binary
    mode: str = "0755"

    @property
    def unpack(self):
        return None if "" in self.files else "tar.gz"


GITHUB = "https://github.com"
ARTIFACTS = [
    *(Artifact(name, f"https://dl.k8s.io/release/{KUBERNETES}/bin/linux/amd64/{name}",
               f"/usr/local/bin/{name}", {"": name}) for name in ("kubelet", "kubeadm")),
    Artifact("containerd", f"{GITHUB}/containerd/containerd/releases/download/v2.2.0/"
             "containerd-2.2.0-linux-amd64.tar.gz", "/usr/local",
             {f"bin/{name}": name for name in ("containerd", "containerd-shim-runc-v2", "ctr")}),
    Artifact("runc", f"{GITHUB}/opencontainers/runc/releases/download/v1.3.4/runc.amd64",
             "/usr/local/sbin/runc", {"": "runc"}),
    Artifact("cni-plugins", f"{GITHUB}/containernetworking/plugins/releases/download/v1.8.0/"
             "cni-plugins-linux-amd64-v1.8.0.tgz", "/opt/cni/bin",
             {name: name for name in ("bridge", "firewall", "host-local", "loopback", "portmap", "ptp")}),
    Artifact("flannel-cni", f"{GITHUB}/flannel-io/cni-plugin/releases/download/v1.8.0-flannel1/"
             "flannel-amd64", "/opt/cni/bin/flannel", {"": "flannel"}),
]
SKYKEEP_ARTIFACT = Artifact(
    "skykeep", f"{GITHUB}/skykeep/skykeep/releases/download/v0.1.0/skykeep-linux-amd64",
    "/usr/local/bin/skykeep", {"": "skykeep"})
