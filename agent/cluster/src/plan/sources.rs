//! Where images and downloads come from besides their own places: mirrors and logins for containerd and kubelet, copies for the
//! node's own executor.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;
use skykeep_core::{
    lock::{Artifact, Image},
    registry::{Login, server},
};
use url::Url;

use super::{Blueprint, NodePlan, Own, PlanFile, Role, Step};
use crate::ClusterError;

/// containerd's folder of registries (`config_path`).
const HOSTS: &str = "/etc/containerd/certs.d";
/// Where kubelet looks for logins of its own accord.
const LOGINS: &str = "/var/lib/kubelet/config.json";
/// Images that only control planes run.
const CONTROL_PLANE: [&str; 4] = [
    "registry.k8s.io/kube-apiserver",
    "registry.k8s.io/kube-controller-manager",
    "registry.k8s.io/kube-scheduler",
    "registry.k8s.io/etcd",
];
/// What runs on every machine. Applications keep away from control planes, and so do their images: disks are small.
const EVERYWHERE: [&str; 5] = [
    "registry.k8s.io/pause",
    "registry.k8s.io/kube-proxy",
    "registry.k8s.io/coredns/coredns",
    "ghcr.io/flannel-io/flannel",
    "ghcr.io/skykeep/skykeep",
];
/// All of them may have to be imported.
const IMAGES_S: u64 = 600;

/// Everything besides the images' and downloads' own places.
#[derive(Default)]
pub struct Sources<'a> {
    /// Registries with a mirror or a login.
    pub registries: Vec<RegistryAt<'a>>,
    /// Presigned addresses of copies, by the SHA-256 of their content in hex.
    pub copies: BTreeMap<String, String>,
}

/// A registry with a mirror, or a login, or both: then the login is the mirror's.
pub struct RegistryAt<'a> {
    /// As image names say it.
    pub host: &'a str,
    /// Asked first.
    pub mirror: Option<&'a Url>,
    /// Who we are.
    pub login: Option<Login>,
}

impl RegistryAt<'_> {
    fn basic(&self) -> Result<Option<String>, ClusterError> {
        let Some(login) = &self.login else { return Ok(None) };
        let username = super::common::text(&login.username, "a registry's user name")?;
        let password = super::common::text(&login.password, "a registry's password")?;
        Ok(Some(BASE64.encode(format!("{username}:{password}"))))
    }
}

/// The files of containerd and kubelet.
pub(super) fn files(sources: &Sources<'_>) -> Result<Vec<PlanFile>, ClusterError> {
    let mut files = Vec::new();
    let mut logins = serde_json::Map::new();
    for registry in &sources.registries {
        let basic = registry.basic()?;
        match (registry.mirror, basic) {
            (Some(mirror), basic) => {
                let path = format!("{HOSTS}/{}/hosts.toml", registry.host);
                files.push(PlanFile::new(
                    &path,
                    "0600",
                    hosts_toml(registry.host, mirror, basic.as_deref()),
                ));
            }
            (None, Some(basic)) => {
                // The name under which every client keeps Docker's own.
                let name = match registry.host {
                    "docker.io" => "https://index.docker.io/v1/",
                    host => host,
                };
                logins.insert(name.into(), json!({"auth": basic}));
            }
            (None, None) => {}
        }
    }
    if !logins.is_empty() {
        files.push(PlanFile::new(LOGINS, "0600", json!({"auths": logins}).to_string()));
    }
    Ok(files)
}

fn hosts_toml(host: &str, mirror: &Url, basic: Option<&str>) -> String {
    let server = server(host);
    let address = mirror.as_str().trim_end_matches('/');
    let mut text =
        format!("server = \"https://{server}\"\n\n[host.\"{address}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
    if mirror.path() != "/" {
        text.push_str("override_path = true\n");
    }
    if let Some(basic) = basic {
        text.push_str(&format!(
            "[host.\"{address}\".header]\nAuthorization = \"Basic {basic}\"\n"
        ));
    }
    text
}

fn is_for(image: &Image, role: Role) -> bool {
    let repository = image.name.rsplit_once(':').map_or(image.name.as_str(), |(r, _)| r);
    match role {
        Role::ControlPlane => CONTROL_PLANE.contains(&repository) || EVERYWHERE.contains(&repository),
        Role::Worker => !CONTROL_PLANE.contains(&repository),
    }
}

/// The step that comes once containerd answers.
pub(super) fn step(sources: &Sources<'_>) -> Option<Step> {
    (!sources.copies.is_empty()).then(|| {
        Step::own(
            "images, from their copies where a registry refuses",
            IMAGES_S,
            Own::Images,
        )
    })
}

/// Images and copies that this plan may need.
pub(super) fn complete(blueprint: &Blueprint<'_>, mut plan: NodePlan) -> NodePlan {
    let copies = &blueprint.sources.copies;
    let whole =
        |image: &&Image| !image.blobs.is_empty() && image.blobs.iter().all(|blob| copies.contains_key(blob.sha256()));
    let images = blueprint.lock.images.iter().filter(whole);
    plan.images = images.filter(|image| is_for(image, plan.role)).cloned().collect();
    let of_artifact = |artifact: &Artifact| artifact.sha256.clone();
    let blobs = plan.images.iter().flat_map(|image| &image.blobs);
    let wanted = plan
        .artifacts
        .iter()
        .map(of_artifact)
        .chain(blobs.map(|b| b.sha256().to_owned()));
    plan.copies = wanted
        .filter_map(|sha256| Some((sha256.clone(), copies.get(&sha256)?.clone().into())))
        .collect();
    plan
}
