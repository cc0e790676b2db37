//! Security groups: who may reach whom.

use ipnet::Ipv4Net;
use serde::Deserialize;
use skykeep_aws::{Params, Service};
use skykeep_core::{Progress, castle::EntryPort, ids::TAG_ROLE};

use super::{
    AwsCloud,
    rules::{self, Permission},
    xml::{Done, Items, Tag, ec2_page, tag},
};
use crate::Result;

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    #[serde(rename = "groupId")]
    pub id: String,
    #[serde(rename = "vpcId", default)]
    vpc: String,
    #[serde(rename = "ipPermissions", default)]
    pub ingress: Items<Permission>,
    #[serde(rename = "tagSet", default)]
    pub tags: Items<Tag>,
}

impl Group {
    pub(super) fn name(&self) -> &str {
        tag(&self.tags, "Name")
    }
}

ec2_page!(Groups, "securityGroupInfo", Group);

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "groupId")]
    id: String,
}

impl AwsCloud {
    pub(super) async fn all_groups(&self) -> Result<Vec<Group>> {
        let doing = "Looking for the security groups";
        self.list::<Groups>(Service::Ec2, doing, "DescribeSecurityGroups", self.mine(None).params())
            .await
    }

    /// The groups of the nodes and of the entry, with exactly our rules in them.
    pub(super) async fn groups(
        &self,
        vpc: &str,
        sources: &[Ipv4Net],
        ports: &[EntryPort],
        progress: &Progress,
    ) -> Result<(String, String)> {
        let (nodes, entry) = tokio::join!(
            self.group(vpc, "nodes", "Nodes of a Skykeep castle", progress),
            self.group(vpc, "entry", "Public entry of a Skykeep castle", progress)
        );
        let (nodes, entry) = (nodes?, entry?);
        let (to_nodes, to_entry) = tokio::join!(
            self.set_rules(&nodes, rules::of_nodes(&nodes.id, &entry.id, sources, ports)),
            self.set_rules(&entry, rules::of_entry(ports))
        );
        to_nodes?;
        to_entry?;
        Ok((nodes.id, entry.id))
    }

    async fn group(&self, vpc: &str, role: &str, description: &str, progress: &Progress) -> Result<Group> {
        let role = format!("group-{role}");
        self.adopt(
            "security group",
            progress,
            || async {
                let mut all = self.all_groups().await?;
                all.retain(|g| g.vpc == vpc && tag(&g.tags, TAG_ROLE) == role);
                Ok(all)
            },
            || async {
                let params = Params::new()
                    .with("GroupName", self.name_of(&role))
                    .with("GroupDescription", description)
                    .with("VpcId", vpc);
                let params = self.tagged(params, &role, &["security-group"]);
                let doing = "Creating a security group";
                let fine = ["InvalidGroup.Duplicate"];
                let id = match self
                    .settle::<Created>(Service::Ec2, doing, "CreateSecurityGroup", &params, &fine)
                    .await?
                {
                    Some(made) => made.id,
                    // The name is unique in the network, so the one that is there already is ours.
                    None => self.group_by_role(vpc, &role).await?,
                };
                Ok(Group {
                    id,
                    vpc: vpc.to_owned(),
                    ingress: Items::default(),
                    tags: Items::default(),
                })
            },
            |id| self.delete_group(id),
            |group| &group.id,
        )
        .await
    }

    async fn group_by_role(&self, vpc: &str, role: &str) -> Result<String> {
        for _ in 0..15 {
            if let Some(found) = self
                .all_groups()
                .await?
                .into_iter()
                .find(|g| g.vpc == vpc && tag(&g.tags, TAG_ROLE) == role)
            {
                return Ok(found.id);
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        Err(crate::CloudError::Unfit(skykeep_core::Explained {
            what: format!("The security group {role} can't be created"),
            why: "its name is taken by one that is not the castle's".into(),
            remedy: "Look into the network in the AWS console; begin a new generation if somebody changed it.".into(),
        }))
    }

    /// Takes away what should not be there (another laptop's address) and adds what is missing.
    async fn set_rules(&self, group: &Group, wanted: Vec<rules::Rule>) -> Result<()> {
        let present = rules::flat(&group.ingress.list);
        let differ = |a: &[rules::Rule], b: &[rules::Rule]| -> Vec<rules::Rule> {
            a.iter().filter(|r| !b.contains(r)).cloned().collect()
        };
        for (action, some, fine) in [
            (
                "RevokeSecurityGroupIngress",
                differ(&present, &wanted),
                "InvalidPermission.NotFound",
            ),
            (
                "AuthorizeSecurityGroupIngress",
                differ(&wanted, &present),
                "InvalidPermission.Duplicate",
            ),
        ] {
            // One by one: of a whole batch AWS refuses everything when one is there already.
            for rule in some {
                let params = rule.params(Params::new().with("GroupId", &group.id));
                let doing = "Setting the rules of a security group";
                self.settle::<Done>(Service::Ec2, doing, action, &params, &[fine])
                    .await?;
            }
        }
        Ok(())
    }

    /// Takes all rules away, so that groups that name one another can be deleted.
    pub(super) async fn empty_group(&self, group: &Group) -> Result<()> {
        self.set_rules(group, Vec::new()).await
    }

    pub(super) async fn delete_group(&self, id: String) -> Result<()> {
        let params = Params::new().with("GroupId", id);
        let doing = "Deleting a security group";
        self.change::<Done>(Service::Ec2, doing, "DeleteSecurityGroup", &params)
            .await
            .map(|_| ())
    }
}
