//! Against files that the real `sops` and `age-keygen` made (`tests/sops/make`), and damaged ones.

use skykeep_core::{Secret, Trouble, castle::SecretRef};

use super::*;
use crate::resolve_sops;

macro_rules! made {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/sops/", $name)).as_slice()
    };
}

const KEYS: &str = include_str!("../../tests/sops/keys.txt");

fn ours() -> Vec<Identity> {
    Identity::parse_file(KEYS).expect("identities")
}

fn text(file: &Opened, key: &str) -> String {
    let secret = file.secret(Some(key)).unwrap_or_else(|why| panic!("{key}: {why}"));
    secret.expose_str().expect("text").to_owned()
}

#[test]
fn a_kubernetes_secret_of_which_only_the_data_is_encrypted_is_read() {
    let file = read("clusters/x/secret.yaml", made!("secret.yaml"), &ours()).expect("opens");
    let pem = "-----BEGIN CERTIFICATE-----\nAA+/=\n-----END CERTIFICATE-----\n";
    assert_eq!(text(&file, "stringData/tls.crt"), pem);
    assert_eq!(
        text(&file, "stringData/pass~1word"),
        "s3cr3t \"with\" 'quotes' and \\ and ü"
    );
    assert_eq!(
        file.secret(Some("metadata/name")).err(),
        Some("it is not encrypted in that file")
    );
    assert!(file.secret(Some("stringData")).is_err() && file.secret(None).is_err());
    assert!(file.secret(Some("stringData/nothing")).is_err());
}

#[test]
fn every_value_is_what_sops_itself_gives() {
    let plain: serde_json::Value = serde_json::from_slice(made!("values.decrypted.json")).expect("JSON");
    for name in ["values.yaml", "only-encrypted.yaml"] {
        let bytes = if name == "values.yaml" {
            made!("values.yaml")
        } else {
            made!("only-encrypted.yaml")
        };
        let file = read(name, bytes, &ours()).expect(name);
        for key in ["text", "list/0", "list/1/second", "list/2/1", "quoted"] {
            let pointer = plain.pointer(&format!("/{key}")).and_then(|v| v.as_str());
            assert_eq!(Some(text(&file, key).as_str()), pointer, "{name} {key}");
        }
        assert_eq!(text(&file, "number"), "42");
        assert_eq!(text(&file, "big"), "9007199254740991");
        assert_eq!(text(&file, "float"), "1234.56789");
        assert_eq!(text(&file, "small"), "0.00000125");
        assert_eq!((text(&file, "yes"), text(&file, "octal")), ("true".into(), "15".into()));
        assert!(file.secret(Some("nothing")).is_err() && file.secret(Some("shown_unencrypted/c")).is_err());
    }
}

#[test]
fn json_dotenv_and_files_in_one_piece_are_read() {
    let file = read("values.json", made!("values.json"), &ours()).expect("JSON");
    assert_eq!(
        (text(&file, "token"), text(&file, "a/b/2")),
        ("t0ken".into(), "2.5".into())
    );
    let file = read("x/values.env", made!("values.env"), &ours()).expect("dotenv");
    assert_eq!(text(&file, "TOKEN"), "with = and spaces ");
    assert_eq!(text(&file, "MULTI"), "one\ntwo");
    let file = read("blob.bin", made!("blob.bin"), &ours()).expect("binary");
    let whole = file.secret(None).expect("all of it");
    let sum: String = sha2::Sha256::digest(whole.expose())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(sum, include_str!("../../tests/sops/blob.sha256").trim());
}

fn vault(path: &str) -> Option<Secret> {
    match path {
        "sops/age" => Some(Secret::from_string(KEYS.into())),
        "sops/rubbish" => Some(Secret::from_string("# a comment\nAGE-SECRET-KEY-1QQQQ\n".into())),
        _ => None,
    }
}

fn reference(text: &str) -> SecretRef {
    serde_json::from_value(serde_json::json!(text)).expect("a reference")
}

async fn ask(entry: &str, references: &[&str]) -> Result<crate::Secrets, SecretsError> {
    let config = Sops {
        age_identity: reference(entry),
    };
    let files = |path: &str| match path {
        "a/values.yaml" => Some(made!("values.yaml")),
        "a/secret.yaml" => Some(made!("secret.yaml")),
        "for-another.json" => Some(made!("for-another.json")),
        "groups.json" => Some(made!("groups.json")),
        "values.ini" => Some(made!("values.ini")),
        "two.yaml" => Some(made!("two-documents.yaml")),
        "plain.yaml" => Some(b"a: b\n".as_slice()),
        "page.json" => Some(b"<html>".as_slice()),
        _ => None,
    };
    let references: Vec<SecretRef> = references.iter().map(|r| reference(r)).collect();
    resolve_sops(&references, vault, Some(&config), files).await
}

