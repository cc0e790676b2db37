//! Tests of the vault as a whole.

use std::{collections::HashMap, sync::OnceLock};

use sha2::{Digest, Sha256};
use skykeep_core::Explain;

use super::*;

const SMALL: KdfParams = KdfParams {
    m_kib: 64 * 1024,
    t: 1,
    p: 1,
};

fn secret(text: &str) -> Secret {
    Secret::from_string(text.to_owned())
}

fn sealed() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let mut vault = Vault::create(&secret("correct horse"), SMALL).unwrap();
        vault
            .put("infisical/client-id", secret("an-id"), "Infisical, machine identity")
            .unwrap();
        vault.seal().unwrap()
    })
}

/// Opens with Argon2 done once per salt; other parameters get another key at no cost, as another Argon2 would give.
fn open_cheaply(file: &[u8]) -> Result<Vault, VaultError> {
    static KEYS: OnceLock<HashMap<[u8; 32], Vec<u8>>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let mut keys = HashMap::new();
        let Slot {
            body: SlotBody::Argon2 { salt, params, .. },
            ..
        } = &format::take_apart(sealed()).unwrap().header.slots[0]
        else {
            unreachable!("made by create")
        };
        keys.insert(
            *salt,
            kdf::argon2id(&secret("correct horse"), salt, *params)
                .unwrap()
                .expose()
                .to_vec(),
        );
        keys
    });
    open_with(file, |salt, params| {
        let known = keys.get(salt).filter(|_| params == SMALL);
        Ok(Secret::new(
            known.cloned().unwrap_or_else(|| Sha256::digest(salt).to_vec()),
        ))
    })
}

fn with_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let end = file.len() - 32;
    let checksum = Sha256::digest(&file[..end]);
    file[end..].copy_from_slice(&checksum);
    file
}

fn explained(result: Result<Vault, VaultError>) -> String {
    skykeep_core::Trouble::from(result.err().expect("it must not open")).to_string()
}

#[test]
fn what_was_put_in_comes_out_again() {
    let mut vault = Vault::open(sealed(), &secret("correct horse")).unwrap();
    assert_eq!(vault.get("infisical/client-id").unwrap().expose(), b"an-id");
    assert_eq!(
        vault.ls().collect::<Vec<_>>(),
        [("infisical/client-id", "Infisical, machine identity")]
    );
    assert_eq!((vault.root().len(), vault.counter()), (32, 1));
    assert!(vault.rm("infisical/client-id") && !vault.rm("infisical/client-id"));
    let again = vault.seal().unwrap();
    let later = Vault::open(&again, &secret("correct horse")).unwrap();
    assert_eq!((later.counter(), later.id()), (2, vault.id()));
    assert_eq!(later.root().expose(), vault.root().expose());
    assert!(later.get("infisical/client-id").is_none());
}

#[test]
fn a_wrong_passphrase_says_so() {
    insta::assert_snapshot!(explained(Vault::open(sealed(), &secret("correct house"))));
}

#[test]
fn any_flipped_byte_is_named_damage_and_never_a_wrong_passphrase() {
    let mut texts = std::collections::BTreeSet::new();
    for i in 0..sealed().len() {
        let mut file = sealed().to_vec();
        file[i] ^= 0x40;
        texts.insert(explained(open_cheaply(&file)));
    }
    assert_eq!(texts.len(), 1, "always the same clear error: {texts:?}");
    insta::assert_snapshot!(texts.first().unwrap());
}

#[test]
fn a_forger_who_mends_the_checksum_still_opens_nothing() {
    assert!(open_cheaply(sealed()).is_ok(), "the test's own way of opening works");
    for i in 0..sealed().len() - 32 {
        for bit in [0x01, 0x80] {
            let mut file = sealed().to_vec();
            file[i] ^= bit;
            assert!(open_cheaply(&with_checksum(file)).is_err(), "byte {i}");
        }
    }
}

#[test]
fn a_truncated_vault_never_opens() {
    for end in 0..sealed().len() {
        assert!(
            matches!(open_cheaply(&sealed()[..end]), Err(VaultError::Damaged(_))),
            "{end}"
        );
        if end > 32 {
            assert!(open_cheaply(&with_checksum(sealed()[..end].to_vec())).is_err(), "{end}");
        }
    }
}

#[test]
fn a_body_that_does_not_belong_to_its_header_says_that_somebody_changed_it() {
    let mut file = sealed().to_vec();
    let counter_low = 14 + 16 + 7;
    file[counter_low] += 1;
    insta::assert_snapshot!(explained(open_cheaply(&with_checksum(file))));
}

