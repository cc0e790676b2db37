//! libFuzzer's way in. The target is named by `SKYKEEP_FUZZ`.
#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<&fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("SKYKEEP_FUZZ").unwrap_or_default();
    let found = fuzz::TARGETS.iter().find(|t| t.name == name);
    found.unwrap_or_else(|| {
        eprintln!("SKYKEEP_FUZZ names none of the targets");
        std::process::exit(2)
    })
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (TARGET.read)(bytes));
