//! The database that burnt with the old castle: made, backed up and filled further by the real programs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::credentials::Credentials;
use crate::ns;
use crate::seed::{BACKUP_BUCKET, REGION};
use crate::servers::run;

/// The repository's path in the bucket of the backups.
const PATH: &str = "pgbackrest";
/// Debian's user of the database's programs.
const USER: &str = "postgres";

/// What the old database left.
#[derive(Clone, Debug)]
pub struct Database {
    /// The number of orders and their checksum, as `tests/castle/database/make` prints them.
    pub orders: String,
    /// Everything that lay in the repository when the castle burnt.
    pub objects: String,
    configuration: PathBuf,
}

impl Database {
    /// Has `maker` make it in a folder below `dir`.
    pub async fn make(maker: &Path, dir: &Path, ca_pem: &Path, credentials: &Credentials) -> Result<Self> {
        let home = dir.join("database");
        let (folder, configuration) = (home.join("old"), home.join("pgbackrest"));
        for each in [&folder, &configuration] {
            std::fs::create_dir_all(each)?;
        }
        std::fs::copy(ca_pem, configuration.join("ca.pem"))?;
        let text = format!(
            "[global]\nrepo1-type=s3\nrepo1-path=/{PATH}\nrepo1-s3-bucket={BACKUP_BUCKET}\nrepo1-s3-region={REGION}\n\
             repo1-s3-endpoint=s3.{REGION}.amazonaws.com\nrepo1-s3-uri-style=path\nrepo1-storage-ca-file={}/ca.pem\n\
             repo1-s3-key={}\nrepo1-s3-key-secret={}\n",
            configuration.display(),
            credentials.aws_access_key_id,
            credentials.aws_secret_access_key
        );
        std::fs::write(configuration.join("repository.conf"), text)?;
        // The tree may lie where only root looks.
        let program = home.join("make");
        std::fs::copy(maker, &program).with_context(|| format!("copying {}", maker.display()))?;
        run(Command::new("chown").args(["-R", USER]).arg(&home)).await?;
        let mut command = Command::new("ip");
        command
            .args([
                "netns",
                "exec",
                ns::HOST,
                "setpriv",
                "--reuid",
                USER,
                "--regid",
                USER,
                "--clear-groups",
            ])
            .arg(&program)
            .arg(&folder)
            .arg(&configuration);
        let said = run(&mut command).await.context("making the old castle's database")?;
        let mut made = Database {
            orders: said.trim().to_owned(),
            objects: String::new(),
            configuration,
        };
        made.objects = made.list("").await?;
        anyhow::ensure!(
            made.objects.contains("backup.info"),
            "nothing was backed up: {}",
            made.objects
        );
        Ok(made)
    }

    /// Everything that lies in the repository itself, with sizes and times; or what a path below it holds, when one is named.
    pub async fn list(&self, below: &str) -> Result<String> {
        let mut all = String::new();
        for part in ["archive", "backup"] {
            let mut command = Command::new("ip");
            command
                .args([
                    "netns",
                    "exec",
                    ns::HOST,
                    "pgbackrest",
                    "--config=/dev/null",
                    "--log-level-file=off",
                ])
                .arg(format!("--config-include-path={}", self.configuration.display()))
                .args(["--output=json", "--recurse", "repo-ls", &format!("{below}{part}")]);
            all += &run(&mut command).await?;
        }
        Ok(all)
    }
}
