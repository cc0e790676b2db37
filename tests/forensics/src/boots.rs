//! The boots: each brings a laptop to one ending, and its memory is searched on the way.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use lab_laptop::Laptop;

use crate::{
    boot::Boot,
    ending::Ending,
    hardware::{laptop, power_on},
    owner,
};

/// How long a step of a boot may take on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(240);

/// Where things are.
pub struct Places {
    /// The repository.
    pub tree: PathBuf,
    /// A folder made by `image/build`.
    pub image: PathBuf,
    /// The binary it was built from.
    pub program: PathBuf,
    /// A folder for everything that is made here.
    pub work: PathBuf,
}

/// One search and whether it was as it must be.
pub struct Verdict {
    /// What was looked for, when.
    pub text: String,
    /// As it must be.
    pub held: bool,
}

impl Verdict {
    pub(crate) fn say(held: bool, text: String) -> Self {
        println!("  {} {text}", if held { "ok  " } else { "FAIL" });
        Verdict { text, held }
    }
}

/// Runs one boot to its end.
///
/// # Errors
/// When the laptop does not get there; what was found is in the verdicts.
pub fn run(places: &Places, ending: Ending, verdicts: &mut Vec<Verdict>) -> Result<()> {
    println!("\n{}", ending.title());
    attempt(places, ending, verdicts, false)
}

fn attempt(places: &Places, ending: Ending, verdicts: &mut Vec<Verdict>, again: bool) -> Result<()> {
    let work = places.work.join(format!("{ending:?}"));
    fs::create_dir_all(&work)?;
    let owner = owner::make(&places.tree, work.join("owner"), ending == Ending::IdleAtPrompt)?;
    let mut boot = Boot {
        screen: ending == Ending::FailedOnScreen,
        screen_at: None,
        laptop: power_on(places, &work, &owner, ending)?,
        dump: work.join("memory.elf"),
        needles: owner.needles,
        verdicts,
    };
    if let Err(error) = boot.reach_the_prompt() {
        // The kernel measures its timer against the processor's; a starved emulator fails that. It says nothing about us, so once more.
        ensure!(
            !again && boot.laptop.console_text().contains("timer doesn't work"),
            error
        );
        println!("  the emulated timer was starved by other work on this machine: once more");
        drop(boot);
        return attempt(places, ending, verdicts, true);
    }
    if ending.at_prompt() {
        boot.leave_from_the_prompt(ending)?;
    } else {
        boot.unlock()?;
        boot.leave_unlocked(ending, &places.program)?;
    }
    boot.nothing_is_left(ending == Ending::WipingHangs)
}

/// An image started with weaker options: it must say which, and not ask for the passphrase.
///
/// # Errors
/// When the laptop does not get that far.
pub fn refuses_an_open_kernel(places: &Places, verdicts: &mut Vec<Verdict>) -> Result<()> {
    println!("\nboot options that leave the kernel open");
    let work = places.work.join("open-kernel");
    fs::create_dir_all(&work)?;
    let owner = owner::make(&places.tree, work.join("owner"), false)?;
    let stick = work.join("stick.img");
    owner::stick(&places.tree, &places.image, &owner.folder, &stick)?;
    for (from, to) in [
        ("init_on_free=1", "init_on_free=0"),
        ("lockdown=confidentiality", "lockdown=integrity n=one"),
        ("init_on_alloc=1", "init_on_alloc=0"),
    ] {
        owner::change_boot_options(&stick, from, to)?;
    }
    let mut machine = Laptop::start(laptop(&work, stick))?;
    machine.wait_for("[r] start again", LONG)?;
    let text = machine.console_text();
    for gap in ["(init_on_free)", "(init_on_alloc)", "lockdown is not"] {
        verdicts.push(Verdict::say(
            text.contains(gap),
            format!("the open kernel is refused for `{gap}`"),
        ));
    }
    let asked = text.contains("Passphrase: ");
    verdicts.push(Verdict::say(!asked, "no passphrase was asked for".into()));
    Ok(())
}
