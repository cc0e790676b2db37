//! Which generations of a castle have something here: what a run left behind that nobody finished or destroyed.

use std::collections::BTreeSet;

use serde::Deserialize;
use skykeep_aws::{Params, Service};
use skykeep_core::{
    Generation,
    ids::{TAG_CASTLE, TAG_GENERATION},
};

use super::{AwsCloud, tagging::Filters, xml::ec2_page};
use crate::Result;

#[derive(Debug, Deserialize)]
struct Label {
    #[serde(rename = "resourceId")]
    thing: String,
    #[serde(default)]
    value: String,
}

ec2_page!(Labels, "tagSet", Label);

impl AwsCloud {
    /// By the tags of everything that EC2 holds; nothing of ours stands without a network, which is EC2's.
    pub(super) async fn all_generations(&self) -> Result<Vec<Generation>> {
        let look = async |params: Params| {
            let doing = "Looking for generations";
            self.list::<Labels>(Service::Ec2, doing, "DescribeTags", params).await
        };
        let ours = Filters::new()
            .with("key", &[TAG_CASTLE])
            .with("value", &[&self.tags.castle]);
        let generations = Filters::new().with("key", &[TAG_GENERATION]);
        let (ours, generations) = tokio::join!(look(ours.params()), look(generations.params()));
        let ours: BTreeSet<String> = ours?.into_iter().map(|label| label.thing).collect();
        let found: BTreeSet<Generation> = generations?
            .into_iter()
            .filter(|label| ours.contains(&label.thing))
            // A tag that is no generation was written by somebody else.
            .filter_map(|label| label.value.parse().ok())
            .collect();
        Ok(found.into_iter().collect())
    }
}
