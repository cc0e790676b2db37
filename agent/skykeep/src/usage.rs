//! What the agent itself cost this computer.

use nix::sys::resource::{UsageWho, getrusage};

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
    format!("Skykeep itself took {cpu:.1} s of CPU time{peak}.")
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
