//! `castle.lock`: every artifact and image a castle needs, pinned. Made by `skykeep lock`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::explain::Explained;

/// The lock file, version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Format version; 1.
    pub version: u32,
    /// Kubernetes version, for example `v1.36.3`.
    pub kubernetes: String,
    /// Files the nodes download.
    pub artifacts: Vec<Artifact>,
    /// Container images with their digests.
    pub images: Vec<Image>,
    /// What the cloud charges, for `skykeep plan`; nothing else hangs on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
}

/// A price list, copied from the cloud's by the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prices {
    /// The day it was copied, `2026-11-24`.
    pub date: String,
    /// For example `USD`.
    pub currency: String,
    /// Millionths of the currency for an hour, by instance type; also `load-balancer`, `public-address` and `disk-gib` (one GiB of disk).
    pub micros_per_hour: BTreeMap<String, u64>,
}

/// A file by URL and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Name by which the agent asks for it, for example `kubelet`.
    pub name: String,
    /// Where it is fetched from (HTTPS).
    pub url: String,
    /// Lower-case hex SHA-256 of the file.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
    /// Where it goes on a node: a file, or a folder when it is unpacked.
    pub dest: String,
    /// Octal mode of a file, for example `0755`.
    pub mode: String,
    /// How it is unpacked.
    #[serde(default)]
    pub unpack: Option<Unpack>,
}

/// Archive formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unpack {
    /// A gzip-compressed tar.
    #[serde(rename = "tar.gz")]
    TarGz,
}

/// An image by name and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Full name with tag, for example `registry.k8s.io/pause:3.10.1`.
    pub name: String,
    /// `sha256:...`.
    pub digest: String,
    /// What it consists of, the object of its own digest first: what a mirror keeps of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Blob>,
}

/// A part of an image: index, manifest, configuration or layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Blob {
    /// `sha256:...`.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
    /// Its type in the words of the image specification.
    pub media_type: String,
}

impl Blob {
    /// The digest's hex digits.
    pub fn sha256(&self) -> &str {
        self.digest.trim_start_matches("sha256:")
    }
}

impl Lock {
    /// Reads a lock file.
    pub fn parse(text: &str) -> Result<Self, Explained> {
        let lock: Lock = serde_json::from_str(text).map_err(|e| Explained {
            what: "castle.lock can't be read".into(),
            why: format!("line {}, column {}: {e}", e.line(), e.column()),
            remedy: "Make it again with `skykeep lock`.".into(),
        })?;
        if lock.version != 1 {
            return Err(Explained {
                what: "castle.lock can't be used".into(),
                why: format!("it has version {}, this agent reads version 1", lock.version),
                remedy: "Use the agent that made it, or make it again with `skykeep lock`.".into(),
            });
        }
        let hex =
            |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        // They become names of files on the nodes.
        if let Some(blob) = lock.images.iter().flat_map(|i| &i.blobs).find(|b| !hex(b.sha256())) {
            return Err(Explained {
                what: "castle.lock can't be used".into(),
                why: format!("`{}` is no SHA-256 digest", blob.digest),
                remedy: "Make it again with `skykeep lock --mirror`.".into(),
            });
        }
        for a in &lock.artifacts {
            if !hex(&a.sha256) {
                return Err(Explained {
                    what: "castle.lock can't be used".into(),
                    why: format!("the sha256 of artifact `{}` is not 64 lower-case hex digits", a.name),
                    remedy: "Make it again with `skykeep lock`.".into(),
                });
            }
        }
        Ok(lock)
    }

    /// The artifact of this name.
    pub fn artifact(&self, name: &str) -> Result<&Artifact, Explained> {
        self.artifacts
            .iter()
            .find(|a| a.name == name)
            .ok_or_else(|| missing(name, "artifact"))
    }

    /// The image whose name without tag is `repository`, for example `ghcr.io/flannel-io/flannel`.
    pub fn image(&self, repository: &str) -> Result<&Image, Explained> {
        self.images
            .iter()
            .find(|i| i.name.rsplit_once(':').map_or(i.name.as_str(), |(r, _)| r) == repository)
            .ok_or_else(|| missing(repository, "image"))
    }

    /// The image of exactly this name and tag.
    pub fn image_named(&self, name: &str) -> Result<&Image, Explained> {
        self.images
            .iter()
            .find(|i| i.name == name)
            .ok_or_else(|| missing(name, "image"))
    }
}

fn missing(name: &str, kind: &str) -> Explained {
    Explained {
        what: format!("castle.lock names no {kind} `{name}`"),
        why: "it was made for another version of the agent, or edited by hand".into(),
        remedy: "Make it again with `skykeep lock`.".into(),
    }
}

impl Image {
    /// `repository@digest`: what containerd is asked for, so that a moved tag changes nothing.
    pub fn pinned(&self) -> String {
        let repository = self.name.rsplit_once(':').map_or(self.name.as_str(), |(r, _)| r);
        format!("{repository}@{}", self.digest)
    }

    /// The tag, or `latest`.
    pub fn tag(&self) -> &str {
        self.name.rsplit_once(':').map_or("latest", |(_, t)| t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_is_no_hash_is_refused() {
        let text = r#"{"version":1,"kubernetes":"v1.36.3","images":[],"artifacts":[
            {"name":"kubelet","url":"https://x","sha256":"ABC","size":1,"dest":"/x","mode":"0755"}]}"#;
        assert!(Lock::parse(text).unwrap_err().why.contains("kubelet"));
    }

    #[test]
    fn an_image_is_pinned_by_its_digest() {
        let image = Image {
            name: "registry.k8s.io/pause:3.10".into(),
            digest: "sha256:ab".into(),
            blobs: Vec::new(),
        };
        assert_eq!(image.pinned(), "registry.k8s.io/pause@sha256:ab");
    }
}
