//! One boot: the way to the prompt, through the passphrase and out, with a look at the memory at each.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use lab_laptop::Laptop;

use crate::{
    Findings, Needles,
    boots::{LONG, Verdict},
    crash::{self, Fault},
    ending::Ending,
    hardware::on_a_french_keyboard,
    owner::{NAME_CONTROL, NAME_PASSPHRASE, NAME_ROOT, NAME_SLOT_KEY, PASSPHRASE},
    search,
};

/// More than a screen's letters with their colours take.
const SCREEN: u64 = 64 * 1024;
/// From a key to off, at most.
const OFF: Duration = Duration::from_secs(60);

/// One laptop that is on, and what is looked for in its memory.
pub(crate) struct Boot<'a> {
    pub(crate) screen: bool,
    /// Where in RAM its text was seen.
    pub(crate) screen_at: Option<u64>,
    pub(crate) laptop: Laptop,
    pub(crate) dump: PathBuf,
    pub(crate) needles: Needles,
    pub(crate) verdicts: &'a mut Vec<Verdict>,
}

impl Boot<'_> {
    /// Up to the prompt, with the first half typed: the control that typed text is found at all, in this way of typing.
    pub(crate) fn reach_the_prompt(&mut self) -> Result<()> {
        if self.screen {
            self.wait_on_screen("Passphrase: ")?;
        } else {
            self.laptop.wait_for("Passphrase: ", LONG)?;
        }
        let (half, _) = PASSPHRASE.split_at(PASSPHRASE.len() / 2);
        if self.screen {
            // castle.yaml says German; one key, and the French keyboard in front of us is understood.
            self.wait_on_screen("German (de)")?;
            self.laptop.press_together(&["ctrl", "l"])?;
            self.wait_on_screen("French (fr)")?;
        }
        self.type_passphrase(half)?;
        std::thread::sleep(Duration::from_secs(1));
        let found = self.look()?;
        self.judge(
            found.of(NAME_PASSPHRASE) > 0,
            "control: half a typed passphrase is found in the kernel's line buffer",
            &found,
        );
        let mut forms = found.forms_of(NAME_CONTROL);
        forms.dedup();
        self.judge(
            forms.len() == 6,
            &format!(
                "control: a text in the owner's part is found in all 6 forms ({})",
                forms.join("; ")
            ),
            &found,
        );
        Ok(())
    }

    pub(crate) fn unlock(&mut self) -> Result<()> {
        let (_, rest) = PASSPHRASE.split_at(PASSPHRASE.len() / 2);
        self.type_passphrase(rest)?;
        self.type_text("\n")?;
        if self.screen {
            // There is no network, so the person locks; what is left is looked at as "locked".
            self.wait_on_screen("[x] lock")?;
            self.type_text("x")?;
            return self.wait_on_screen("[r] start again");
        }
        self.laptop.plug_cable(true)?;
        self.laptop.wait_for("[q] aborts", LONG)?;
        let found = self.look()?;
        for name in [NAME_PASSPHRASE, NAME_SLOT_KEY] {
            self.judge(found.of(name) == 0, &format!("unlocked: 0 hits of the {name}"), &found);
        }
        self.judge(
            found.of(NAME_ROOT) > 0,
            "control: unlocked, the castle's root is found where it must be",
            &found,
        );
        Ok(())
    }

    pub(crate) fn leave_unlocked(&mut self, ending: Ending, program: &Path) -> Result<()> {
        match ending {
            Ending::PowerButton => self.laptop.press_power_button(),
            Ending::StickPulled => self.laptop.pull_stick(),
            Ending::AbortKey => {
                self.type_text("q")?;
                self.laptop.wait_for("Abort, wipe and power off?", LONG)?;
                self.type_text("y")
            }
            Ending::Crash => self.fault(program, Fault::Crash, "a fault of Skykeep: it was ended by SIGILL"),
            Ending::Panic => self.fault(program, Fault::Panic, "a fault of Skykeep: it ended with exit code 101"),
            Ending::OutOfMemory => self.fault(program, Fault::EatMemory, "this machine ran out of memory"),
            Ending::WipingHangs => {
                // What deletes temporary files, and before them the owner's part.
                crash::plant(&mut self.laptop, program, "init4wipe5empty17h", Fault::Hang, &self.dump)?;
                self.type_text("q")?;
                self.laptop.wait_for("Abort, wipe and power off?", LONG)?;
                self.type_text("y")
            }
            Ending::FailedOnScreen => {
                let mut found = self.look()?;
                // The owner's part stays for another start: it is sealed, and public by design.
                found.hits.retain(|(name, _), _| name != NAME_CONTROL);
                self.judge(
                    found.hits.is_empty(),
                    "locked (the work has failed, the laptop asks): 0 hits of any secret",
                    &found,
                );
                self.type_text("p")
            }
            other => bail!("{other:?} does not begin unlocked"),
        }
    }

    /// The agent meets a fault at the next key; its end is said on a machine that is wiped already.
    fn fault(&mut self, program: &Path, fault: Fault, said: &str) -> Result<()> {
        // What the agent asks about each key.
        crash::plant(&mut self.laptop, program, "console4keys5after17h", fault, &self.dump)?;
        self.type_text("q")?;
        self.laptop.wait_for("memory wiped in", LONG)?;
        self.laptop.wait_for(said, LONG)?;
        let found = self.look()?;
        self.judge(
            found.hits.is_empty(),
            &format!("{fault:?}, the reason on the screen: 0 hits of anything"),
            &found,
        );
        self.type_text("p")
    }

    pub(crate) fn leave_from_the_prompt(&mut self, ending: Ending) -> Result<()> {
        match ending {
            Ending::IdleAtPrompt => self.laptop.wait_for("Nobody typed for 1 minutes", LONG).map(drop),
            // The first ends the half line, the second the input.
            Ending::CtrlD => self.type_text("\u{15}\u{4}"),
            Ending::PowerButtonAtPrompt => self.laptop.press_power_button(),
            other => bail!("{other:?} does not begin at the prompt"),
        }
    }

    /// The machine goes off, and its memory, frozen, holds nothing. When wiping hung, the owner's part is still there: it is sealed, and public by design.
    pub(crate) fn nothing_is_left(&mut self, hung: bool) -> Result<()> {
        let begin = Instant::now();
        self.laptop.wait_for_power_off(OFF)?;
        let took = begin.elapsed().as_secs_f64();
        let text = self.laptop.console_text();
        let wiping = text
            .split("memory wiped in ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        println!(
            "  figure: off after {took:.1} s, of which wiping {} s",
            wiping.unwrap_or("(said on the screen)")
        );
        let mut found = self.look()?;
        if hung {
            let watched = wiping.is_none() && took > 5.0;
            self.judge(watched, "it was the watchdog that switched it off", &found);
            found.hits.retain(|(name, _), _| name != NAME_CONTROL);
            self.judge(
                found.hits.is_empty(),
                "off by the watchdog: 0 hits of any secret",
                &found,
            );
        } else {
            self.judge(found.hits.is_empty(), "off: 0 hits of anything", &found);
        }
        fs::remove_file(&self.dump).context("deleting the dump")
    }

    fn look(&mut self) -> Result<Findings> {
        self.laptop.dump_memory(&self.dump)?;
        search(&self.dump, &self.needles)
    }

    fn judge(&mut self, held: bool, text: &str, found: &Findings) {
        let (searched, fragments) = (found.looked_at >> 20, self.needles.len());
        self.verdicts.push(Verdict::say(
            held,
            format!("{text} ({searched} MB of memory in use searched for {fragments} fragments)"),
        ));
        if !held {
            print!("{found}");
        }
    }

    /// On the screen's keyboard by the keys of a French one.
    fn type_passphrase(&mut self, text: &str) -> Result<()> {
        if self.screen {
            return self.laptop.press_keys(&on_a_french_keyboard(text));
        }
        self.type_text(text)
    }

    fn type_text(&mut self, text: &str) -> Result<()> {
        if self.screen {
            return self.laptop.press_keys(text);
        }
        for key in text.chars() {
            self.laptop.type_key(if key == '\n' { '\r' } else { key })?;
        }
        Ok(())
    }

    /// A screen has no wire to listen at: its text is looked for in memory, as the console driver keeps it (letter, colour, letter, colour).
    /// All of it is searched once; then the place is known.
    fn wait_on_screen(&mut self, text: &str) -> Result<()> {
        let cells: Vec<u8> = text.bytes().flat_map(|byte| [byte, 7]).collect();
        let wanted = Needles::of_bytes("screen", &cells)?;
        let deadline = Instant::now() + LONG;
        loop {
            let found = match self.screen_at {
                None => {
                    // The machine stands still while it is dumped: it must get most of the time.
                    std::thread::sleep(Duration::from_secs(6));
                    self.laptop.dump_memory(&self.dump)?;
                    let found = search(&self.dump, &wanted)?;
                    if let Some(at) = found.first {
                        self.screen_at = Some(lab_laptop::physical_address(&self.dump, at)?);
                    }
                    found
                }
                Some(at) => {
                    std::thread::sleep(Duration::from_millis(300));
                    self.laptop
                        .save_memory(at.saturating_sub(SCREEN / 2), SCREEN, &self.dump)?;
                    search(&self.dump, &wanted)?
                }
            };
            if found.first.is_some() {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{text:?} did not come on the screen within {LONG:?}"
            );
        }
    }
}
