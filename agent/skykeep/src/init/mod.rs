//! PID 1: the first program of the rescue image. Deliberately tiny.
//!
//! It mounts the kernel's file systems, checks that the image arrived whole, loads drivers for the devices that are there, closes what nobody
//! needs, starts the agent (this same program, argument `agent`) as its child, reaps, and in the end wipes and powers off. It holds no secret. A crash of the
//! agent can never become a kernel panic: this program wipes and says so. It also watches what ends the machine from outside: power button, lid, stick.

mod alias;
mod ask;
mod buttons;
mod closed;
mod events;
mod harden;
mod kernel;
mod memory;
mod modules;
mod mounts;
mod screen;
mod supervise;
mod verdict;
mod watchdog;
mod wipe;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use closed::{gaps, network_drivers_then_seal};
pub use memory::offer_this_process;
pub use modules::load_tagging;
pub use supervise::stick_wipes;
pub use verdict::{END_NOW, PANICKED};

/// The file that is last in the image: when it is missing, the kernel ran out of memory while unpacking.
const WHOLE: &str = "/etc/skykeep-whole";

/// Runs as PID 1 until the machine is powered off.
pub fn run() -> ! {
    let note = crate::usage::machine_began();
    // Before anything that may want random bytes, /proc or /dev/null.
    let mut troubles = mounts::mount_all();
    note();
    ask::whole_lines();
    let events = events::Events::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| prepare_and_supervise(&events, &mut troubles)));
    if outcome.is_err() {
        // Whoever still holds a secret ends before anybody is asked to read.
        wipe::end_all_other_processes();
        kernel::say(
            "\nSkykeep: the first program of the image itself failed. This is a fault of Skykeep: please report it with this text.",
        );
        ask::power_off_only(&events);
    }
    wipe::wipe_and_power_off()
}

fn prepare_and_supervise(events: &events::Events, troubles: &mut Vec<String>) {
    if !std::path::Path::new(WHOLE).exists() {
        kernel::say(concat!(
            "\nwhat:  The image is not whole in memory\n",
            "why:   this machine has too little free RAM, or the stick is damaged (the last file of the image is missing)\n",
            "do:    Use a machine with 1 GiB of RAM or more, or write the stick again."
        ));
        ask::power_off_only(events);
        return;
    }
    // The owner's part is data: what is not a plain file at its one place is taken away before anybody looks at it.
    troubles.extend(mounts::keep_only_plain_files(std::path::Path::new("/skykeep")));
    troubles.extend(harden::before_drivers());
    troubles.extend(kernel::loopback_up().err());
    troubles.extend(memory::spare_this_process());
    // Listen first, look second: nothing that appears in between is missed.
    let news = kernel::DeviceEvents::listen();
    let mut loader = modules::Loader::of_running_kernel().unwrap_or_else(|why| {
        troubles.push(format!("no driver can be loaded: {why}"));
        None
    });
    if let Some(loader) = &mut loader {
        modules::load_for_present_devices(loader);
    }
    match news {
        Ok(news) => events.watch_devices(news, loader),
        Err(e) => troubles.push(format!(
            "devices that come and go are not seen, and the stick is not watched: {e}"
        )),
    }
    events.watch_buttons();
    for trouble in troubles.iter() {
        kernel::say(&format!("Skykeep: {trouble}"));
    }
    screen::point_to_the_serial_line();
    supervise::until_power_off(events);
}
