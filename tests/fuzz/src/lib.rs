//! Everything that reads bytes which a stranger may have written, as functions of those bytes. A panic is a fault, and so
//! is work or memory out of proportion.
//!
//! `cargo test -p fuzz` sends each of them the corpus and a fixed number of seeded changes of it. `tests/fuzz/run SECONDS`
//! lets libFuzzer look for ways into the code that were not taken yet, and keeps what it finds.

pub mod mutate;

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

use sha2::{Digest, Sha256};
use skykeep_core::{castle::Castle, lock::Lock};
use skykeep_restore::{
    longhorn::cfg,
    postgres::{
        info::{self, Info},
        wal::{self, Segment},
    },
};
use skykeep_secrets::{age::Identity, read_listing, read_sops};

/// Something that reads bytes.
pub struct Target {
    /// Its name, and that of its folder of the corpus.
    pub name: &'static str,
    /// Reads them; must come back.
    pub read: fn(&[u8]),
    /// Good inputs that lie in the tree anyway.
    pub seeds: &'static [&'static str],
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "vault",
        read: vault,
        seeds: &["tests/vault-reader/vector.skv"],
    },
    Target {
        name: "tazpod",
        read: tazpod,
        seeds: &[],
    },
    Target {
        name: "castle",
        read: castle,
        seeds: &["tests/castle/castle.yaml"],
    },
    Target {
        name: "lock",
        read: lock,
        seeds: &[],
    },
    Target {
        name: "infisical",
        read: infisical,
        seeds: &[],
    },
    Target {
        name: "sops-yaml",
        read: |bytes| sops("x.yaml", bytes),
        seeds: &[
            "agent/secrets/tests/sops/secret.yaml",
            "agent/secrets/tests/sops/values.yaml",
        ],
    },
    Target {
        name: "sops-json",
        read: |bytes| sops("x.json", bytes),
        seeds: &[
            "agent/secrets/tests/sops/values.json",
            "agent/secrets/tests/sops/groups.json",
        ],
    },
    Target {
        name: "sops-env",
        read: |bytes| sops("x.env", bytes),
        seeds: &["agent/secrets/tests/sops/values.env"],
    },
    Target {
        name: "pgbackrest",
        read: pgbackrest,
        seeds: &["agent/restore/tests/pgbackrest/backup.info"],
    },
    Target {
        name: "longhorn",
        read: longhorn,
        seeds: &[
            "agent/restore/tests/longhorn/store/backupstore/volumes/ff/06/pvc-lz4/volume.cfg",
            "agent/restore/tests/longhorn/store/backupstore/volumes/ff/06/pvc-lz4/backups/backup_backup-0.cfg",
        ],
    },
    Target {
        name: "age",
        read: age,
        seeds: &[],
    },
];

/// The tree's root.
pub fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The seeds and the corpus of a target, in the order of their names.
pub fn inputs(target: &Target) -> std::io::Result<Vec<Vec<u8>>> {
    let mut inputs = Vec::new();
    for seed in target.seeds {
        inputs.push(std::fs::read(tree().join(seed))?);
    }
    let folder = tree().join("tests/fuzz/corpus").join(target.name);
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|e| Ok(e?.path()))
        .collect::<std::io::Result<_>>()?;
    found.sort();
    for path in found {
        inputs.push(std::fs::read(path)?);
    }
    Ok(inputs)
}

/// The checksum is made to fit: else nothing behind it would ever be reached.
fn vault(bytes: &[u8]) {
    let _ = skykeep_vault::outside(bytes);
    let mut file = bytes.get(..bytes.len().saturating_sub(32)).unwrap_or_default().to_vec();
    let sum = Sha256::digest(&file);
    file.extend_from_slice(&sum);
    let _ = skykeep_vault::outside(&file);
}

/// Behind the seal: whoever knows the passphrase may still have made a hostile archive.
fn tazpod(bytes: &[u8]) {
    let _ = skykeep_vault::tazpod::unpack(bytes);
}

fn castle(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(castle) = Castle::parse(text)
    {
        let _ = castle.secret_refs();
    }
}

fn lock(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Lock::parse(text);
    }
}

fn infisical(bytes: &[u8]) {
    let _ = read_listing(bytes);
}

static IDENTITIES: LazyLock<Vec<Identity>> = LazyLock::new(|| {
    Identity::parse_file(include_str!("../../../agent/secrets/tests/sops/keys.txt")).unwrap_or_default()
});

fn sops(name: &str, bytes: &[u8]) {
    if let Ok(file) = read_sops(name, bytes, &IDENTITIES) {
        let _ = file.secret(Some("text"));
    }
}

fn longhorn(bytes: &[u8]) {
    let _ = cfg::volume(bytes, "pvc-lz4");
    if let Ok(Some(backup)) = cfg::backup(bytes, "backup-0", "pvc-lz4") {
        assert!(cfg::Wanted::of("latest").fits(&backup));
        for sum in backup.blocks.values() {
            assert_eq!(cfg::block_key(sum).matches('/').count(), 3);
        }
    }
}

fn pgbackrest(bytes: &[u8]) {
    if let Ok(Info::Clear(backups)) = info::parse(bytes)
        && let Some(backup) = info::choose(&backups, None)
    {
        let _ = backup.archive();
    }
    let names = String::from_utf8_lossy(bytes);
    let segments: Vec<Segment> = names.lines().filter_map(Segment::parse).collect();
    if let Some(first) = segments.first() {
        let _ = wal::follow(segments.clone(), *first);
    }
}

fn age(bytes: &[u8]) {
    let _ = skykeep_secrets::age::open(bytes, &IDENTITIES);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = skykeep_secrets::age::open_armored(text, &IDENTITIES);
        let _ = Identity::parse_file(text);
    }
}
