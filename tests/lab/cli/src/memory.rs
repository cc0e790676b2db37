//! What the laptop's memory holds in the middle of a rebirth, and when it is off.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use forensics::{Findings, Needles, keys::Found, search};
use lab_laptop::Laptop;
use lab_world::Sessions;
use skykeep_core::{Generation, Secret};
use skykeep_vault::Vault;

use crate::{lab::Lab, owner::PASSPHRASE, verdicts::Verdicts};

const PASSPHRASE_NAME: &str = "passphrase";
const RESTIC: &str = "restic password";
const ROOT: &str = "castle root";
const AUTHORITY: &str = "the cluster's authority";
const ADMIN: &str = "the administrator's key";
const SESSIONS: &str = "TLS sessions";
/// What is derived for a generation: the keys of authorities and tokens, and what encrypts.
const DERIVED: [&str; 5] = [
    "pki/ca",
    "pki/front-proxy-ca",
    "pki/etcd-ca",
    "pki/service-account",
    "encryption-at-rest",
];

/// Looks twice at the memory of one laptop.
pub struct Watch {
    needles: Needles,
    dump: PathBuf,
    root: Secret,
    sessions: Arc<Sessions>,
    /// So many secrets of the laptop's TLS sessions were logged by the servers of the laboratory's internet.
    secrets_of_sessions: usize,
    /// In the middle of the rebirth, when the laptop got that far.
    pub middle: Option<Findings>,
    /// After power-off.
    pub end: Option<Findings>,
}

impl Watch {
    /// Everything secret of this rehearsal: the passphrase, the castle's root, what the vault holds and what Infisical gives.
    pub fn new(lab: &Lab, owner: &Path, dump: PathBuf) -> Result<Self> {
        let keys = lab.world.credentials();
        let mut needles = Needles::default();
        needles.add(PASSPHRASE_NAME, PASSPHRASE.as_bytes())?;
        for (name, secret) in [
            ("Infisical client id", &keys.infisical_client_id),
            ("Infisical client secret", &keys.infisical_client_secret),
            ("AWS access key id", &keys.aws_access_key_id),
            ("AWS secret key", &keys.aws_secret_access_key),
            ("Git token", &keys.github_token),
            ("Cloudflare token", &keys.cloudflare_token),
            ("pulse secret key", &keys.pulse_secret_access_key),
            (RESTIC, &keys.restic_password),
        ] {
            needles.add(name, secret.as_bytes())?;
        }
        let vault = std::fs::read(owner.join("vault.skv"))?;
        let vault = Vault::open(&vault, &Secret::new(PASSPHRASE.into()))?;
        needles.add(ROOT, vault.root().expose())?;
        for label in ["journal", "pulse"] {
            let key = skykeep_vault::derive_lasting(vault.root(), label);
            needles.add_key(&format!("{label} key"), key.expose().try_into()?)?;
        }
        Ok(Watch {
            needles,
            dump,
            root: vault.root().duplicate(),
            sessions: lab.world.sessions(),
            secrets_of_sessions: 0,
            middle: None,
            end: None,
        })
    }

    /// In the middle, when every credential is in use: what nobody could know before is learned, and searched for from now on.
    pub fn look_in_the_middle(&mut self, laptop: &mut Laptop, address: Option<IpAddr>) -> Result<()> {
        laptop.dump_memory(&self.dump)?;
        self.learn()?;
        self.middle = Some(self.search(address)?);
        Ok(())
    }

    /// When it is off; its memory is frozen.
    pub fn look_at_the_end(&mut self, laptop: &mut Laptop, address: Option<IpAddr>) -> Result<()> {
        laptop.dump_memory(&self.dump)?;
        self.end = Some(self.search(address)?);
        Ok(())
    }

    /// The keys that are derived for the generation, whose name stands in its certificates, and the administrator's, which is random.
    fn learn(&mut self) -> Result<()> {
        let found = Found::in_dump(&self.dump)?;
        for word in found.words_after("skykeep rossi ", 26)? {
            let Ok(generation) = word.parse::<Generation>() else {
                continue;
            };
            for label in DERIVED {
                let key = skykeep_vault::derive(&self.root, &generation, label);
                let name = if label == "pki/ca" { AUTHORITY } else { label };
                self.needles.add_scalar(name, key.expose().try_into()?)?;
            }
        }
        for key in found.keys_of("skykeep-admin")? {
            self.needles.add_scalar(ADMIN, &key)?;
        }
        Ok(())
    }

    fn search(&mut self, address: Option<IpAddr>) -> Result<Findings> {
        let secrets = address.map(|address| self.sessions.of(address)).unwrap_or_default();
        for (_, secret) in &secrets {
            self.needles.add_session(SESSIONS, secret);
        }
        self.secrets_of_sessions = secrets.len();
        let findings = search(&self.dump, &self.needles);
        std::fs::remove_file(&self.dump)?;
        findings
    }

    /// In the middle: no passphrase, and the control that what must be there is found. At the end: nothing.
    pub fn judge(&self, verdicts: &mut Verdicts) {
        if let Some(middle) = &self.middle {
            verdicts.must(
                middle.of(PASSPHRASE_NAME) == 0 && middle.of(ROOT) > 0,
                "in the middle of the rebirth the passphrase is nowhere in the laptop's RAM (control: the castle's root is found)",
                summary(middle),
            );
            verdicts.must(
                [AUTHORITY, ADMIN, SESSIONS].iter().all(|name| middle.of(name) > 0),
                "control: in the middle the key of the cluster's authority, the administrator's and those of TLS sessions are found in RAM",
                format!("{} secrets of sessions until the end", self.secrets_of_sessions),
            );
        } else {
            verdicts.must(false, "the laptop's RAM was searched in the middle", "it was not");
        }
        let end = self.end.as_ref();
        verdicts.must(
            end.is_some_and(|end| end.hits.is_empty()),
            "off, the laptop's RAM holds no secret: not the passphrase, no key, no token, in no form, nothing of a TLS session, no key of administrator or authority",
            end.map_or_else(|| "it was not searched".into(), summary),
        );
    }
}

fn summary(findings: &Findings) -> String {
    format!("{} MB in use searched\n{findings}", findings.looked_at >> 20)
}
