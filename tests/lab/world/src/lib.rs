//! The laboratory's internet.
//!
//! In: where to keep things, what to publish, and the address of the EC2 double. Out: three network namespaces (`sk-inet`,
//! `sk-visitor`, `sk-host`) in which every public name that a rebirth talks to answers, with a certificate of the laboratory's CA:
//! AWS (passed on to the double), S3 (SeaweedFS), Cloudflare (a double in front of a real Knot DNS), Infisical (a double), GitHub
//! (the real `git http-backend`), release files, and an OCI registry. A resolver and a DHCP server complete it.
//! All that the burnt-down castle left is there: its repository, buckets, backup, secrets and DNS records.

mod ca;
mod children;
pub mod cloudflare;
mod credentials;
mod database;
pub mod faults;
mod files;
mod front;
mod git;
mod http;
mod infisical;
mod names;
pub mod ns;
mod proxy;
mod scan;
mod seed;
mod servers;
mod sessions;
mod visitor;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::ca::Ca;
use crate::children::Children;
use crate::cloudflare::{Cloudflare, Knot};
use crate::faults::Faults;
use crate::front::Services;
use crate::git::Git;
use crate::infisical::Infisical;
use crate::proxy::Place;

pub use crate::ca::Issued;
pub use crate::credentials::{CLOUDFLARE_ZONE, Credentials, INFISICAL_PROJECT};
pub use crate::database::Database;
pub use crate::scan::PortScan;
pub use crate::seed::{BACKUP_BUCKET, Backup, REGION, SITE_HOST, STATE_BUCKET};
pub use crate::sessions::Sessions;
pub use crate::visitor::Visit;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// The laboratory's cache (`SKYKEEP_CACHE`): SeaweedFS and the built parts lie there.
    pub cache: PathBuf,
    /// Everything of this run; `ca.pem` and its key survive in it, the rest is made afresh.
    pub work_dir: PathBuf,
    /// The registry's files; absent means no registry.
    pub registry_root: PathBuf,
    /// Published files, as `HOST/PATH`; absent means 404.
    pub artifacts_root: PathBuf,
    /// The content of the castle's repository; absent means an empty GitHub.
    pub castle_repo_dir: PathBuf,
    /// The generator of the example site (tests/castle/site/generate).
    pub site_generator: PathBuf,
    /// A folder with a Longhorn backup that goes into the backups' bucket, if one is wanted.
    pub longhorn: Option<PathBuf>,
    /// What makes the old castle's database (tests/castle/database/make); without it there is none.
    pub database_maker: Option<PathBuf>,
    /// Where the EC2 double listens, in the namespace of this process.
    pub upstream_aws: SocketAddr,
    /// Where Hetzner's double listens.
    pub upstream_hetzner: SocketAddr,
}

/// A running internet. Call [`World::stop`]; a dropped world kills its servers but leaves the namespaces to the next start.
pub struct World {
    config: WorldConfig,
    credentials: Credentials,
    ca: Arc<Ca>,
    ca_pem: PathBuf,
    children: Children,
    cloudflare: Arc<Cloudflare>,
    faults: Arc<Faults>,
    sessions: Arc<Sessions>,
    commit: Option<String>,
    backup: Backup,
    database: Option<Database>,
    front: JoinHandle<()>,
}

impl World {
    /// Builds everything, and ends what a crashed run left. Takes about ten seconds.
    pub async fn start(config: WorldConfig) -> Result<Self> {
        let work = &config.work_dir;
        std::fs::create_dir_all(work).with_context(|| format!("creating {}", work.display()))?;
        let children = Children::claim(&work.join("log")).await?;
        let state = work.join("state");
        if state.exists() {
            std::fs::remove_dir_all(&state).with_context(|| format!("emptying {}", state.display()))?;
        }
        std::fs::create_dir_all(&state)?;
        let started = Self::build(&config, &children, &state).await;
        match started {
            Ok(built) => {
                let Built {
                    credentials,
                    ca,
                    ca_pem,
                    cloudflare,
                    faults,
                    sessions,
                    commit,
                    backup,
                    database,
                    front,
                } = built;
                Ok(Self {
                    config,
                    credentials,
                    ca,
                    ca_pem,
                    children,
                    cloudflare,
                    faults,
                    sessions,
                    commit,
                    backup,
                    database,
                    front,
                })
            }
            Err(error) => {
                let error = match children.check() {
                    Err(dead) => error.context(dead),
                    Ok(()) => error,
                };
                children.stop().await;
                ns::destroy().await;
                Err(error)
            }
        }
    }

