//! Nodes.

use std::{net::Ipv4Addr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use skykeep_aws::{Params, Service};
use skykeep_core::{Deadline, Explained, Progress, castle::NodeGroup, deadline};

use super::{
    AwsCloud,
    image::Image,
    tagging::Filters,
    xml::{Done, Items, Tag, ec2_page, tag},
};
use crate::{CloudError, Instance, Network, PlannedNode, Result, Role, cost::SPOT, wait::wait};

#[derive(Debug, Deserialize)]
pub(super) struct Machine {
    #[serde(rename = "instanceId")]
    pub id: String,
    #[serde(rename = "instanceState")]
    pub state: State,
    #[serde(rename = "privateIpAddress")]
    private: Option<Ipv4Addr>,
    #[serde(rename = "ipAddress")]
    public: Option<Ipv4Addr>,
    #[serde(rename = "stateReason")]
    reason: Option<Reason>,
    #[serde(rename = "cpuOptions")]
    cpus: Option<Cpus>,
    #[serde(rename = "tagSet", default)]
    tags: Items<Tag>,
}

#[derive(Debug, Deserialize)]
struct Cpus {
    #[serde(rename = "coreCount", default)]
    cores: u32,
    #[serde(rename = "threadsPerCore", default)]
    threads: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct State {
    pub name: String,
}

#[derive(Debug, Deserialize)]
struct Reason {
    #[serde(default)]
    message: String,
}

impl Machine {
    pub(super) fn name(&self) -> &str {
        tag(&self.tags, "Name")
    }

    /// Virtual processors.
    pub(super) fn vcpus(&self) -> u32 {
        self.cpus.as_ref().map_or(0, |c| c.cores.saturating_mul(c.threads))
    }

    pub(super) fn ended(&self) -> bool {
        self.state.name == "terminated"
    }

    fn dying(&self) -> bool {
        matches!(self.state.name.as_str(), "terminated" | "shutting-down")
    }

    fn reason(&self) -> String {
        let said = self.reason.as_ref().map_or("no reason given", |r| r.message.as_str());
        format!("AWS shows it as {}: {said}", self.state.name)
    }

    fn node(&self, name: &str, planned: Ipv4Addr) -> Instance {
        Instance {
            name: name.to_owned(),
            id: self.id.clone(),
            private_ip: self.private.unwrap_or(planned),
            public_ip: self.public,
        }
    }
}

#[derive(Deserialize)]
struct Reservation {
    #[serde(rename = "instancesSet", default)]
    machines: Items<Machine>,
}

ec2_page!(Reservations, "reservationSet", Reservation);

/// Whether this code means that another type may still be had. (AWS says `Unsupported` when a zone never has a type.)
fn no_machine(code: &str) -> bool {
    matches!(
        code,
        "InsufficientInstanceCapacity" | "InsufficientHostCapacity" | "Unsupported"
    )
}

/// Whether this code means that the same may still be had, but not as spot: none at the price, too many, or an account that has never used
/// spot and a key that may not prepare it.
fn no_spot(code: &str) -> bool {
    matches!(
        code,
        "UnfulfillableCapacity"
            | "SpotMaxPriceTooLow"
            | "MaxSpotInstanceCountExceeded"
            | "AuthFailure.ServiceLinkedRoleCreationNotPermitted"
    )
}

/// What is asked for, in this order: spot or not, and the type.
fn wishes(group: &NodeGroup) -> Vec<(bool, &str)> {
    let spot = group.types().filter(|_| group.spot).map(|kind| (true, kind));
    spot.chain(group.types().map(|kind| (false, kind))).collect()
}

/// What one launch asks for.
struct Asked<'a> {
    attempt: u32,
    kind: &'a str,
    spot: bool,
    disk_gib: u32,
}

impl Asked<'_> {
    fn words(&self) -> String {
        let market = if self.spot { SPOT } else { "" };
        format!("{}{market}", self.kind)
    }
}

impl AwsCloud {
    pub(super) async fn machines(&self, role: Option<&str>) -> Result<Vec<Machine>> {
        let params = self.mine(role).params();
        let found = self
            .list::<Reservations>(Service::Ec2, "Looking for nodes", "DescribeInstances", params)
            .await?;
        Ok(found.into_iter().flat_map(|r| r.machines.list).collect())
    }

