//! What a node printed: the only witness of a node that never came.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use skykeep_aws::{AwsError, Params, Service};

use super::AwsCloud;
use crate::{CloudError, Instance, Result, console::tail};

#[derive(Deserialize)]
struct Output {
    /// Absent until the machine has printed something.
    #[serde(default)]
    output: String,
}

impl AwsCloud {
    /// AWS keeps the last 64 KiB. Machines of the Nitro kind (t3, m5 and later) show what they print now; older ones what they
    /// had printed some minutes ago.
    pub(super) async fn console_of(&self, node: &Instance, lines: usize) -> Result<Vec<String>> {
        let doing = format!("Reading what node {} printed", node.name);
        let params = Params::new().with("InstanceId", &node.id);
        let now = params.clone().with("Latest", true);
        let no_nitro = ["UnsupportedOperation", "InvalidParameterCombination"];
        let action = "GetConsoleOutput";
        let answer = match self
            .settle::<Output>(Service::Ec2, &doing, action, &now, &no_nitro)
            .await?
        {
            Some(answer) => Some(answer),
            None => {
                self.settle::<Output>(Service::Ec2, &doing, action, &params, &[])
                    .await?
            }
        };
        // AWS breaks base64 into lines.
        let text: String = answer
            .map_or_else(String::new, |a| a.output)
            .split_whitespace()
            .collect();
        let bytes = STANDARD.decode(text).map_err(|e| CloudError::Aws {
            doing,
            error: Box::new(AwsError::Unreadable {
                action: action.to_owned(),
                why: e.to_string(),
            }),
        })?;
        Ok(tail(&bytes, lines))
    }
}
