//! Tests of the vault as a whole.

use std::{collections::HashMap, sync::OnceLock};

use sha2::{Digest, Sha256};
use skykeep_core::Explain;

use super::*;
use crate::{
    newer::{Found, choose},
    open::open_with,
    outside,
};

const CODE: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

const SMALL: KdfParams = KdfParams {
    m_kib: 64 * 1024,
    t: 3,
    p: 4,
};

fn secret(text: &str) -> Secret {
    Secret::from_string(text.to_owned())
}

fn sealed() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let mut vault = Vault::create(&secret("correct horse"), SMALL).unwrap();
        vault
            .put(
                "infisical/client-id",
                secret("an-id"),
                "Infisical, machine identity",
                Some(1_900_000_000),
            )
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
    open_with(file, |_, salt, params| {
        let known = keys.get(salt).filter(|_| params == SMALL);
        let key = known.cloned().unwrap_or_else(|| Sha256::digest(salt).to_vec());
        Ok(Some(Secret::new(key)))
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
    let listed = EntryInfo {
        path: "infisical/client-id",
        note: "Infisical, machine identity",
        size: 5,
        expires: Some(1_900_000_000),
        roll: false,
    };
    assert_eq!(vault.ls().collect::<Vec<_>>(), [listed]);
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
    let memory = 14 + 16 + 8 + 1 + 2 + 2 + "passphrase".len() + 1;
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
    assert_eq!(vault.opened_by(), "passphrase");
    vault
        .add_slot("paper", SlotKind::Recovery, &secret(CODE), SMALL)
        .unwrap();
    let twice = vault.add_slot("paper", SlotKind::Passphrase, &secret("x y"), SMALL);
    insta::assert_snapshot!(skykeep_core::Trouble::from(twice.unwrap_err()).to_string());
    let by_code = Vault::open(&vault.seal().unwrap(), &secret(&CODE.to_uppercase().replace(' ', "-"))).unwrap();
    assert_eq!(by_code.opened_by(), "paper");
    vault.rm_slot("passphrase").unwrap();
    let file = vault.seal().unwrap();
    assert!(matches!(
        Vault::open(&file, &secret("correct horse")),
        Err(VaultError::WrongPassphrase)
    ));
    insta::assert_snapshot!(explained(Vault::open(&file, &secret(&CODE.replace("yellow", "young")))));
    assert!(vault.rm_slot("paper").unwrap_err().why().contains("last"));
    assert!(vault.rm_slot("papyrus").unwrap_err().why().contains("no slot"));
}

#[test]
fn a_changed_passphrase_opens_the_new_file_and_old_copies_keep_the_old_one() {
    let mut vault = Vault::open(sealed(), &secret("correct horse")).unwrap();
    vault
        .change_slot("passphrase", &secret("battery staple"), SMALL)
        .unwrap();
    let file = vault.seal().unwrap();
    assert!(Vault::open(&file, &secret("battery staple")).is_ok());
    assert!(Vault::open(&file, &secret("correct horse")).is_err());
    assert!(Vault::open(sealed(), &secret("correct horse")).is_ok());
}

#[test]
fn two_slots_of_one_name_are_refused_by_name() {
    let mut vault = open_cheaply(sealed()).unwrap();
    let body = SlotBody::Opaque(vec![9; 40]);
    let kind = SlotKind::Reserved(3);
    vault.header.slots.push(Slot {
        kind,
        name: "passphrase".into(),
        body,
    });
    insta::assert_snapshot!(explained(open_cheaply(&vault.seal().unwrap())));
}

#[test]
fn a_slot_of_a_later_program_is_kept_and_passed_over() {
    let mut vault = open_cheaply(sealed()).unwrap();
    let body = SlotBody::Opaque(vec![9; 40]);
    let kind = SlotKind::Reserved(3);
    vault.header.slots.insert(
        0,
        Slot {
            kind,
            name: "key".into(),
            body,
        },
    );
    vault.header.unknown.push(vec![200, 1, 2]);
    let mut again = open_cheaply(&vault.seal().unwrap()).unwrap();
    assert_eq!(
        again.slots()[0],
        SlotInfo {
            name: "key".into(),
            kind,
            params: None
        }
    );
    let more = again.seal().unwrap();
    assert_eq!(open_cheaply(&more).unwrap().header.unknown, [[200, 1, 2]]);
}

#[test]
fn a_damaged_slot_costs_as_much_work_as_a_wrong_passphrase() {
    let tries = |file: &[u8]| {
        let mut asked = Vec::new();
        let opened = open_with(file, |kind, salt, params| {
            asked.push((kind, params));
            Ok(Some(Secret::new(Sha256::digest(salt).to_vec())))
        });
        (matches!(opened, Err(VaultError::WrongPassphrase)), asked)
    };
    let mut damaged = sealed().to_vec();
    let wrapped = 14 + 16 + 8 + 1 + 2 + 2 + "passphrase".len() + 1 + 12 + 32 + 12;
    damaged[wrapped] ^= 1;
    assert_eq!(tries(&with_checksum(damaged)), tries(sealed()));
    assert_eq!(tries(sealed()), (true, vec![(SlotKind::Passphrase, SMALL)]));
}

#[test]
fn an_empty_vault_fits_a_qr_code() {
    // 2953 bytes is what the largest QR code holds (version 40, level L).
    let mut vault = open_cheaply(sealed()).unwrap();
    vault.rm("infisical/client-id");
    vault
        .add_slot("paper", SlotKind::Recovery, &secret(CODE), SMALL)
        .unwrap();
    assert!(vault.seal().unwrap().len() <= 2953);
}

#[test]
fn what_anybody_may_read_is_dates_and_slots_and_no_more() {
    let seen = outside(sealed()).unwrap();
    assert_eq!((seen.counter, seen.slots.len()), (1, 1));
    assert_eq!(seen.expiries, [("infisical/client-id".to_owned(), 1_900_000_000)]);
}

#[test]
fn of_two_copies_the_higher_version_that_proves_itself_counts() {
    let had = || open_cheaply(sealed()).unwrap();
    let mut later = had();
    later.put("new", secret("n"), "", None).unwrap();
    later
        .change_slot("passphrase", &secret("battery staple"), SMALL)
        .unwrap();
    let newer = later.seal().unwrap();
    // Also when the passphrase was changed in between: the data key is the same.
    let (used, found) = choose(had(), &newer);
    assert!(matches!(found, Found::Newer { had: 1 }) && used.get("new").is_some());
    let (used, found) = choose(later, sealed());
    assert!(matches!(found, Found::Older { theirs: 1 }) && used.counter() == 2);
    assert!(matches!(choose(had(), sealed()).1, Found::Same));
    let refused = |file: &[u8]| match choose(had(), file) {
        (vault, Found::Refused(error)) if vault.counter() == 1 => skykeep_core::Trouble::from(error).to_string(),
        _ => panic!("it must be refused"),
    };
    let mut foreign = Vault::create(&secret("correct horse"), SMALL).unwrap();
    insta::assert_snapshot!(refused(&foreign.seal().unwrap()));
    let mut renewed = had().compromised(&secret("battery staple"), SMALL).unwrap();
    insta::assert_snapshot!(refused(&renewed.seal().unwrap()));
    let mut forged = newer;
    forged[14 + 16] = 0xff;
    refused(&with_checksum(forged));
    refused(b"<html>");
}

#[test]
fn a_compromised_vault_gets_a_new_root_and_marks_what_to_roll() {
    let mut before = open_cheaply(sealed()).unwrap();
    before
        .add_slot("paper", SlotKind::Recovery, &secret(CODE), SMALL)
        .unwrap();
    let old_root = before.root().duplicate();
    let mut vault = before.compromised(&secret("battery staple"), SMALL).unwrap();
    let file = vault.seal().unwrap();
    assert!(Vault::open(&file, &secret(CODE)).is_err(), "the old slots are gone");
    let mut vault = Vault::open(&file, &secret("battery staple")).unwrap();
    assert_ne!(vault.root().expose(), old_root.expose());
    assert_eq!(vault.get("retired/root-1").unwrap().expose(), old_root.expose());
    let roll = |vault: &Vault| -> Vec<String> { vault.ls().filter(|e| e.roll).map(|e| e.path.to_owned()).collect() };
    assert_eq!(roll(&vault), ["infisical/client-id"]);
    vault.put("infisical/client-id", secret("another"), "", None).unwrap();
    assert!(roll(&vault).is_empty(), "a new value is a rolled one");
}

#[test]
fn a_file_is_believed_only_when_it_holds_exactly_this_vault() {
    let mut vault = open_cheaply(sealed()).unwrap();
    vault.verify_copy(sealed()).unwrap();
    vault.put("more", secret("m"), "", None).unwrap();
    assert!(vault.verify_copy(sealed()).is_err());
    let file = vault.seal().unwrap();
    vault.verify_copy(&file).unwrap();
    assert!(vault.verify_copy(&file[..file.len() - 1]).is_err());
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
