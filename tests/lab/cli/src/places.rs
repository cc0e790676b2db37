//! Where things are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folders of one run.
#[derive(Clone)]
pub struct Places {
    /// The source tree.
    pub tree: PathBuf,
    /// What is built or downloaded once.
    pub cache: PathBuf,
    /// What belongs to this run.
    pub work: PathBuf,
    /// The program under test.
    pub skykeep: PathBuf,
    /// How slow the cloud is.
    pub delays: lab_ec2::Delays,
}

impl Places {
    /// From the environment: `SKYKEEP_CACHE`; the work folder is made afresh.
    pub fn new(skykeep: &Path, name: &str) -> Result<Self> {
        let cache = PathBuf::from(std::env::var_os("SKYKEEP_CACHE").unwrap_or_else(|| "/var/cache/skykeep".into()));
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize()?;
        let work = cache.join("run").join(name);
        if work.exists() {
            std::fs::remove_dir_all(&work).with_context(|| format!("emptying {}", work.display()))?;
        }
        std::fs::create_dir_all(&work)?;
        Ok(Places {
            tree,
            cache,
            work,
            skykeep: skykeep.canonicalize().context("the skykeep binary")?,
            delays: lab_ec2::Delays::bare(),
        })
    }
}
