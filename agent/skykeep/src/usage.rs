//! What the agent itself cost this computer.

use std::{sync::OnceLock, time::Duration};

use nix::{
    sys::resource::{UsageWho, getrusage},
    time::{ClockId, clock_gettime},
};

/// Where PID 1 writes when it began, by the kernel's clock since power-on.
const BEGAN: &str = "/run/skykeep-began";

static TO_PROMPT: OnceLock<Duration> = OnceLock::new();

fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// Called by PID 1 first of all; keeps the moment until there is a place to write it to.
pub fn machine_began() -> impl FnOnce() {
    let now = since_boot().as_micros().to_string();
    // Only a figure of the report hangs on it.
    move || drop(std::fs::write(BEGAN, now))
}

/// Called before a person is asked for the first time.
pub fn prompt_stands() {
    let began = std::fs::read_to_string(BEGAN).ok().and_then(|text| text.parse().ok());
    if let Some(began) = began.map(Duration::from_micros) {
        let _ = TO_PROMPT.set(since_boot().saturating_sub(began));
    }
}

/// Counts peak memory anew from here on. Opening a vault needs 256 MiB for a moment, by Argon2's very purpose; that would hide what the
/// hour after it takes.
pub fn vault_is_open() {
    // proc_pid_clear_refs(5): 5 resets the peak. Where it is not allowed the peak stays that of the whole run, which is no less true.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// One line: CPU time and peak memory of this process.
pub fn line() -> String {
    let cpu = getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
        let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
        seconds(usage.user_time()) + seconds(usage.system_time())
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = peak(&status).map_or_else(String::new, |mb| {
        format!(", and {mb:.0} MB of memory at most after the vault was open")
    });
    let prompt = TO_PROMPT.get().map_or_else(String::new, |took| {
        format!(
            " It asked for the passphrase {:.1} s after the kernel had handed over.",
            took.as_secs_f64()
        )
    });
    format!("Skykeep itself took {cpu:.1} s of CPU time{peak}.{prompt}")
}

/// `VmHWM` of proc_pid_status(5), in MB.
fn peak(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_megabytes() {
        assert_eq!(peak("Name:\tx\nVmHWM:\t   62500 kB\nVmRSS:\t 1 kB\n"), Some(64.0));
        assert_eq!(peak("Name:\tx\n"), None);
    }

    #[test]
    fn the_line_is_about_this_very_process() {
        assert!(line().contains(" MB of memory"), "{}", line());
    }
}
