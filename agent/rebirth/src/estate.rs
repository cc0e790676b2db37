//! Everything the steps share: the owner's part, the open secrets, the clients, and what the steps have found so far.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kube::Client;
use skykeep_aws::{Credentials, S3};
use skykeep_cloud::{Cloud, Entry, Instance, Network};
use skykeep_cluster::{Pki, api::Addresses, pki::AdminIdentity};
use skykeep_core::{
    Deadline, Explained, Generation, Secret, Tags, Trouble,
    castle::{Castle, SecretRef},
    http::Trust,
    lock::Lock,
    owner::OwnersPart,
};
use skykeep_dns::Zone;
use skykeep_gitops::{Layout, Repository};
use skykeep_secrets::Secrets;
use skykeep_vault::Vault;
use tokio::sync::watch;

use crate::{
    error::RebirthError,
    journal::Journal,
    launch::Launch,
    lease::{BootClock, Claim, LONGEST_REQUEST, Lease, Taker},
    release::{Given, Shown},
    revision::Revision,
};

/// A value that one step gives and later ones take.
pub struct Slot<T>(OnceLock<T>, &'static str);

impl<T> Slot<T> {
    fn named(name: &'static str) -> Self {
        Slot(OnceLock::new(), name)
    }

    /// Gives it; the first one stays.
    pub fn give(&self, value: T) {
        let _ = self.0.set(value);
    }

    /// Takes a look at it.
    pub fn get(&self) -> Result<&T, RebirthError> {
        self.0.get().ok_or(RebirthError::NotThere(self.1))
    }
}

/// The estate in the making.
pub struct Estate {
    /// The castle file.
    pub castle: Castle,
    /// The lock file.
    pub lock: Lock,
    /// Trusted roots.
    pub trust: Trust,
    /// The open vault.
    pub vault: Vault,
    /// Secrets by reference.
    pub secrets: Secrets,
    /// The HTTP client.
    pub http: reqwest::Client,
    /// The bucket of the castle's state.
    pub s3: Arc<S3>,
    /// This run.
    pub run: String,
    /// Whether a person has said that the lease is to be taken from whoever holds it.
    take_over: AtomicBool,
    /// Whether a person has said that the castle which the names point to is dead.
    old_is_dead: AtomicBool,
    /// Whether a person wants the branch's head, whatever castles before said.
    wants_head: AtomicBool,
    /// Whether the commit of this rebirth is no longer on its branch.
    revision_is_gone: AtomicBool,
    /// Says why this run has to stop, once somebody wants it to.
    pub stop: watch::Sender<Option<Explained>>,
    /// The lease.
    pub lease: Slot<Lease>,
    /// The generation.
    pub generation: Slot<Generation>,
    /// The cloud, for this generation.
    pub cloud: Slot<Box<dyn Cloud>>,
    /// Where the laptop seems to come from.
    pub seen_from: Slot<Ipv4Addr>,
    /// The repository.
    pub repository: Slot<Repository>,
    /// What Flux applies of it.
    layout: Slot<Layout>,
    /// Which commit that is, and why.
    pub revision: Slot<Revision>,
    /// What stands between Git and the castle.
    pub(crate) shown: Slot<Shown>,
    /// What this run has lifted.
    pub(crate) lifted: Slot<Vec<String>>,
    /// The commit at which Flux follows its branch again.
    pub(crate) follows: Slot<String>,
    /// What this run has given back to Git.
    pub(crate) given: Slot<Given>,
    /// The DNS zones, in the castle file's order.
    pub zones: Slot<Vec<Box<dyn Zone>>>,
    /// The network.
    pub network: Slot<Network>,
    /// The entry.
    pub entry: Slot<Entry>,
    /// The cluster's keys.
    pub pki: Slot<Pki>,
    /// The journal of the generation.
    pub journal: Slot<Journal>,
    /// Nodes that had to go to another zone.
    moved: std::sync::Mutex<BTreeMap<String, String>>,
    /// How each node is launched, by name.
    pub launches: std::sync::Mutex<BTreeMap<String, Launch>>,
    /// Nodes as they were launched or adopted.
    pub launched: std::sync::Mutex<Vec<Instance>>,
    /// Nodes that run, with their public addresses, each with the moment it was first seen running.
    running: std::sync::Mutex<Vec<(Instance, Instant)>>,
    /// Held while a node is planned for another zone.
    pub(crate) moving: tokio::sync::Mutex<()>,
    /// Held while a machine is made anew.
    pub(crate) replacing: tokio::sync::Mutex<()>,
    /// Nodes that were made anew under way.
    pub(crate) replaced: std::sync::Mutex<BTreeSet<String>>,
    /// Why no control plane is made anew any more, once that is so.
    pub(crate) given_up: watch::Sender<Option<Explained>>,
    /// Public addresses of the control planes that run.
    pub api_at: Addresses,
    /// The certificate that makes us administrator for a day.
    pub admin: Slot<AdminIdentity>,
    /// The cluster's API.
    pub api: Slot<Client>,
    /// Held by whoever changes the patches of Flux's root.
    pub(crate) injecting: tokio::sync::Mutex<()>,
}

impl Estate {
    /// Fetches every secret that the castle file names and makes the clients. Nothing is created anywhere.
    pub async fn open(owner: OwnersPart, vault: Vault) -> Result<Self, Trouble> {
        let OwnersPart {
            castle,
            lock,
            trust,
            vault: _sealed,
        } = owner;
        if castle.cluster.kubernetes != lock.kubernetes {
            let (castle, lock) = (castle.cluster.kubernetes, lock.kubernetes);
            return Err(RebirthError::LockMismatch { castle, lock }.into());
        }
        let http = trust.http(LONGEST_REQUEST)?;
        let from_vault = |path: &str| vault.get(path).map(Secret::duplicate);
        let infisical = castle.secrets.infisical.as_ref();
        let references = castle.secret_refs();
        let mut secrets = skykeep_secrets::resolve(&references, from_vault, infisical, &http).await?;
        if references.iter().any(|r| matches!(r, SecretRef::Sops { .. })) {
            let token = secrets.get(&castle.gitops.token)?;
            let until = Deadline::after(Duration::from_secs(150));
            // The newest secrets are those that open doors today, whichever commit the castle is reborn from.
            let named = castle.gitops.revision.as_deref();
            let read = skykeep_gitops::fetch(&castle.gitops, named, token, &trust, until).await?;
            let file = |path: &str| read.repository.files.get(path).map(Vec::as_slice);
            let sops = castle.secrets.sops.as_ref();
            secrets = secrets.and(skykeep_secrets::resolve_sops(&references, from_vault, sops, file).await?);
        }
        let state = &castle.state;
        let credentials = credentials(&secrets, &state.access_key_id, &state.secret_access_key)?;
        let s3 = S3::new(
            http.clone(),
            credentials,
            &state.region,
            state.endpoint.clone(),
            &state.bucket,
        )?;
        let api_at = Addresses::by(trust.way().clone());
        Ok(Estate {
            s3: Arc::new(s3),
            run: crate::lease::run_id()?,
            take_over: AtomicBool::new(false),
            old_is_dead: AtomicBool::new(false),
            wants_head: AtomicBool::new(false),
            revision_is_gone: AtomicBool::new(false),
            stop: watch::Sender::new(None),
            castle,
            lock,
            trust,
            vault,
            secrets,
            http,
            lease: Slot::named("the lease"),
            generation: Slot::named("the generation"),
            cloud: Slot::named("the cloud"),
            seen_from: Slot::named("our public address"),
            repository: Slot::named("the repository"),
            layout: Slot::named("what Flux applies"),
            revision: Slot::named("the repository's revision"),
            shown: Slot::named("what stands between Git and the castle"),
            lifted: Slot::named("what was lifted"),
            follows: Slot::named("the commit that Flux follows"),
            given: Slot::named("what was given back"),
            zones: Slot::named("the DNS zones"),
            network: Slot::named("the network"),
            entry: Slot::named("the entry"),
            pki: Slot::named("the cluster's keys"),
            journal: Slot::named("the journal"),
            moved: std::sync::Mutex::default(),
            launches: std::sync::Mutex::default(),
            launched: std::sync::Mutex::new(Vec::new()),
            running: std::sync::Mutex::default(),
            moving: tokio::sync::Mutex::default(),
            replacing: tokio::sync::Mutex::default(),
            replaced: std::sync::Mutex::default(),
            given_up: watch::Sender::new(None),
            api_at,
            admin: Slot::named("the administrator's certificate"),
            api: Slot::named("the cluster's API"),
            injecting: tokio::sync::Mutex::default(),
        })
    }

    /// What Flux applies of the repository, read once.
    pub(crate) fn layout(&self) -> Result<&Layout, Trouble> {
        if self.layout.get().is_err() {
            self.layout
                .give(Layout::of(self.repository.get()?, &self.castle.gitops.path)?);
        }
        Ok(self.layout.get()?)
    }

    /// A client for the cloud, for one generation.
    pub fn cloud_for(&self, generation: Generation, resuming: bool) -> Result<Box<dyn Cloud>, Trouble> {
        let tags = Tags {
            castle: self.castle.name.clone(),
            generation,
        };
        let secret = |reference: &SecretRef| Ok(self.secrets.get(reference)?.duplicate());
        skykeep_cloud::connect(&self.castle.cloud, self.http.clone(), secret, tags, resuming)
    }

    /// A person wants the lease from whoever holds it, and has typed the castle's name to say so.
    pub fn take_over(&self, typed: &str) -> Result<(), RebirthError> {
        if typed.trim() != self.castle.name {
            return Err(RebirthError::OtherCastle {
                typed: typed.trim().to_owned(),
                castle: self.castle.name.clone(),
            });
        }
        self.take_over.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// A person knows that the castle which the names point to is dead, and has typed the castle's name to say so.
    pub fn old_castle_is_dead(&self, typed: &str) -> Result<(), RebirthError> {
        if typed.trim() != self.castle.name {
            return Err(RebirthError::NotSaidDead {
                typed: typed.trim().to_owned(),
                castle: self.castle.name.clone(),
            });
        }
        self.old_is_dead.store(true, Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn is_said_dead(&self) -> bool {
        self.old_is_dead.load(Ordering::SeqCst)
    }

    /// A person wants the branch's head.
    pub fn take_head(&self) {
        self.wants_head.store(true, Ordering::SeqCst);
        self.revision_is_gone.store(false, Ordering::SeqCst);
    }

    pub(crate) fn wants_head(&self) -> bool {
        self.wants_head.load(Ordering::SeqCst)
    }

    pub(crate) fn revision_is_gone(&self) {
        self.revision_is_gone.store(true, Ordering::SeqCst);
    }

    /// Whether the rebirth stopped, before anything was made, because its commit is no longer on the branch: a person may want
    /// the branch's head instead.
    pub fn lost_its_revision(&self) -> bool {
        self.revision_is_gone.load(Ordering::SeqCst)
    }

    /// Who we are to the lease.
    pub fn taker(&self) -> Taker<'_> {
        let from = match self.seen_from.get() {
            Ok(address) => format!("from {address}"),
            Err(_) => "from an unknown address".to_owned(),
        };
        let any = self.take_over.load(Ordering::SeqCst);
        Taker {
            store: self.s3.clone(),
            clock: Arc::new(BootClock),
            castle: &self.castle.name,
            run: &self.run,
            from,
            claim: if any { Claim::Any } else { Claim::Free },
        }
    }

    /// The key of what we leave sealed in the state bucket.
    pub fn journal_key(&self) -> Secret {
        skykeep_vault::derive_lasting(self.vault.root(), "journal")
    }

    /// The key of pulses: each living castle holds it, so it opens nothing but pulses.
    pub fn pulse_key(&self) -> Secret {
        skykeep_vault::derive_lasting(self.vault.root(), "pulse")
    }

    /// 32 bytes for one purpose of this generation; an entry `override/<label>` of the vault wins.
    pub fn derive(&self, generation: &Generation, label: &str) -> Secret {
        match self.vault.get(&format!("override/{label}")) {
            Some(given) => given.duplicate(),
            None => skykeep_vault::derive(self.vault.root(), generation, label),
        }
    }

    /// The nodes as they are planned now.
    pub fn nodes(&self) -> Vec<skykeep_cloud::PlannedNode> {
        let moved = self.moved.lock().map(|moved| moved.clone()).unwrap_or_default();
        skykeep_cloud::plan_nodes_moved(&self.castle.cloud, &moved)
    }

    /// These nodes are in other zones from now on.
    pub fn moves(&self, now: BTreeMap<String, String>) {
        if let Ok(mut moved) = self.moved.lock() {
            *moved = now;
        }
    }

    /// The same as the cluster wants to know them.
    pub fn planned(&self) -> Vec<skykeep_cluster::PlannedNode> {
        self.nodes().into_iter().map(for_cluster).collect()
    }

    /// As they were planned before any of them had to go to another zone.
    pub fn planned_first(&self) -> Vec<skykeep_cluster::PlannedNode> {
        let nodes = skykeep_cloud::plan_nodes(&self.castle.cloud);
        nodes.into_iter().map(for_cluster).collect()
    }

    /// The nodes that run, each with the moment it was first seen running.
    pub fn running(&self) -> Result<Vec<(Instance, Instant)>, RebirthError> {
        let running = self.running.lock().map(|r| r.clone()).unwrap_or_default();
        if running.is_empty() {
            return Err(RebirthError::NotThere("the running nodes"));
        }
        Ok(running)
    }

    /// These nodes run now; those of the same names before them are gone.
    pub fn runs(&self, nodes: Vec<Instance>) {
        let Ok(mut running) = self.running.lock() else { return };
        let now = Instant::now();
        running.retain(|(old, _)| nodes.iter().all(|new| new.name != old.name));
        running.extend(nodes.into_iter().map(|node| (node, now)));
        running.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let control_planes = running.iter().filter(|(n, _)| n.is_control_plane());
        self.api_at
            .set(control_planes.filter_map(|(n, _)| n.public_ip).collect());
    }
}

fn for_cluster(node: skykeep_cloud::PlannedNode) -> skykeep_cluster::PlannedNode {
    let role = match node.role {
        skykeep_cloud::Role::ControlPlane => skykeep_cluster::Role::ControlPlane,
        skykeep_cloud::Role::Worker => skykeep_cluster::Role::Worker,
    };
    skykeep_cluster::PlannedNode {
        role,
        name: node.name,
        private_ip: node.private_ip,
    }
}

/// The key pair behind two references.
pub fn credentials(secrets: &Secrets, id: &SecretRef, key: &SecretRef) -> Result<Arc<Credentials>, Trouble> {
    let id_text = secrets.get(id)?;
    let id_text = id_text.expose_str().unwrap_or_default().trim().to_owned();
    Ok(Arc::new(Credentials::new(id_text, secrets.get(key)?.duplicate())))
}
