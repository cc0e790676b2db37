//! `skykeep restore-job`: what runs in the castle to bring one treasure back.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use skykeep_core::{Explained, Trouble};
use skykeep_restore::{job, postgres::job as database};

#[derive(clap::Args)]
pub struct RestoreJobArgs {
    /// What to restore
    #[arg(long, required_unless_present = "copy_to")]
    spec: Option<PathBuf>,
    /// It is a PostgreSQL database, and this is its own image
    #[arg(long)]
    postgres: bool,
    /// It is a Longhorn backup
    #[arg(long, conflicts_with = "postgres")]
    longhorn: bool,
    /// Only put this program there, for a container of another image
    #[arg(long, conflicts_with = "spec")]
    copy_to: Option<PathBuf>,
}

pub async fn run(args: RestoreJobArgs) -> Result<(), Trouble> {
    if let Some(to) = &args.copy_to {
        copy_to(to)?;
    }
    match &args.spec {
        Some(spec) if args.postgres => database::run(spec, database::Folders::in_the_cluster()).await?,
        Some(spec) if args.longhorn => job::run_longhorn(spec).await?,
        Some(spec) => job::run(spec).await?,
        None => {}
    }
    Ok(())
}

fn copy_to(to: &Path) -> Result<(), Explained> {
    let copied =
        fs::copy("/proc/self/exe", to).and_then(|_| fs::set_permissions(to, fs::Permissions::from_mode(0o755)));
    copied.map_err(|e| Explained {
        what: format!("The program could not be copied to {}", to.display()),
        why: e.to_string(),
        remedy: "Start again; if it stays so, look at the node's free disk.".into(),
    })
}