#[test]
fn a_vault_from_the_future_says_so() {
    let mut file = sealed().to_vec();
    file[9] = 2;
    insta::assert_snapshot!(explained(open_cheaply(&with_checksum(file))));
}

#[test]
fn absurd_argon2_memory_is_refused_by_name() {
    let mut file = sealed().to_vec();
    let memory = 14 + 16 + 8 + 1 + 2 + 3;
    file[memory..memory + 4].copy_from_slice(&(1_u32 << 30).to_be_bytes());
    insta::assert_snapshot!(explained(Vault::open(&with_checksum(file), &secret("correct horse"))));
}

#[test]
fn too_many_slots_are_refused_by_name() {
    let mut file = sealed().to_vec();
    file[14 + 16 + 8] = 255;
    insta::assert_snapshot!(explained(open_cheaply(&with_checksum(file))));
}

#[test]
fn a_file_that_is_no_vault_says_so() {
    let html = b"<!DOCTYPE html><html><body>Please log in to this network</body></html>";
    insta::assert_snapshot!(explained(Vault::open(html, &secret("x"))));
    let huge = vec![0; 5 * 1024 * 1024];
    assert!(matches!(Vault::open(&huge, &secret("x")), Err(VaultError::Damaged(_))));
}

#[test]
fn too_little_memory_says_how_much_is_needed() {
    let trouble = skykeep_core::Trouble::from(VaultError::Memory {
        needed: 256,
        free: Some(120),
    });
    insta::assert_snapshot!(trouble.to_string());
}

#[test]
fn an_impossible_passphrase_says_why() {
    insta::assert_snapshot!(explained(Vault::create(&secret(""), SMALL)));
}

#[test]
fn slots_are_added_and_removed_but_never_the_last() {
    let mut vault = Vault::open(sealed(), &secret("correct horse")).unwrap();
    let recovery = vault
        .add_slot(SlotKind::Recovery, &secret("code words"), SMALL)
        .unwrap();
    assert_eq!(vault.slots().len(), 2);
    assert!(Vault::open(&vault.seal().unwrap(), &secret("code words")).is_ok());
    vault.rm_slot(1).unwrap();
    assert!(matches!(
        Vault::open(&vault.seal().unwrap(), &secret("correct horse")),
        Err(VaultError::WrongPassphrase)
    ));
    let last = vault.rm_slot(recovery).unwrap_err();
    assert!(last.why().contains("last"));
}

#[test]
fn a_slot_of_a_later_program_is_kept_and_passed_over() {
    let mut vault = open_cheaply(sealed()).unwrap();
    let body = SlotBody::Opaque(vec![9; 40]);
    vault.header.slots.insert(
        0,
        Slot {
            id: 7,
            kind: SlotKind::Reserved(3),
            body,
        },
    );
    let file = vault.seal().unwrap();
    let again = open_cheaply(&file).unwrap();
    assert_eq!(
        again.slots()[0],
        SlotInfo {
            id: 7,
            kind: SlotKind::Reserved(3),
            params: None
        }
    );
}

#[test]
fn the_committed_vector_opens_here_as_in_the_python_reader() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vault-reader/");
    let file = std::fs::read(format!("{folder}vector.skv")).unwrap();
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(format!("{folder}vector.json")).unwrap()).unwrap();
    let vault = Vault::open(&file, &secret(expected["passphrase"].as_str().unwrap())).unwrap();
    assert_eq!(hex::encode(vault.root().expose()), expected["root"]);
    assert_eq!(vault.counter(), expected["counter"].as_u64().unwrap());
    for (path, entry) in expected["entries"].as_object().unwrap() {
        assert_eq!(
            hex::encode(vault.get(path).unwrap().expose()),
            entry["value_hex"],
            "{path}"
        );
    }
    assert_eq!(vault.ls().count(), expected["entries"].as_object().unwrap().len());
    for (info, value) in expected["derived"].as_object().unwrap() {
        let (generation, label) = info.strip_prefix("skykeep/v1/").unwrap().split_once('/').unwrap();
        let got = match generation {
            "castle" => crate::derive_lasting(vault.root(), label),
            generation => crate::derive(vault.root(), &generation.parse().unwrap(), label),
        };
        assert_eq!(hex::encode(got.expose()), *value, "{info}");
    }
}
