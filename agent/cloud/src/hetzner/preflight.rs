//! What can be known before anything is created.

use serde::Deserialize;
use serde_json::json;
use skykeep_core::{Explained, Progress};

use super::{HetznerCloud, call::lift};
use crate::{CloudError, Preflight, Result};

#[derive(Deserialize)]
struct Location {
    name: String,
    network_zone: String,
}

#[derive(Deserialize)]
struct ServerType {
    name: String,
    cores: u32,
    architecture: String,
    #[serde(default)]
    locations: Vec<Offer>,
}

#[derive(Deserialize)]
struct Offer {
    name: String,
    /// Whether there are servers of it now.
    available: Option<bool>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    name: Option<String>,
    architecture: String,
}

#[derive(Deserialize)]
struct BalancerType {
    name: String,
    max_services: usize,
    max_targets: usize,
}

fn unfit(what: impl Into<String>, why: impl Into<String>, remedy: &str) -> CloudError {
    CloudError::Unfit(Explained {
        what: what.into(),
        why: why.into(),
        remedy: remedy.into(),
    })
}

impl HetznerCloud {
    pub(super) async fn look_ahead(&self, progress: &Progress) -> Result<Preflight> {
        // First alone: with a bad token everything else would only say so again.
        self.check_locations().await?;
        let (image, types, balancer, permitted) = tokio::join!(
            self.check_image(),
            self.check_types(),
            self.check_balancer(),
            self.check_permission()
        );
        permitted?;
        balancer?;
        let (image, (vcpus_needed, mut warnings)) = (image?, types?);
        warnings.push("Hetzner's API does not tell the project's limits: they show only when they are met".into());
        warnings
            .push("nodes trust their private network wholly: Hetzner's firewalls guard the public side only".into());
        let places = self.hetzner.locations.len();
        if self.hetzner.control_planes.count > 1 && places < 3 {
            warnings.push(format!(
                "{} control planes in {places} locations: the loss of one can stop the cluster; list three",
                self.hetzner.control_planes.count
            ));
        }
        progress.note(format!("Hetzner takes the token, image {image}"));
        Ok(Preflight {
            account: "the token's project".into(),
            identity: "an API token that may read and write".into(),
            image,
            addresses_left: None,
            vcpus_needed,
            vcpus_left: None,
            networks_left: None,
            warnings,
        })
    }

    async fn check_locations(&self) -> Result<()> {
        let doing = "Asking Hetzner for its locations";
        let all = self.api.list::<Location>("locations", &[]).await.map_err(lift(doing))?;
        let zone = &self.hetzner.network_zone;
        for name in &self.hetzner.locations {
            let why = match all.iter().find(|l| l.name == *name) {
                None => "Hetzner has no such location".to_owned(),
                Some(found) if found.network_zone != *zone => {
                    format!("it lies in network zone {}, not in {zone}", found.network_zone)
                }
                Some(_) => continue,
            };
            return Err(unfit(
                format!("Location {name} can't be used"),
                why,
                "Correct cloud.hetzner.locations or networkZone in castle.yaml.",
            ));
        }
        Ok(())
    }

    async fn check_image(&self) -> Result<String> {
        let query = [
            ("name", self.hetzner.image.as_str()),
            ("type", "system"),
            ("architecture", "x86"),
        ];
        let doing = "Looking at the image";
        let found = self.api.list::<Image>("images", &query).await.map_err(lift(doing))?;
        let ours = |i: &&Image| i.name.as_deref() == Some(self.hetzner.image.as_str()) && i.architecture == "x86";
        let image = found.iter().find(ours).ok_or_else(|| {
            unfit(
                format!("Image {} can't be used", self.hetzner.image),
                "Hetzner has no such image for x86",
                "Correct cloud.hetzner.image in castle.yaml.",
            )
        })?;
        Ok(format!("{} ({})", self.hetzner.image, image.id))
    }

    /// In every location some type of each group can be had; answers how many processors the largest of them need together, and
    /// what is not as the owner likes it best.
    async fn check_types(&self) -> Result<(u32, Vec<String>)> {
        let doing = "Looking at the server types";
        let all = self
            .api
            .list::<ServerType>("server_types", &[])
            .await
            .map_err(lift(doing))?;
        let known = |name: &str| all.iter().find(|t| t.name == name && t.architecture == "x86");
        // A list without places is an older API's: then it shows at creation.
        let has = |kind: &str, place: &str| {
            let offers = known(kind).map(|t| t.locations.as_slice());
            offers.is_some_and(|offers| {
                offers.is_empty() || offers.iter().any(|o| o.name == place && o.available != Some(false))
            })
        };
        let (mut warnings, mut needed) = (Vec::new(), 0u32);
        for group in [&self.hetzner.control_planes, &self.hetzner.workers] {
            for place in &self.hetzner.locations {
                match group.types().find(|kind| has(kind, place)) {
                    Some(kind) if kind == group.server_type => {}
                    Some(kind) => warnings.push(format!(
                        "{place} has no {} now: {kind} is used there",
                        group.server_type
                    )),
                    None => {
                        return Err(unfit(
                            format!("Server type {} can't be used", group.server_type),
                            format!("Hetzner has neither it nor one of its alternatives in {place} now (x86 only)"),
                            "Use another serverType, add alternatives, or list other locations in castle.yaml.",
                        ));
                    }
                }
            }
            let cores = group.types().filter_map(known).map(|t| t.cores).max().unwrap_or(0);
            needed = needed.saturating_add(cores.saturating_mul(u32::from(group.count)));
        }
        warnings.sort();
        warnings.dedup();
        Ok((needed, warnings))
    }

    async fn check_balancer(&self) -> Result<()> {
        let wanted = self.hetzner.load_balancer_type.as_str();
        let doing = "Looking at the load balancer's type";
        let query = [("name", wanted)];
        let all = self
            .api
            .list::<BalancerType>("load_balancer_types", &query)
            .await
            .map_err(lift(doing))?;
        let nodes = usize::from(self.hetzner.control_planes.count) + usize::from(self.hetzner.workers.count);
        let why = match all.iter().find(|t| t.name == wanted) {
            None => "Hetzner has no such type".to_owned(),
            Some(t) if t.max_targets < nodes || t.max_services == 0 => {
                format!("it leads to {} servers at most, the castle has {nodes}", t.max_targets)
            }
            Some(_) => return Ok(()),
        };
        let remedy = "Correct cloud.hetzner.loadBalancerType in castle.yaml.";
        Err(unfit(format!("Load balancer type {wanted} can't be used"), why, remedy))
    }

    /// Hetzner has no dry run. A creation without a name makes nothing: a token that may write is told that the name is missing, one
    /// that may only read is refused for that.
    async fn check_permission(&self) -> Result<()> {
        let doing = "Asking Hetzner whether the token may write";
        match self
            .api
            .change("placement_groups", &json!({}), &["invalid_input", "json_error"])
            .await
        {
            Ok(_) => Ok(()),
            Err(e) => Err(lift(doing)(e)),
        }
    }
}
