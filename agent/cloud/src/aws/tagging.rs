//! Which tags things carry, and how they are found by them.

use sha2::{Digest, Sha256};
use skykeep_aws::Params;
use skykeep_core::ids::{TAG_CASTLE, TAG_GENERATION, TAG_ROLE};

use super::AwsCloud;

impl AwsCloud {
    /// Tag name and value of everything with this role.
    pub(super) fn tags_of(&self, role: &str) -> [(&'static str, String); 4] {
        [
            ("Name", self.name_of(role)),
            (TAG_CASTLE, self.tags.castle.clone()),
            (TAG_GENERATION, self.tags.generation.to_string()),
            (TAG_ROLE, role.to_owned()),
        ]
    }

    /// The name that people see.
    pub(super) fn name_of(&self, role: &str) -> String {
        format!("{}-{role}", self.tags.castle)
    }

    /// A name for load balancers and target groups, which have no search by tag and at most 32 letters: it holds the
    /// generation's random end.
    pub(super) fn short_name(&self, role: &str) -> String {
        let generation = self.tags.generation.to_string().to_lowercase();
        let end: String = generation.chars().skip(generation.len().saturating_sub(12)).collect();
        format!("sk-{end}-{role}")
    }

    /// `TagSpecification`s of a create call at EC2.
    pub(super) fn tagged(&self, mut params: Params, role: &str, types: &[&str]) -> Params {
        for (i, kind) in types.iter().enumerate() {
            params.push(format!("TagSpecification.{}.ResourceType", i + 1), kind);
            for (j, (key, value)) in self.tags_of(role).into_iter().enumerate() {
                params.push(format!("TagSpecification.{}.Tag.{}.Key", i + 1, j + 1), key);
                params.push(format!("TagSpecification.{}.Tag.{}.Value", i + 1, j + 1), value);
            }
        }
        params
    }

    /// `Tags` of a create call at ELB.
    pub(super) fn tagged_elb(&self, mut params: Params, role: &str) -> Params {
        for (j, (key, value)) in self.tags_of(role).into_iter().enumerate() {
            params.push(format!("Tags.member.{}.Key", j + 1), key);
            params.push(format!("Tags.member.{}.Value", j + 1), value);
        }
        params
    }

    /// Filters for this generation's things, of one role when it is given.
    pub(super) fn mine(&self, role: Option<&str>) -> Filters {
        let filters = Filters::new()
            .with(&format!("tag:{TAG_CASTLE}"), &[&self.tags.castle])
            .with(&format!("tag:{TAG_GENERATION}"), &[&self.tags.generation.to_string()]);
        match role {
            Some(role) => filters.with(&format!("tag:{TAG_ROLE}"), &[role]),
            None => filters,
        }
    }

    /// A client token: the same attempt at the same thing always has the same.
    pub(super) fn token(&self, what: &str, attempt: u32) -> String {
        let text = format!("skykeep|{}|{}|{what}|{attempt}", self.tags.castle, self.tags.generation);
        hex::encode(Sha256::digest(text.as_bytes()))
    }
}

/// EC2's filters.
pub(super) struct Filters(Params, usize);

impl Filters {
    pub(super) fn new() -> Self {
        Filters(Params::new(), 0)
    }

    pub(super) fn with(self, name: &str, values: &[&str]) -> Self {
        let n = self.1 + 1;
        let params = self
            .0
            .with(format!("Filter.{n}.Name"), name)
            .list(&format!("Filter.{n}.Value"), values);
        Filters(params, n)
    }

    pub(super) fn params(self) -> Params {
        self.0
    }
}
