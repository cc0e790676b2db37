//! Makes the committed test vector anew: `cargo run -p skykeep-vault --example vector -- tests/vault-reader`.
//! Only the file is written; `vector.json` is then checked by `tests/vault-reader/read.py`, another program.

use skykeep_core::{Explain, Secret, Trouble};
use skykeep_vault::{KdfParams, SlotKind, Vault};

fn main() -> Result<(), Trouble> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    // With a combining accent, on purpose: readers must normalise to NFC.
    let passphrase = Secret::from_string("perche\u{301} no, cavallo batteria".into());
    let mut vault = Vault::create(
        &passphrase,
        KdfParams {
            m_kib: 65536,
            t: 3,
            p: 4,
        },
    )?;
    vault.put(
        "infisical/client-id",
        Secret::from_string("ad27b04f".into()),
        "Infisical, machine identity",
        Some(1_900_000_000),
    )?;
    vault.put(
        "infisical/client-secret",
        Secret::from_string("not a real one".into()),
        "",
        None,
    )?;
    vault.put(
        "files/binary",
        Secret::new((0..=255).collect()),
        "every byte once",
        None,
    )?;
    let recovery = KdfParams {
        m_kib: 65536,
        t: 4,
        p: 5,
    };
    // BIP 39's own vector of 7f 7f ... 7f.
    let code = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    vault.add_slot("paper", SlotKind::Recovery, &Secret::from_string(code.into()), recovery)?;
    vault.seal()?;
    let file = vault.seal()?;
    std::fs::write(format!("{folder}/vector.skv"), file).map_err(|e| Machine(e.to_string()))?;
    Ok(())
}

#[derive(Debug)]
struct Machine(String);

impl Explain for Machine {
    fn what(&self) -> String {
        "The vector was not written".into()
    }
    fn why(&self) -> String {
        self.0.clone()
    }
    fn remedy(&self) -> String {
        "Name a folder that is there.".into()
    }
}
