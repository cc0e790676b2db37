//! Treasures come back from S3 into the castle's claims: files from restic repositories and from Longhorn's
//! backups, databases from pgBackRest's.
//!
//! Inputs: a Kubernetes client, where the backups are, the keys to them. Outputs: claims whose files are verified to be
//! what the backup holds, a ledger in the cluster that says so, and a gate that holds applications back until then.
//!
//! [`order`] runs on the laptop and follows; [`job`] runs in the cluster and does the work; [`repository`] reads restic,
//! [`longhorn`] Longhorn.
//! [`postgres`] is the same for databases; [`operator`] for those that an operator runs and restores by itself.
//! Nothing here ever writes to a repository: no lock, no cache, no key.

mod ahead;
mod behind;
#[cfg(test)]
mod damaged;
#[cfg(test)]
mod depth;
pub mod drill;
mod error;
mod follow;
pub mod gate;
pub mod job;
mod jobs;
pub mod ledger;
pub mod longhorn;
mod objects;
mod older;
pub mod operator;
pub mod order;
mod owner;
mod patient;
mod place;
mod policy;
pub mod postgres;
mod report;
pub mod repository;
mod room;
mod store;
mod survey;
mod target;
mod tell;
#[cfg(test)]
mod tests;
mod verify;
mod windows;
mod write;

pub use error::RestoreError;
pub use older::Whole;