    /// Virtual processors of all machines of the account in this region, whoever's they are.
    pub(super) async fn vcpus_in_use(&self) -> Result<u32> {
        let running = Filters::new()
            .with("instance-state-name", &["pending", "running"])
            .params();
        let doing = "Counting the processors in use";
        let found = self
            .list::<Reservations>(Service::Ec2, doing, "DescribeInstances", running)
            .await?;
        Ok(found.iter().flat_map(|r| &r.machines.list).map(Machine::vcpus).sum())
    }

    pub(super) async fn instance(
        &self,
        network: &Network,
        node: &PlannedNode,
        user_data: &[u8],
        attempt: u32,
        progress: &Progress,
    ) -> Result<Instance> {
        let role = format!("node-{}", node.name);
        let image = self.image().await?;
        let until = Deadline::after(Duration::from_secs(180));
        let what = format!("node {} to be launched", node.name);
        let machine = wait(&what, until, Duration::from_secs(2), || async {
            let mut alive = self.machines(Some(&role)).await?;
            alive.retain(|m| !m.dying());
            if let Some(first) = alive.into_iter().min_by(|a, b| a.id.cmp(&b.id)) {
                progress.note(format!("node {} {} adopted", node.name, first.id));
                return Ok(deadline::Look::Ready(first));
            }
            let launched = self.launch(network, node, user_data, attempt, image, progress).await?;
            Ok(deadline::Look::Ready(launched))
        })
        .await?;
        if machine.dying() {
            return Err(CloudError::NodeDied {
                name: node.name.clone(),
                reason: machine.reason(),
                id: machine.id,
            });
        }
        Ok(machine.node(&node.name, node.private_ip))
    }

    /// Tries the types of the castle file in their order until AWS has a machine; spot first, where the owner wants it.
    async fn launch(
        &self,
        network: &Network,
        node: &PlannedNode,
        user_data: &[u8],
        attempt: u32,
        image: &Image,
        progress: &Progress,
    ) -> Result<Machine> {
        let group = match node.role {
            Role::ControlPlane => &self.aws.control_planes,
            Role::Worker => &self.aws.workers,
        };
        let mut said = Vec::new();
        for (spot, kind) in wishes(group) {
            let asked = Asked {
                attempt,
                kind,
                spot,
                disk_gib: group.disk_gib,
            };
            let params = self.launch_params(network, node, user_data, image, &asked)?;
            let doing = format!("Launching node {}", node.name);
            // The client token makes it safe to ask again, whatever became of the answer.
            let made = self
                .settle::<Reservation>(
                    Service::Ec2,
                    &doing,
                    "RunInstances",
                    &params,
                    &["IdempotentInstanceTerminated"],
                )
                .await;
            let made = match made {
                Err(error)
                    if error
                        .code()
                        .is_some_and(|code| no_machine(code) || spot && no_spot(code)) =>
                {
                    let kind = asked.words();
                    progress.note(format!("AWS has no {kind} for node {} in {} now", node.name, node.zone));
                    said.push(format!("{kind}: {}", error.code().unwrap_or_default()));
                    continue;
                }
                made => made?,
            };
            let made = made.ok_or_else(|| CloudError::NodeDied {
                name: node.name.clone(),
                id: "unknown".into(),
                reason: format!("attempt {attempt} made a node that has ended since"),
            })?;
            let machine = made.machines.list.into_iter().next().ok_or_else(|| {
                CloudError::Unfit(Explained {
                    what: format!("Node {} was launched, but AWS names none", node.name),
                    why: "the answer is empty".into(),
                    remedy: "Start again.".into(),
                })
            })?;
            progress.note(format!(
                "node {} {} launched as {}",
                node.name,
                machine.id,
                asked.words()
            ));
            return Ok(machine);
        }
        Err(CloudError::NoCapacity {
            name: node.name.clone(),
            zone: node.zone.clone(),
            said,
        })
    }

