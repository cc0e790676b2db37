//! What the account may still take, from Service Quotas and from what it holds.

use serde_json::{Value, json};
use skykeep_aws::{AwsError, Service};
use skykeep_core::Explained;

use super::{AwsCloud, call::lift};
use crate::{CloudError, Result};

/// A quota: service, code, and its name in the AWS console.
struct Quota(&'static str, &'static str, &'static str);

const VCPUS: Quota = Quota(
    "ec2",
    "L-1216C47A",
    "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
);
const ADDRESSES: Quota = Quota("ec2", "L-0263D0A3", "EC2-VPC Elastic IPs");
const NETWORKS: Quota = Quota("vpc", "L-F678F1CE", "VPCs per Region");

/// What may still be taken; `None` where AWS does not let us see the quota.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    pub vcpus: Option<u32>,
    pub addresses: Option<u32>,
    pub networks: Option<u32>,
}

impl AwsCloud {
    /// Compares what the castle still needs (what it holds already does not count twice) with what is left.
    pub(super) async fn quotas(&self, vcpus_needed: u32) -> Result<Left> {
        let (vcpus, addresses, networks) = tokio::join!(
            self.vcpus_left(vcpus_needed),
            self.addresses_left(),
            self.networks_left()
        );
        Ok(Left {
            vcpus: vcpus?,
            addresses: addresses?,
            networks: networks?,
        })
    }

    async fn vcpus_left(&self, needed: u32) -> Result<Option<u32>> {
        let (most, taken, ours) = tokio::join!(self.quota(&VCPUS), self.vcpus_in_use(), self.machines(None));
        let ours: u32 = ours?
            .iter()
            .filter(|m| matches!(m.state.name.as_str(), "pending" | "running"))
            .map(|m| m.vcpus())
            .sum();
        self.judge(&VCPUS, most?, taken?, ours, needed)
    }

    async fn addresses_left(&self) -> Result<Option<u32>> {
        let (most, taken, ours) = tokio::join!(self.quota(&ADDRESSES), self.addresses_in_use(), self.all_addresses());
        let needed = self.addresses_wanted();
        self.judge(&ADDRESSES, most?, count(taken?), count(ours?.len()), count(needed))
    }

    async fn networks_left(&self) -> Result<Option<u32>> {
        let (most, taken, ours) = tokio::join!(self.quota(&NETWORKS), self.networks_in_use(), self.vpcs());
        self.judge(&NETWORKS, most?, count(taken?), count(ours?.len()), 1)
    }

    fn judge(&self, quota: &Quota, most: Option<u32>, taken: u32, ours: u32, needed: u32) -> Result<Option<u32>> {
        let Some(most) = most else { return Ok(None) };
        let left = most.saturating_sub(taken);
        if left.saturating_add(ours) >= needed {
            return Ok(Some(left));
        }
        let Quota(service, code, name) = quota;
        Err(CloudError::Unfit(Explained {
            what: format!("The account's quota `{name}` is too small"),
            why: format!(
                "the castle needs {needed}, the account may have {most} in {} and {taken} are taken",
                self.aws.region
            ),
            remedy: format!(
                "Give back what nobody needs, or ask for more: AWS console, Service Quotas, {service}, {code}."
            ),
        }))
    }

    /// The applied quota, else AWS's default. A key that may not look is no reason to stop.
    async fn quota(&self, quota: &Quota) -> Result<Option<u32>> {
        let input = json!({"ServiceCode": quota.0, "QuotaCode": quota.1});
        for action in ["GetServiceQuota", "GetAWSDefaultServiceQuota"] {
            match self.query.json(Service::Quotas, action, &input).await {
                Ok(answer) => return Ok(answer.pointer("/Quota/Value").and_then(Value::as_f64).map(whole)),
                Err(error) if error.is("NoSuchResourceException") => {}
                Err(error) if may_not_look(&error) => return Ok(None),
                Err(error) => return Err(lift("Looking at the account's quotas")(error)),
            }
        }
        Ok(None)
    }
}

fn may_not_look(error: &AwsError) -> bool {
    // Small partitions have no Service Quotas at all.
    error.is("AccessDeniedException") || matches!(error, AwsError::NoAnswer { .. })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
fn whole(value: f64) -> u32 {
    value.clamp(0.0, f64::from(u32::MAX)) as u32
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