#[tokio::test]
async fn secrets_of_several_files_come_with_the_identity_of_the_vault() {
    let wanted = [
        "sops:a/values.yaml#text",
        "sops:a/secret.yaml#stringData/tls.crt",
        "sops:a/values.yaml#list/0",
    ];
    let secrets = ask("vault:sops/age", &wanted).await.expect("all of them");
    assert_eq!(secrets.get(&reference(wanted[2])).expect("there").expose(), b"first");
    assert_eq!(secrets.references().count(), 3);
}

#[tokio::test]
async fn whatever_is_wrong_is_told_in_three_parts_and_nothing_is_given() {
    let mut told = String::new();
    for (entry, wanted) in [
        ("vault:sops/age", "sops:a/none.yaml#x"),
        ("vault:sops/age", "sops:a/values.yaml#no/such"),
        ("vault:sops/age", "sops:a/values.yaml"),
        ("vault:sops/none", "sops:a/values.yaml#text"),
        ("vault:sops/rubbish", "sops:a/values.yaml#text"),
        ("vault:sops/age", "sops:for-another.json#token"),
        ("vault:sops/age", "sops:groups.json#token"),
        ("vault:sops/age", "sops:values.ini#web/key"),
        ("vault:sops/age", "sops:two.yaml#text"),
        ("vault:sops/age", "sops:plain.yaml#a"),
        ("vault:sops/age", "sops:page.json#a"),
    ] {
        let error = ask(entry, &["sops:a/values.yaml#number", wanted])
            .await
            .err()
            .expect(wanted);
        // Recipients are different each time the files are made.
        let text = Trouble::from(error).to_string();
        let text: Vec<&str> = text
            .split(' ')
            .map(|w| if w.starts_with("age1") { "age1..." } else { w })
            .collect();
        told.push_str(&format!("{wanted} with {entry}\n{}\n\n", text.join(" ")));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn any_changed_character_of_a_value_or_seal_is_found() {
    let identities = ours();
    for (name, bytes) in [
        ("values.yaml", made!("values.yaml")),
        ("values.json", made!("values.json")),
        ("values.env", made!("values.env")),
        ("blob.bin", made!("blob.bin")),
    ] {
        let good = std::str::from_utf8(bytes).expect("text");
        // One character in each field of each encrypted value.
        let places: Vec<usize> = ["data:", "iv:", "tag:", "type:"]
            .iter()
            .flat_map(|field| good.match_indices(field).map(|(at, _)| at + field.len()))
            .collect();
        assert!(places.len() >= 8, "{name}");
        for at in places {
            let mut bad = bytes.to_vec();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            // A comment's seal is no part of the file's.
            let comment = good[at..]
                .split('\n')
                .next()
                .is_some_and(|line| line.ends_with("comment]"));
            let result = read(name, &bad, &identities);
            assert!(
                comment || matches!(result, Err(SopsError::Damaged(_))),
                "{name} at {at}"
            );
        }
    }
}

#[test]
fn values_that_are_swapped_left_out_or_added_are_found() {
    let identities = ours();
    let good = std::str::from_utf8(made!("values.json")).expect("text");
    let damaged = |text: &str| {
        matches!(
            read("values.json", text.as_bytes(), &identities),
            Err(SopsError::Damaged(_))
        )
    };
    let token = good.lines().find(|l| l.contains("\"token\"")).expect("token");
    assert!(damaged(&good.replace(&format!("{token}\n"), "")), "left out");
    assert!(damaged(&good.replace("443", "444")), "a plain value changed");
    assert!(
        damaged(&good.replace("\"token\"", "\"t0ken\"")),
        "moved to another name"
    );
    assert!(
        damaged(&good.replace("\"port_unencrypted\"", "\"added\": \"x\", \"port_unencrypted\"")),
        "added"
    );
    assert!(
        damaged(&good.replace("\"lastmodified\": \"2", "\"lastmodified\": \"3")),
        "the date"
    );
    let twice = good.replace(
        "\"port_unencrypted\"",
        "\"port_unencrypted\": 443, \"port_unencrypted\"",
    );
    assert!(matches!(
        read("values.json", twice.as_bytes(), &identities),
        Err(SopsError::NotSops(_))
    ));
}
