//! What the laptop's memory holds in the middle of a rebirth, and when it is off.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use forensics::{Findings, Needles, search};
use lab_laptop::Laptop;
use skykeep_core::Secret;
use skykeep_vault::Vault;

use crate::{lab::Lab, owner::PASSPHRASE, verdicts::Verdicts};

const PASSPHRASE_NAME: &str = "passphrase";
const RESTIC: &str = "restic password";

/// Looks twice at the memory of one laptop.
pub struct Watch {
    needles: Needles,
    dump: PathBuf,
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
        let root: &[u8; 32] = vault.root().expose().try_into().context("the root has 32 bytes")?;
        needles.add("castle root", root)?;
        Ok(Watch {
            needles,
            dump,
            middle: None,
            end: None,
        })
    }

    /// Dumps and searches; the laptop stands still meanwhile.
    pub fn look(&self, laptop: &mut Laptop) -> Result<Findings> {
        laptop.dump_memory(&self.dump)?;
        let findings = search(&self.dump, &self.needles);
        std::fs::remove_file(&self.dump)?;
        findings
    }

    /// In the middle: no passphrase, and the control that what must be there is found. At the end: nothing.
    pub fn judge(&self, verdicts: &mut Verdicts) {
        if let Some(middle) = &self.middle {
            verdicts.must(
                middle.of(PASSPHRASE_NAME) == 0 && middle.of("castle root") > 0,
                "in the middle of the rebirth the passphrase is nowhere in the laptop's RAM (control: the castle's root is found)",
                summary(middle),
            );
        } else {
            verdicts.must(false, "the laptop's RAM was searched in the middle", "it was not");
        }
        let end = self.end.as_ref();
        verdicts.must(
            end.is_some_and(|end| end.hits.is_empty()),
            "off, the laptop's RAM holds no secret: not the passphrase, no key, no token, in no form",
            end.map_or_else(|| "it was not searched".into(), summary),
        );
    }
}

fn summary(findings: &Findings) -> String {
    format!("{} MB in use searched\n{findings}", findings.looked_at >> 20)
}
