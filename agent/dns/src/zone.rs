//! A zone at a supplier.

use futures::future::BoxFuture;

use crate::{
    change::{Change, Record},
    error::DnsError,
};

/// A zone that a supplier serves and lets us change.
pub trait Zone: Send + Sync {
    /// The zone's name.
    fn name(&self) -> &str;

    /// Every record of the zone.
    fn records(&self) -> BoxFuture<'_, Result<Vec<Record>, DnsError>>;

    /// Makes a change in one transaction: all of it or nothing. Writes nothing when nothing is to be done.
    ///
    /// Not repeated here: after an error of the network read the records and plan anew.
    fn apply<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), DnsError>>;
}
