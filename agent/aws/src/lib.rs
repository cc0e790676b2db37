//! Amazon's wire, and nothing else: signatures (Version 4), the query protocol of EC2, ELBv2,
//! STS and IAM, the JSON protocol of SSM and Service Quotas, and objects in S3.
//!
//! Inputs: an HTTP client, credentials, a region. Outputs: XML texts, objects, presigned URLs, and [`AwsError`]s that
//! say what happened, why and what to do. Nothing here knows what a castle is.

mod clock;
mod credentials;
mod error;
mod iam;
mod query;
mod region;
mod remedy;
mod role;
pub mod s3;
mod sign;

pub use credentials::Credentials;
pub use error::AwsError;
pub use iam::{AccessKey, Iam};
pub use query::{Params, Query, Service};
pub use region::{host, partition};
pub use s3::{Condition, Entry, Head, Object, Put, S3};
