//! IAM, as far as an access key can be switched off and on.

use std::sync::Arc;

use serde::Deserialize;

use crate::{AwsError, Credentials, Params, Query, Service, region};

/// IAM of one partition, asked with a key of its own.
#[derive(Clone)]
pub struct Iam(Query);

/// An access key of a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccessKey {
    /// Its id.
    #[serde(rename = "AccessKeyId")]
    pub id: String,
    /// `Active` or `Inactive`.
    status: String,
}

impl AccessKey {
    /// Whether it can be used.
    pub fn is_active(&self) -> bool {
        self.status == "Active"
    }
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "ListAccessKeysResult")]
    result: ListedResult,
}

#[derive(Deserialize)]
struct ListedResult {
    #[serde(rename = "AccessKeyMetadata")]
    keys: Members,
}

#[derive(Default, Deserialize)]
struct Members {
    #[serde(default)]
    member: Vec<AccessKey>,
}

impl Iam {
    /// A client; `region` is any region of the partition.
    pub fn new(http: reqwest::Client, credentials: Arc<Credentials>, region: &str) -> Self {
        Iam(Query::new(http, credentials, region::of_iam(region)))
    }

    /// The user's access keys. A user has two at most, so there is one page.
    pub async fn keys(&self, user: &str) -> Result<Vec<AccessKey>, AwsError> {
        let params = Params::new().with("UserName", user);
        let text = self.0.ask(Service::Iam, "ListAccessKeys", &params).await?;
        let listed: Listed = quick_xml::de::from_str(&text).map_err(|e| AwsError::Unreadable {
            action: "ListAccessKeys".into(),
            why: e.to_string(),
        })?;
        Ok(listed.result.keys.member)
    }

    /// Switches a key on or off. To do it twice is to do it once; AWS's services notice it after some seconds.
    pub async fn set(&self, user: &str, key: &str, active: bool) -> Result<(), AwsError> {
        let params = Params::new()
            .with("UserName", user)
            .with("AccessKeyId", key)
            .with("Status", if active { "Active" } else { "Inactive" });
        self.0.ask(Service::Iam, "UpdateAccessKey", &params).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_keys_are_read_two_or_none() {
        let read = |members: &str| {
            let text = format!(
                "<ListAccessKeysResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ListAccessKeysResult>\
                 <IsTruncated>false</IsTruncated><AccessKeyMetadata>{members}</AccessKeyMetadata></ListAccessKeysResult>\
                 <ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></ListAccessKeysResponse>"
            );
            quick_xml::de::from_str::<Listed>(&text).unwrap().result.keys.member
        };
        let member = |id: &str, status: &str| {
            format!(
                "<member><UserName>home</UserName><AccessKeyId>{id}</AccessKeyId><Status>{status}</Status>\
                 <CreateDate>2024-01-01T00:00:00Z</CreateDate></member>"
            )
        };
        let two = read(&format!("{}{}", member("AKIA1", "Active"), member("AKIA2", "Inactive")));
        let seen: Vec<(&str, bool)> = two.iter().map(|k| (k.id.as_str(), k.is_active())).collect();
        assert_eq!(seen, [("AKIA1", true), ("AKIA2", false)]);
        assert!(read("").is_empty());
    }
}
