//! The end: nothing keeps running, nothing stays in memory that can be given back, power off.

use super::kernel::{say, set};
use nix::mount::{MntFlags, umount2};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

/// Ends every process but this one and buries them. Their memory is cleared by the kernel as it is given back (init_on_free=1).
pub fn end_all_other_processes() {
    // ESRCH: there is none.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    while waitpid(None::<Pid>, None).is_ok() {}
}

/// Deletes the owner's part and all temporary files, gives caches back, powers off.
pub fn wipe_and_power_off() -> ! {
    end_all_other_processes();
    for place in ["/skykeep", "/tmp", "/run"] {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let path = entry.path();
            // What can't be deleted goes with the unmount or the power.
            let _ = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
        }
    }
    for place in ["/tmp", "/run"] {
        let _ = umount2(place, MntFlags::MNT_DETACH);
    }
    // 3: file pages and the kernel's own caches of names.
    if let Err(why) = set("vm/drop_caches", "3") {
        say(&format!("Skykeep: {why}"));
    }
    say("\nSkykeep: memory wiped, powering off.");
    // A last line needs a moment to leave a serial port.
    std::thread::sleep(Duration::from_millis(200));
    loop {
        let Err(e) = reboot(RebootMode::RB_POWER_OFF);
        say(&format!(
            "Skykeep: this machine does not power off ({e}). Hold its power button."
        ));
        std::thread::sleep(Duration::from_secs(60));
    }
}
