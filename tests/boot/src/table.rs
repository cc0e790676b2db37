//! The result, for the console and for docs/.

use crate::Plan;
use crate::cell::{Flavour, Shown};
use crate::media::KINDS;
use anyhow::Result;
use lab_laptop::Firmware;
use std::fmt::Write;

/// How a cell ended.
pub enum Outcome {
    /// At the prompt, no disk touched.
    Prompt(Shown),
    /// It can't be, for this reason.
    Impossible(&'static str),
    /// It did not get there.
    Failed(String),
}

impl Outcome {
    /// Neither prompt nor a reason.
    pub fn failed(&self) -> bool {
        matches!(self, Outcome::Failed(_))
    }

    /// For the console.
    pub fn line(&self) -> String {
        match self {
            Outcome::Prompt(shown) => format!(
                "prompt after {:5.1} s ({:.1} s CPU); {} disks: 0 operations after handover, {} by the firmware before",
                shown.to_prompt.as_secs_f64(),
                shown.cpu.as_secs_f64(),
                shown.disks,
                shown.before_handover
            ),
            Outcome::Impossible(why) => format!("impossible: {why}"),
            Outcome::Failed(why) => format!("FAILED: {why}"),
        }
    }

    fn short(&self) -> String {
        match self {
            Outcome::Prompt(shown) => {
                format!(
                    "{:.1} s, CPU {:.1} s",
                    shown.to_prompt.as_secs_f64(),
                    shown.cpu.as_secs_f64()
                )
            }
            Outcome::Impossible(why) => format!("impossible: {why}"),
            Outcome::Failed(_) => "**failed**".into(),
        }
    }
}

/// The page for docs/.
pub fn markdown(outcomes: &[(Plan, Outcome)], answers: &[(String, Result<String>)]) -> String {
    let cell = |wanted: &dyn Fn(&Plan) -> bool| {
        let found = outcomes.iter().find(|(plan, _)| wanted(plan));
        found.map_or_else(|| "not run".to_owned(), |(_, outcome)| outcome.short())
    };
    let mut text = String::from(INTRODUCTION);
    for (flavour, title) in [
        (
            Flavour::Laptop,
            "Flavour `laptop-wired` (Debian's signed kernel, no storage drivers):",
        ),
        (Flavour::Sealed, "\nFlavour `sealed` (our own kernel, no block layer):"),
    ] {
        text.push_str(title);
        text.push_str("\n\n| medium | UEFI, Secure Boot | UEFI | BIOS |\n|---|---|---|---|\n");
        for kind in KINDS {
            let of = |firmware: Firmware| {
                cell(&|plan: &Plan| {
                    let machine = &plan.machine;
                    plan.flavour == flavour && plan.kind == kind && machine.firmware == firmware && machine.chosen
                })
            };
            let (secure, uefi, bios) = (of(Firmware::SecureBoot), of(Firmware::Uefi), of(Firmware::Bios));
            // A String takes all text.
            let _ = writeln!(text, "| {} | {secure} | {uefi} | {bios} |", kind.title());
        }
    }
    text.push_str(UNCHOSEN);
    for (plan, outcome) in outcomes.iter().filter(|(plan, _)| !plan.machine.chosen) {
        let _ = writeln!(text, "- {}: {}", plan.kind.title(), outcome.line());
    }
    text.push_str("\nAlso asked, each with the same five disks untouched:\n\n");
    for (name, answer) in answers {
        let seen = answer.as_ref().map_or("**failed**", String::as_str);
        let _ = writeln!(text, "- {name}: {seen}");
    }
    text
}

const INTRODUCTION: &str = "# The boot matrix

Made by `tests/boot/run full`. Each cell is a machine in QEMU (1 CPU without hardware acceleration, 1 GiB RAM) that boots to the passphrase prompt, with five
host disks: NVMe, SATA, virtio, USB and an SD card. Each disk holds a known pattern, a partition table, a boot partition with what loaders search for, swap
and LVM. A cell counts only when QEMU's own counters show 0 operations on every disk after the firmware handed over (with a BIOS: since power-on) and every
disk has its SHA-256 of before. The times are power-on to prompt, three seconds of menu included, on a shared machine: read the CPU time.

";

const UNCHOSEN: &str = "
When nobody chooses the medium in the boot menu, a UEFI firmware opens every disk before it finds the medium; what it reads is not ours, and nothing is read
after it handed over:

";
