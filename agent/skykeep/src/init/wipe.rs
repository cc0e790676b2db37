//! The end: nothing keeps running, nothing stays in memory that can be given back, power off. A watchdog sees to it when one of these hangs.

use super::kernel::{say, set};
use super::watchdog::Watchdog;
use nix::mount::{MntFlags, umount2};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long wiping may take before the watchdog switches the machine off all the same. It takes well below a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the kernel's way to power off may take before it is asked by another one.
const OFF_PATIENCE: Duration = Duration::from_secs(5);

/// Ends every process but this one and buries them. Their memory is cleared by the kernel as it is given back (init_on_free=1).
pub fn end_all_other_processes() {
    let _armed = watchdog();
    // ESRCH: there is none.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    // Another thread of ours may bury some of them: this ends when there is no child left.
    while waitpid(None::<Pid>, None).is_ok() {}
}

/// Deletes all temporary files.
pub fn temporary_files() {
    for place in ["/tmp", "/run"] {
        empty(place);
    }
}

/// Everything that can be given back: processes, the owner's part, temporary files, what was typed, the kernel's caches. Says how long it took.
pub fn wipe() {
    let begin = Instant::now();
    let _armed = watchdog();
    end_all_other_processes();
    empty("/skykeep");
    temporary_files();
    for place in ["/tmp", "/run"] {
        let _ = umount2(place, MntFlags::MNT_DETACH);
    }
    if let Err(e) = skykeep_sys::overwrite_terminal_input(std::io::stdin().as_fd()) {
        say(&format!("Skykeep: the console's line buffer can't be overwritten: {e}"));
    }
    recycle_kernel_stacks();
    // 3: file pages and the kernel's own caches of names.
    if let Err(why) = set("vm/drop_caches", "3") {
        say(&format!("Skykeep: {why}"));
    }
    say(&format!(
        "\nSkykeep: memory wiped in {:.2} s.",
        begin.elapsed().as_secs_f64()
    ));
}

/// Wipes, then powers off.
pub fn wipe_and_power_off() -> ! {
    watchdog().forget();
    wipe();
    say("Skykeep: powering off.");
    // A last line needs a moment to leave a serial port, and the kernel to give back what it frees late (RCU).
    std::thread::sleep(Duration::from_millis(200));
    loop {
        power_off();
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn empty(place: &str) {
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

/// The kernel keeps the stacks of ended threads for the next ones, two for each processor, and clears them only then: so there are some next ones.
fn recycle_kernel_stacks() {
    let threads = 4 * std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            // Asleep, so that all are there at once. One that can't be made leaves one stack as it was.
            let asleep = || std::thread::sleep(Duration::from_millis(30));
            let _ = std::thread::Builder::new().spawn_scoped(scope, asleep);
        }
    });
}

fn power_off() {
    let Err(e) = reboot(RebootMode::RB_POWER_OFF);
    say(&format!(
        "Skykeep: this machine does not power off ({e}). Hold its power button."
    ));
}

/// Powers off when wiping hangs; and when that hangs too (a driver that does not let go), asks the kernel by the way that needs no lock.
fn watchdog() -> Watchdog {
    Watchdog::arm(PATIENCE, || {
        let last = Watchdog::arm(OFF_PATIENCE, || {
            let _ = fs::write("/proc/sysrq-trigger", "o\n");
        });
        power_off();
        last.forget();
    })
}
