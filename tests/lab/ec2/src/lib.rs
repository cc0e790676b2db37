//! The laboratory's double of AWS: STS, IAM's access keys, EC2, Elastic Load Balancing v2 and SSM's image parameters.
//!
//! Input: a [`Config`] (who may ask, which addresses and images there are) and a [`Backend`] that makes real machines.
//! Output: a [`Cloud`] whose [`Cloud::router`] answers HTTP as AWS does, strictly: signatures are verified, unknown
//! parameters refused, errors have AWS's codes and sentences. State lives in memory. The judge (`judge/run`) drives it with botocore.

mod cloud;
mod config;
mod ctx;
mod delays;
mod ec2;
mod elb;
mod error;
mod faults;
mod filter;
mod iam;
mod inventory;
mod log;
mod params;
mod quotas;
mod service;
mod sigv4;
mod ssm;
mod state;
mod sts;
mod sync;
mod xml;

pub use cloud::Cloud;
pub use config::{Config, Credential, IMAGE, Image, InstanceType, Quotas};
pub use delays::Delays;
pub use error::Service;
pub use faults::{Fault, Faults};
pub use lab_machines::{Memory, MemoryBackend};
pub use log::Call;
