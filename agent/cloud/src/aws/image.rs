//! Which image nodes are made of.

use serde::Deserialize;
use serde_json::{Value, json};
use skykeep_aws::{AwsError, Params, Service};
use skykeep_core::Explained;

use super::{AwsCloud, call::lift, xml::ec2_page};
use crate::{CloudError, Result};

#[derive(Debug, Deserialize)]
pub(super) struct Image {
    #[serde(rename = "imageId")]
    pub id: String,
    #[serde(rename = "rootDeviceName", default)]
    pub root_device: String,
    #[serde(rename = "imageState", default)]
    state: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    pub name: String,
}

ec2_page!(Images, "imagesSet", Image);

impl AwsCloud {
    /// The castle file's image, seen to be usable. Asked for once.
    pub(super) async fn image(&self) -> Result<&Image> {
        self.image.get_or_try_init(|| self.find_image()).await
    }

    async fn find_image(&self) -> Result<Image> {
        let wanted = match self.aws.image.strip_prefix("ssm:") {
            Some(parameter) => self.parameter(parameter).await?,
            None => self.aws.image.clone(),
        };
        let unfit = |why: String| {
            CloudError::Unfit(Explained {
                what: format!("The image {wanted} can't be used"),
                why,
                remedy: "Set cloud.aws.image to a stock Debian 12 amd64 image of this region (wiki.debian.org/Cloud/AmazonEC2Image), or to ssm:/aws/service/debian/release/12/latest/amd64.".into(),
            })
        };
        let params = Params::new().with("ImageId.1", &wanted);
        let doing = "Looking at the image";
        let found = self
            .list::<Images>(Service::Ec2, doing, "DescribeImages", params)
            .await?;
        let region = &self.aws.region;
        let image = found
            .into_iter()
            .next()
            .ok_or_else(|| unfit(format!("there is none of this id in {region}")))?;
        match image.state == "available" && image.architecture == "x86_64" {
            true => Ok(image),
            false => Err(unfit(format!(
                "it is {} and made for {}",
                image.state, image.architecture
            ))),
        }
    }

    async fn parameter(&self, name: &str) -> Result<String> {
        let doing = format!("Reading the SSM parameter {name}");
        let input = json!({"Name": name});
        let answer = self.query.json(Service::Ssm, "GetParameter", &input).await;
        let answer = answer.map_err(lift(&doing))?;
        let value = answer.pointer("/Parameter/Value").and_then(Value::as_str);
        value.map(str::to_owned).ok_or_else(|| {
            lift(&doing)(AwsError::Unreadable {
                action: "GetParameter".into(),
                why: "it has no Parameter.Value".into(),
            })
        })
    }
}
