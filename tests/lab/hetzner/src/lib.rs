//! The laboratory's double of the Hetzner Cloud API: locations, types, networks, firewalls, placement groups, servers, load balancers,
//! actions.
//!
//! Input: a [`Config`] (who may ask, what may be had) and a [`lab_machines::Backend`] that makes real machines. Output: a [`Cloud`]
//! whose [`Cloud::router`] answers below `/v1`, strictly: unknown fields are refused, things are locked while an action runs, refusals
//! have Hetzner's codes. State lives in memory. The judge (`judge/run`) drives it with Hetzner's own Python client.

mod ask;
mod balancers;
mod cloud;
mod config;
mod error;
mod faults;
mod labels;
mod networks;
mod render;
mod servers;
mod service;
mod state;
mod sync;
mod things;

pub use cloud::Cloud;
pub use config::{Config, Limits, ServerType, Token};
pub use faults::{Call, Fault, Faults};