    async fn build(config: &WorldConfig, children: &Children, state: &Path) -> Result<Built> {
        let work = &config.work_dir;
        let credentials = Credentials::laboratory();
        std::fs::write(
            work.join("credentials.json"),
            serde_json::to_string_pretty(&credentials)?,
        )?;
        let ca = Arc::new(Ca::open(work)?);
        let ca_pem = work.join("ca.pem");
        ns::create().await?;
        servers::dnsmasq(children, &state.join("dnsmasq"))?;
        let (unbound, knot, s3, registry) = tokio::join!(
            async { servers::unbound(children, &state.join("unbound")).await },
            async { Knot::start(children, &state.join("knot")).await },
            async { servers::seaweedfs(children, &config.cache, &state.join("s3"), &credentials).await },
            async { servers::registry(children, &config.cache, &state.join("registry"), &config.registry_root).await },
        );
        unbound?;
        let knot = Arc::new(knot?);
        let cloudflare = Arc::new(Cloudflare::new(&credentials, knot));
        let repositories = state.join("git");
        std::fs::create_dir_all(&repositories)?;
        let commit = if config.castle_repo_dir.is_dir() {
            Some(
                Git::seed(&repositories, &config.castle_repo_dir)
                    .await
                    .context("the castle's repository")?,
            )
        } else {
            warn!("no castle repository: {} is absent", config.castle_repo_dir.display());
            None
        };
        let artifacts = config.artifacts_root.is_dir().then(|| config.artifacts_root.clone());
        if artifacts.is_none() {
            info!("no published files: {} is absent", config.artifacts_root.display());
        }
        let faults = Arc::new(Faults::default());
        let sessions = Arc::new(Sessions::default());
        let services = Arc::new(Services {
            aws: Place::Here(config.upstream_aws),
            hetzner: Place::Here(config.upstream_hetzner),
            s3: s3?,
            registry: registry?,
            artifacts,
            cloudflare: Arc::clone(&cloudflare),
            infisical: Infisical::new(&credentials, seed::secrets(&credentials, &ca)?),
            git: Git::new(repositories, credentials.github_token.clone()).await?,
            faults: Arc::clone(&faults),
            sessions: Arc::clone(&sessions),
        });
        let front = front::serve(ns::listen(ns::at(ns::FRONT, 443)?)?, Arc::clone(&ca), services);
        let seeded = async {
            seed::buckets(&ca_pem, &credentials).await?;
            let database = async {
                match &config.database_maker {
                    Some(maker) => Database::make(maker, state, &ca_pem, &credentials).await.map(Some),
                    None => Ok(None),
                }
            };
            let site = seed::backup(&config.site_generator, state, state, &ca_pem, &credentials);
            let longhorn = async {
                match &config.longhorn {
                    Some(store) => seed::longhorn(store, &ca_pem, &credentials).await,
                    None => Ok(()),
                }
            };
            let (backup, database, ()) = tokio::try_join!(site, database, longhorn)?;
            anyhow::Ok((backup, database))
        };
        match seeded.await {
            Ok((backup, database)) => {
                children.check()?;
                info!("the world is up; CA {}", ca_pem.display());
                Ok(Built {
                    credentials,
                    ca,
                    ca_pem,
                    cloudflare,
                    faults,
                    sessions,
                    commit,
                    backup,
                    database,
                    front,
                })
            }
            Err(error) => {
                front.abort();
                Err(error)
            }
        }
    }

    /// Ends every server and removes the namespaces.
    pub async fn stop(self) {
        self.front.abort();
        self.children.stop().await;
        ns::destroy().await;
    }

    /// Every credential that this world accepts.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The file with the CA's public root.
    pub fn ca_pem(&self) -> &Path {
        &self.ca_pem
    }

    /// A certificate of the laboratory's CA for one more name.
    pub fn issue(&self, name: &str) -> Result<Issued> {
        self.ca.issue_chain(name)
    }

    /// The commit on `main` of the castle's repository.
    pub fn castle_commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// Pushes a change of one file to the castle's repository. Gives the new commit.
    pub async fn push(&self, path: &str, change: impl FnOnce(&str) -> String) -> Result<String> {
        let work = &self.config.work_dir;
        Git::push(&work.join("state/git"), &work.join("pushing"), path, change).await
    }

    /// What the sessions of each client were encrypted with, from the front's side.
    pub fn sessions(&self) -> Arc<Sessions> {
        Arc::clone(&self.sessions)
    }

    /// What lies in the backup.
    pub fn backup(&self) -> &Backup {
        &self.backup
    }

    /// What the old castle's database left.
    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// The Cloudflare double, to look at its records.
    pub fn cloudflare(&self) -> &Cloudflare {
        &self.cloudflare
    }

    /// Orders faults at the front.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The pid of one of the servers (unbound, knotd, seaweedfs, registry, dnsmasq).
    pub fn pid(&self, server: &str) -> Option<u32> {
        self.children.pid(server)
    }

    /// Fails when one of the servers has died.
    pub fn check(&self) -> Result<()> {
        self.children.check()
    }

    /// A visitor's GET: from the visitor's namespace, by name, TLS verified against the laboratory's CA alone.
    pub async fn visitor_get(&self, url: &str) -> Result<Visit> {
        visitor::get(url, &self.ca_pem, &self.config.work_dir).await
    }

    /// Scans TCP ports (and a few of UDP) from the internet.
    pub async fn port_scan(&self, address: IpAddr, ports: RangeInclusive<u16>) -> Result<PortScan> {
        scan::scan(address, ports).await
    }
}

struct Built {
    credentials: Credentials,
    ca: Arc<Ca>,
    ca_pem: PathBuf,
    cloudflare: Arc<Cloudflare>,
    faults: Arc<Faults>,
    sessions: Arc<Sessions>,
    commit: Option<String>,
    backup: Backup,
    database: Option<Database>,
    front: JoinHandle<()>,
}