    fn launch_params(
        &self,
        network: &Network,
        node: &PlannedNode,
        user_data: &[u8],
        image: &Image,
        asked: &Asked<'_>,
    ) -> Result<Params> {
        let role = format!("node-{}", node.name);
        let subnet = network.subnets.iter().find(|s| s.zone == node.zone).ok_or_else(|| {
            CloudError::Unfit(Explained {
                what: format!("Node {} has no place", node.name),
                why: format!("the network has no subnet in zone {}", node.zone),
                remedy: "The zones in castle.yaml were changed in the middle of a rebirth: put them back, or begin a new generation.".into(),
            })
        })?;
        // Whatever may differ between two tries is part of the token: the same token with other parameters is an error.
        let kind = asked.words();
        let token = self.token(&format!("{role}|{}|{kind}|{}", node.zone, image.id), asked.attempt);
        let interface = "NetworkInterface.1";
        let disk = "BlockDeviceMapping.1";
        let params = Params::new()
            .with("ImageId", &image.id)
            .with("InstanceType", asked.kind)
            .with("MinCount", 1)
            .with("MaxCount", 1)
            .with("ClientToken", token)
            .with("UserData", STANDARD.encode(user_data))
            .with(format!("{interface}.DeviceIndex"), 0)
            .with(format!("{interface}.SubnetId"), &subnet.id)
            .with(format!("{interface}.PrivateIpAddress"), node.private_ip)
            .with(format!("{interface}.AssociatePublicIpAddress"), true)
            .with(format!("{interface}.DeleteOnTermination"), true)
            .with(format!("{interface}.SecurityGroupId.1"), &network.nodes_group)
            .with("MetadataOptions.HttpTokens", "required")
            .with("MetadataOptions.HttpEndpoint", "enabled")
            // One hop: pods do not reach the metadata service.
            .with("MetadataOptions.HttpPutResponseHopLimit", 1)
            .with(format!("{disk}.DeviceName"), &image.root_device)
            .with(format!("{disk}.Ebs.VolumeSize"), asked.disk_gib)
            .with(format!("{disk}.Ebs.VolumeType"), "gp3")
            .with(format!("{disk}.Ebs.Encrypted"), true)
            .with(format!("{disk}.Ebs.DeleteOnTermination"), true);
        // A spot machine that is taken away ends; it can't be stopped.
        let params = if asked.spot {
            let market = "InstanceMarketOptions";
            params
                .with(format!("{market}.MarketType"), "spot")
                .with(format!("{market}.SpotOptions.SpotInstanceType"), "one-time")
                .with(
                    format!("{market}.SpotOptions.InstanceInterruptionBehavior"),
                    "terminate",
                )
        } else {
            params.with("InstanceInitiatedShutdownBehavior", "stop")
        };
        Ok(self.tagged(params, &role, &["instance", "volume", "network-interface"]))
    }

    pub(super) async fn instances_running(
        &self,
        nodes: &[Instance],
        until: Deadline,
        progress: &Progress,
    ) -> Result<Vec<Instance>> {
        let running = wait("all nodes to run", until, Duration::from_secs(2), || async {
            let machines = self.machines(None).await?;
            let mut running = Vec::new();
            let mut waiting = Vec::new();
            for node in nodes {
                match machines.iter().find(|m| m.id == node.id) {
                    Some(m) if m.dying() || m.state.name == "stopped" || m.state.name == "stopping" => {
                        let (name, id) = (node.name.clone(), node.id.clone());
                        return Err(CloudError::NodeDied {
                            name,
                            id,
                            reason: m.reason(),
                        });
                    }
                    Some(m) if m.state.name == "running" => running.push(m.node(&node.name, node.private_ip)),
                    Some(m) => waiting.push(format!("{} is {}", node.name, m.state.name)),
                    None => waiting.push(format!("{} is not visible yet", node.name)),
                }
            }
            Ok(if waiting.is_empty() {
                deadline::Look::Ready(running)
            } else {
                deadline::Look::NotYet(waiting.join(", "))
            })
        })
        .await?;
        progress.note(format!("{} nodes run", running.len()));
        Ok(running)
    }

    /// An address belongs to its interface, and that goes only when the instance has ended.
    pub(super) async fn end_instance(&self, node: &Instance, until: Deadline, progress: &Progress) -> Result<()> {
        let what = format!("node {} ({}) to end", node.name, node.id);
        wait(&what, until, Duration::from_secs(2), || async {
            let machines = self.machines(None).await?;
            let state = match machines.iter().find(|m| m.id == node.id) {
                Some(machine) if !machine.ended() => &machine.state.name,
                _ => return Ok(deadline::Look::Ready(())),
            };
            if state != "shutting-down" {
                self.terminate(std::slice::from_ref(&node.id)).await?;
                progress.note(format!("node {} {} told to end", node.name, node.id));
            }
            Ok(deadline::Look::NotYet(format!("it is {state}")))
        })
        .await
    }

    pub(super) async fn terminate(&self, ids: &[String]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let params = Params::new().list("InstanceId", ids);
        self.settle::<Done>(Service::Ec2, "Ending the nodes", "TerminateInstances", &params, &[])
            .await
            .map(|_| ())
    }
}
