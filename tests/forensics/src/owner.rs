//! The owner's part for these boots: a real vault whose every secret is known to the searcher, and a control text that must be found.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use aes_gcm::{Aes256Gcm, KeyInit, Nonce, aead::AeadInOut};
use anyhow::{Context, Result, ensure};
use argon2::{Algorithm, Argon2, Params, Version};
use skykeep_core::Secret;
use skykeep_vault::{KdfParams, Vault};

use crate::needles::{self, Needles};

/// What opens the vault. Letters of both cases, digits and signs, so that both keyboards are tried.
pub const PASSPHRASE: &str = "Violet harbour, 42 lanterns: quiet-Otter";
/// The names under which secrets are searched for.
pub const NAME_PASSPHRASE: &str = "passphrase";
/// The key that Argon2 makes of it.
pub const NAME_SLOT_KEY: &str = "slot key";
/// The castle's root.
pub const NAME_ROOT: &str = "castle root";
/// Text in the owner's part that is no secret, in all forms: the searcher must find it, and wiping must take it.
pub const NAME_CONTROL: &str = "control text";

/// Cheap on purpose: the emulated processor is slow.
const PARAMS: KdfParams = KdfParams {
    m_kib: 64 * 1024,
    t: 3,
    p: 4,
};

/// A stick's owner's part, and what is in it.
pub struct Owner {
    /// The folder for `image/personal`.
    pub folder: PathBuf,
    /// Everything that may not be found at the end.
    pub needles: Needles,
}

/// Makes castle.yaml, castle.lock, vault.skv and ca.pem; the prompt waits for one minute when `impatient`.
///
/// # Errors
/// When a file can't be written, or the vault's key can't be told from its file.
pub fn make(tree: &Path, folder: PathBuf, impatient: bool) -> Result<Owner> {
    fs::create_dir_all(&folder)?;
    let mut castle = fs::read_to_string(tree.join("tests/castle/castle.yaml"))?;
    let minutes = if impatient { 1 } else { 15 };
    castle += &format!("\nlaptop: {{idleMinutes: {minutes}, wipeWhenStickIsRemoved: true, keyboard: de}}\n");
    fs::write(folder.join("castle.yaml"), castle)?;
    fs::write(
        folder.join("castle.lock"),
        r#"{"version":1,"kubernetes":"v1.36.3","artifacts":[],"images":[]}"#,
    )?;

    let mut needles = Needles::default();
    needles.add(NAME_PASSPHRASE, PASSPHRASE.as_bytes())?;
    let control = format!("control {}", hex::encode(random::<16>()?));
    needles.add(NAME_CONTROL, control.as_bytes())?;
    fs::write(folder.join("ca.pem"), with_control(&control)?)?;

    let mut vault = Vault::create(&Secret::new(PASSPHRASE.into()), PARAMS)?;
    needles.add(NAME_ROOT, vault.root().expose())?;
    for label in ["journal", "pulse"] {
        let key = skykeep_vault::derive_lasting(vault.root(), label);
        needles.add_key(&format!("{label} key"), key.expose().try_into()?)?;
    }
    for path in ["infisical/client-id", "infisical/client-secret"] {
        let secret = hex::encode(random::<24>()?);
        needles.add(path, secret.as_bytes())?;
        vault.put(path, Secret::from_string(secret), "", None)?;
    }
    let file = vault.seal()?;
    let (slot, data) = keys_of(&file).context("the keys of the vault")?;
    needles.add_key(NAME_SLOT_KEY, &slot)?;
    needles.add_key("data key", &data)?;
    fs::write(folder.join("vault.skv"), file)?;
    Ok(Owner { folder, needles })
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A certificate, with the control text in all forms in front of it, where readers of PEM skip it.
fn with_control(control: &str) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    for (_, bytes) in needles::forms(control.as_bytes()) {
        file.extend(bytes);
        file.push(b'\n');
    }
    let certificate = rcgen::generate_simple_self_signed(vec!["control.example".into()])?;
    file.extend(certificate.cert.pem().into_bytes());
    Ok(file)
}

/// The slot key and the data key, by the description in docs/FORMATS.md and not by the product's own code.
fn keys_of(file: &[u8]) -> Result<([u8; 32], [u8; 32])> {
    /// Magic, version, length of the header, vault id, counter, number of slots, length of the first slot.
    const FIRST_SLOT: usize = 8 + 2 + 4 + 16 + 8 + 1 + 2;
    let mut front = vec![1];
    for number in [PARAMS.m_kib, PARAMS.t, PARAMS.p] {
        front.extend(number.to_be_bytes());
    }
    let slot = file.get(FIRST_SLOT..).context("no slot")?;
    let at = slot
        .windows(front.len())
        .position(|w| w == front)
        .context("no Argon2 slot")?;
    let (derivation, rest) = slot.split_at(at + front.len() + 32);
    let salt = &derivation[derivation.len() - 32..];
    let mut key = [0; 32];
    let params = Params::new(PARAMS.m_kib, PARAMS.t, PARAMS.p, Some(32)).map_err(|e| anyhow::anyhow!("{e}"))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(PASSPHRASE.as_bytes(), salt, &mut key)
        .map_err(|e| anyhow::anyhow!("{e}"))?;
    let aad = [&file[..10], &file[14..30], derivation].concat();
    let nonce: [u8; 12] = rest[..12].try_into()?;
    let mut wrapped = rest[12..60].to_vec();
    Aes256Gcm::new_from_slice(&key)?
        .decrypt_in_place(&Nonce::from(nonce), &aad, &mut wrapped)
        .map_err(|_| anyhow::anyhow!("the derived key does not open the slot"))?;
    Ok((
        key,
        wrapped
            .try_into()
            .map_err(|_| anyhow::anyhow!("length of the data key"))?,
    ))
}

/// A stick of a built image and an owner's part.
///
/// # Errors
/// When one of the image's scripts fails.
pub fn stick(tree: &Path, image: &Path, owner: &Path, out: &Path) -> Result<()> {
    let personal = out.with_extension("cpio");
    let run = |program: &str, args: &[&Path]| -> Result<()> {
        let status = Command::new(tree.join(program)).args(args).status()?;
        ensure!(status.success(), "{program} failed");
        Ok(())
    };
    run("image/personal", &[owner, &personal])?;
    run("image/stick", &[image, out, &personal])
}

/// Changes the boot options on a finished stick, in place: `to` must be as long as `from`.
///
/// # Errors
/// When they are not of one length, or `from` does not stand on the stick.
pub fn change_boot_options(stick: &Path, from: &str, to: &str) -> Result<()> {
    ensure!(from.len() == to.len(), "{from:?} and {to:?} are not of one length");
    let mut bytes = fs::read(stick)?;
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    ensure!(!places.is_empty(), "{from:?} stands nowhere on {}", stick.display());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    fs::write(stick, bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vaults_keys_are_told_from_its_file_and_every_secret_is_a_needle() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = std::env::temp_dir().join(format!("forensics-owner-{}", std::process::id()));
        let owner = make(&tree, folder.clone(), false).unwrap();
        assert!(owner.needles.len() > 1000);
        skykeep_core::owner::OwnersPart::read(&folder).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}
