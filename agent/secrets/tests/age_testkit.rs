//! C2SP's test kit for what reads the age format. `agent/secrets/tests/testkit` fetches it and runs this.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, io::Read};

use sha2::{Digest, Sha256};
use skykeep_secrets::age::{AgeError, Identity, open, open_armored};

/// A file of the kit: fields, an empty line, the age file.
struct Case {
    name: String,
    fields: BTreeMap<String, Vec<String>>,
    file: Vec<u8>,
}

impl Case {
    fn read(path: &std::path::Path) -> Self {
        let all = std::fs::read(path).unwrap();
        let end = all.windows(2).position(|w| w == b"\n\n").unwrap();
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in std::str::from_utf8(&all[..end]).unwrap().lines() {
            let (name, value) = line.split_once(": ").unwrap();
            fields.entry(name.into()).or_default().push(value.into());
        }
        let mut file = all[end + 2..].to_vec();
        if fields.contains_key("compressed") {
            let mut plain = Vec::new();
            flate2::read::ZlibDecoder::new(file.as_slice())
                .read_to_end(&mut plain)
                .unwrap();
            file = plain;
        }
        Case {
            name: path.file_name().unwrap().to_str().unwrap().into(),
            fields,
            file,
        }
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |v| v[0].as_str())
    }
}

#[test]
#[ignore = "needs the kit: agent/secrets/tests/testkit"]
fn every_case_of_the_kit_ends_as_it_says() {
    let kit = std::env::var("AGE_TESTKIT").expect("AGE_TESTKIT names the kit's folder");
    let (mut ran, mut passed_over, mut wrong) = (0, Vec::new(), Vec::new());
    for entry in std::fs::read_dir(kit).unwrap() {
        let case = Case::read(&entry.unwrap().path());
        // Post-quantum recipients and passphrases are not read here: SOPS has neither.
        let identities = case.fields.get("identity").cloned().unwrap_or_default();
        if identities.is_empty() || identities.iter().any(|i| i.contains("-PQ-")) {
            passed_over.push(case.name);
            continue;
        }
        ran += 1;
        let identities = Identity::parse_file(&identities.join("\n")).unwrap();
        let opened = if case.field("armored") == "yes" {
            std::str::from_utf8(&case.file)
                .map_err(|_| AgeError::Armor)
                .and_then(|text| open_armored(text, &identities))
        } else {
            open(&case.file, &identities)
        };
        let seen = match &opened {
            Ok(plain) if hex::encode(Sha256::digest(plain.expose())) == case.field("payload") => "success",
            Ok(_) => "another payload",
            Err(AgeError::Armor) => "armor failure",
            Err(AgeError::Header) => "header failure",
            Err(AgeError::NoMatch) => "no match",
            Err(AgeError::Mac) => "HMAC failure",
            Err(AgeError::Payload) => "payload failure",
        };
        if seen != case.field("expect") {
            wrong.push(format!("{}: {seen}, not {}", case.name, case.field("expect")));
        }
    }
    println!("{ran} cases ran; passed over: {}", passed_over.join(" "));
    assert!(ran > 80 && wrong.is_empty(), "{ran} ran; {}", wrong.join("\n"));
}
