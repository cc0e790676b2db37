//! The store of lease and journal: objects that are written under conditions.

use futures::future::BoxFuture;
use skykeep_aws::{AwsError, Condition, Object, Put, S3};

/// As much of S3 as lease and journal need.
pub trait Store: Send + Sync {
    /// The object, or `None`.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Object>, AwsError>>;
    /// Writes under a condition. Not repeated by itself after a lost answer.
    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        condition: Condition<'a>,
    ) -> BoxFuture<'a, Result<Put, AwsError>>;
}

impl Store for S3 {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Object>, AwsError>> {
        Box::pin(self.get(key))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        condition: Condition<'a>,
    ) -> BoxFuture<'a, Result<Put, AwsError>> {
        Box::pin(self.put(key, bytes, condition))
    }
}
