//! Starts the agent, and carries out what [`super::verdict`] decides about each event until the machine is to go off.

use super::ask::{self, Choice};
use super::events::Events;
use super::kernel::say;
use super::verdict::{Circumstances, Event, Next, next};
use super::{memory, wipe};
use std::path::Path;

/// The agent makes this file when the castle file says that pulling the stick out wipes. PID 1 reads no castle file.
const STICK_WIPES: &str = "/run/skykeep-stick-wipes";

/// Called by the agent: from now on pulling the stick out switches the machine off.
pub fn stick_wipes() -> std::io::Result<()> {
    std::fs::write(STICK_WIPES, [])
}

/// Runs the agent, again when the person wants that, until the machine is to go off.
pub fn until_power_off(events: &Events) {
    loop {
        let killed_before = memory::programs_ended_for_memory();
        events.start_agent();
        let next = loop {
            let Some(event) = events.next() else { return };
            let circumstances = Circumstances {
                stick_wipes: Path::new(STICK_WIPES).exists(),
                memory_ran_out: memory::programs_ended_for_memory() > killed_before,
            };
            match next(&event, circumstances) {
                Next::GoOn => {}
                other => break other,
            }
        };
        // Whatever the agent left behind ends now; the kernel clears every page that is given back (init_on_free).
        wipe::end_all_other_processes();
        match next {
            Next::GoOn | Next::PowerOff(None) => return,
            Next::PowerOff(Some(why)) => {
                say(&format!("\nSkykeep: {why}."));
                return;
            }
            Next::WipeAndSay(text) => {
                wipe::wipe();
                say(&text);
                ask::time_to_read(events);
                return;
            }
            Next::Ask(text) => {
                wipe::temporary_files();
                say(&text);
            }
        }
        if ask::restart_or_power_off(events) == Choice::PowerOff {
            return;
        }
        ask::whole_lines();
    }
}

/// Whether an event that comes while a question stands on the screen is an answer to it: power off.
pub fn wants_power_off(event: &Event) -> bool {
    let circumstances = Circumstances {
        stick_wipes: Path::new(STICK_WIPES).exists(),
        memory_ran_out: false,
    };
    !matches!(event, Event::AgentEnded(_)) && matches!(next(event, circumstances), Next::PowerOff(_))
}
