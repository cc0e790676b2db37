//! PID 1: the first program of the rescue image. Deliberately tiny.
//!
//! It mounts the kernel's file systems, checks that the image arrived whole, loads drivers for the devices that are there, closes what nobody
//! needs, starts the agent (this same program, argument `agent`) as its child, reaps, and in the end wipes and powers off. It holds no secret. A crash of the
//! agent can never become a kernel panic: this program only says so and offers to start again.

mod alias;
mod ask;
mod harden;
mod kernel;
mod modules;
mod mounts;
mod supervise;
mod verdict;
mod wipe;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use harden::seal_modules;

/// The file that is last in the image: when it is missing, the kernel ran out of memory while unpacking.
const WHOLE: &str = "/etc/skykeep-whole";

/// Runs as PID 1 until the machine is powered off.
pub fn run() -> ! {
    // Before anything that may want random bytes, /proc or /dev/null.
    let mut troubles = mounts::mount_all();
    let outcome = catch_unwind(AssertUnwindSafe(|| prepare_and_supervise(&mut troubles)));
    if outcome.is_err() {
        kernel::say(
            "\nSkykeep: the first program of the image itself failed. This is a fault of Skykeep: please report it with this text.",
        );
        ask::power_off_only();
    }
    wipe::wipe_and_power_off()
}

fn prepare_and_supervise(troubles: &mut Vec<String>) {
    if !std::path::Path::new(WHOLE).exists() {
        kernel::say(concat!(
            "\nwhat:  The image is not whole in memory\n",
            "why:   this machine has too little free RAM, or the stick is damaged (the last file of the image is missing)\n",
            "do:    Use a machine with 1 GiB of RAM or more, or write the stick again."
        ));
        ask::power_off_only();
        return;
    }
    // The owner's part is data: what is not a plain file at its one place is taken away before anybody looks at it.
    troubles.extend(mounts::keep_only_plain_files(std::path::Path::new("/skykeep")));
    troubles.extend(harden::before_drivers());
    troubles.extend(kernel::loopback_up().err());
    match modules::Loader::of_running_kernel() {
        Ok(loader) => modules::load_for_present_devices_and_watch(loader),
        Err(why) => troubles.push(format!("no driver can be loaded: {why}")),
    }
    for trouble in troubles.iter() {
        kernel::say(&format!("Skykeep: {trouble}"));
    }
    supervise::until_power_off();
}
