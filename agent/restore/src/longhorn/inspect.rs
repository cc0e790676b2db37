//! A look from the laptop, before anything is made.

use std::sync::Arc;

use skykeep_aws::S3;

use super::{
    ext4::{Device, kind_of},
    job::Spec,
    older,
};
use crate::{
    RestoreError,
    older::{INDEX_PATIENCE, Look},
    repository::blocking,
    store::{Bucket, Store},
};

/// What a backup holds, as far as its configuration and its first block tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The backup's name.
    pub backup: String,
    /// When its snapshot was made, RFC 3339.
    pub time: String,
    /// The volume's bytes.
    pub size: u64,
    /// The bytes of its blocks, unpacked: what is not in them is zeros.
    pub bytes: u64,
}

/// Finds the backup, checks that all its blocks are there, and that it holds a file system that is read here. Reads only.
pub async fn inspect(s3: Arc<S3>, spec: Spec) -> Result<Seen, RestoreError> {
    let store: Arc<dyn Store> = Arc::new(Bucket::new(s3));
    blocking(move || {
        let whole = || older::newest_whole(&store, &spec, Look::Index, INDEX_PATIENCE);
        let blocks = spec.find(Box::new(store.clone())).map_err(|e| e.or_else_whole(whole))?;
        let mut head = vec![0; 2048];
        blocks.read_at(0, &mut head)?;
        kind_of(&spec.volume, &head)?;
        Ok(Seen {
            backup: blocks.backup.name.clone(),
            time: blocks.backup.time.to_string(),
            size: blocks.volume.size,
            bytes: blocks.backup.blocks.len() as u64 * blocks.backup.block_size,
        })
    })
    .await
}
