//! What a castle of each Kubernetes version needs, by its upstream's own addresses; `skykeep lock` finds the hashes.
//!
//! Image tags are those that kubeadm of that version names (its `constants.go`).

use skykeep_core::{
    Explained,
    lock::{Artifact, Image, Lock, Unpack},
};

/// What one Kubernetes version goes with.
struct Known {
    kubernetes: &'static str,
    etcd: &'static str,
    coredns: &'static str,
    pause: &'static str,
}

const KNOWN: [Known; 1] = [Known {
    kubernetes: "v1.36.3",
    etcd: "3.6.8-0",
    coredns: "v1.14.2",
    pause: "3.10.2",
}];

/// Everything to be pinned for this version; hashes, sizes and digests are empty.
pub fn template(kubernetes: &str) -> Result<Lock, Explained> {
    let known = KNOWN.iter().find(|k| k.kubernetes == kubernetes).ok_or_else(|| {
        let all: Vec<&str> = KNOWN.iter().map(|k| k.kubernetes).collect();
        Explained {
            what: format!("Skykeep {} was not tried with Kubernetes {kubernetes}", env!("CARGO_PKG_VERSION")),
            why: format!("it knows {}", all.join(", ")),
            remedy: "Use a version it knows in castle.yaml, or give your own list with `--from` (the shape of castle.lock, hashes empty)."
                .into(),
        }
    })?;
    let own = concat!("v", env!("CARGO_PKG_VERSION"));
    let github = "https://github.com";
    let file = |name: &str, url: String, dest: &str, unpack| Artifact {
        name: name.into(),
        url,
        sha256: String::new(),
        size: 0,
        dest: dest.into(),
        mode: "0755".into(),
        unpack,
    };
    let bin = |name: &str| {
        let url = format!("https://dl.k8s.io/release/{kubernetes}/bin/linux/amd64/{name}");
        file(name, url, &format!("/usr/local/bin/{name}"), None)
    };
    let release = |path: &str| format!("{github}/{path}");
    let artifacts = vec![
        file(
            "skykeep",
            release(&format!("skykeep/skykeep/releases/download/{own}/skykeep-linux-amd64")),
            "/usr/local/bin/skykeep",
            None,
        ),
        bin("kubelet"),
        bin("kubeadm"),
        file(
            "containerd",
            release("containerd/containerd/releases/download/v2.2.0/containerd-2.2.0-linux-amd64.tar.gz"),
            "/usr/local",
            Some(Unpack::TarGz),
        ),
        file(
            "runc",
            release("opencontainers/runc/releases/download/v1.3.4/runc.amd64"),
            "/usr/local/sbin/runc",
            None,
        ),
        file(
            "cni-plugins",
            release("containernetworking/plugins/releases/download/v1.8.0/cni-plugins-linux-amd64-v1.8.0.tgz"),
            "/opt/cni/bin",
            Some(Unpack::TarGz),
        ),
        file(
            "flannel-cni",
            release("flannel-io/cni-plugin/releases/download/v1.8.0-flannel1/flannel-amd64"),
            "/opt/cni/bin/flannel",
            None,
        ),
    ];
    let part = |name: &str| format!("registry.k8s.io/{name}:{kubernetes}");
    let images = [
        part("kube-apiserver"),
        part("kube-controller-manager"),
        part("kube-scheduler"),
        part("kube-proxy"),
        format!("registry.k8s.io/etcd:{}", known.etcd),
        format!("registry.k8s.io/coredns/coredns:{}", known.coredns),
        format!("registry.k8s.io/pause:{}", known.pause),
        "ghcr.io/flannel-io/flannel:v0.28.4".into(),
        format!("ghcr.io/skykeep/skykeep:{own}"),
    ];
    Ok(Lock {
        prices: None,
        version: 1,
        kubernetes: kubernetes.into(),
        artifacts,
        images: images
            .into_iter()
            .map(|name| Image {
                name,
                digest: String::new(),
                blobs: Vec::new(),
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_was_never_tried_is_refused_with_those_that_were() {
        insta::assert_snapshot!(template("v1.99.0").unwrap_err());
    }

    #[test]
    fn every_file_comes_over_https() {
        let lock = template("v1.36.3").unwrap();
        assert!(lock.artifacts.iter().all(|a| a.url.starts_with("https://")));
    }
}
