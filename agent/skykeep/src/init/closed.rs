//! What must hold before anybody is asked for a passphrase, and the lock that closes when it was right.

use super::{kernel, modules};
use std::fs;

/// What the kernel says about itself, as text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Said {
    /// /proc/swaps
    swaps: String,
    /// /proc/cmdline
    command_line: String,
    /// /sys/power/disk
    hibernation: String,
    /// /proc/sys/kernel/kexec_load_disabled
    kexec_disabled: String,
    /// /sys/kernel/kexec_loaded and kexec_crash_loaded
    kexec_loaded: String,
    /// /proc/self/limits
    limits: String,
    /// /proc/sys/kernel/core_pattern
    core_pattern: String,
    /// /proc/sys/kernel/yama/ptrace_scope
    ptrace: String,
    /// /sys/kernel/security/lockdown
    lockdown: String,
    /// /proc/sys/kernel/sysrq
    sysrq: String,
    /// Whether this very process may be dumped or traced.
    dumpable: bool,
}

impl Said {
    /// A file that can't be read is an empty text, which no check accepts where the kernel must have said something.
    fn by_this_kernel() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Said {
            swaps: read("/proc/swaps"),
            command_line: read("/proc/cmdline"),
            hibernation: read("/sys/power/disk"),
            kexec_disabled: read("/proc/sys/kernel/kexec_load_disabled"),
            kexec_loaded: read("/sys/kernel/kexec_loaded") + &read("/sys/kernel/kexec_crash_loaded"),
            limits: read("/proc/self/limits"),
            core_pattern: read("/proc/sys/kernel/core_pattern"),
            ptrace: read("/proc/sys/kernel/yama/ptrace_scope"),
            lockdown: read("/sys/kernel/security/lockdown"),
            sysrq: read("/proc/sys/kernel/sysrq"),
            dumpable: skykeep_sys::can_be_dumped(),
        }
    }

    /// The last value that a boot option was given.
    fn option(&self, name: &str) -> Option<&str> {
        let words = self.command_line.split_whitespace().rev();
        words
            .filter_map(|word| word.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

/// Everything by which a secret could leave this machine's memory or outlive it, in people's words. Empty when all is closed.
pub fn gaps() -> Vec<&'static str> {
    open_in(&Said::by_this_kernel())
}

fn open_in(said: &Said) -> Vec<&'static str> {
    let one = |text: &str| text.trim() == "1";
    let no_core = said.limits.lines().any(|line| {
        let mut words = line.split_whitespace().skip(4);
        line.starts_with("Max core file size") && words.next() == Some("0") && words.next() == Some("0")
    });
    let closed = [
        // One line is the heading.
        (said.swaps.lines().count() == 1, "memory may be written to swap"),
        (said.hibernation.trim() == "[disabled]", "the machine can hibernate"),
        (
            one(&said.kexec_disabled) && said.kexec_loaded.split_whitespace().eq(["0", "0"]),
            "another kernel can be started over this one (kexec)",
        ),
        (
            no_core && said.core_pattern.trim().is_empty() && !said.dumpable,
            "a crash can leave a core dump",
        ),
        (said.ptrace.trim() == "3", "processes can be traced (ptrace)"),
        (
            said.option("init_on_alloc") == Some("1"),
            "memory is not cleared when it is handed out (init_on_alloc)",
        ),
        (
            said.option("init_on_free") == Some("1"),
            "memory is not cleared when it is given back (init_on_free)",
        ),
        (
            said.lockdown.contains("[confidentiality]"),
            "kernel memory can be read (lockdown is not `confidentiality`)",
        ),
        (said.sysrq.trim() == "0", "keys can dump memory (sysrq)"),
    ];
    let open = closed.into_iter().filter(|(closed, _)| !closed);
    open.map(|(_, gap)| gap).collect()
}

/// Loads every USB network driver, so that an adapter plugged in later works, then no driver can be loaded until power-off.
///
/// # Errors
/// When the kernel does not say that it is so.
pub fn network_drivers_then_seal() -> Result<(), String> {
    const SEALED: &str = "kernel/modules_disabled";
    let sealed = || fs::read_to_string(format!("/proc/sys/{SEALED}")).is_ok_and(|text| text.trim() == "1");
    if !sealed() {
        modules::load_hot_plug_networks();
        kernel::set(SEALED, "1")?;
    }
    if sealed() {
        Ok(())
    } else {
        Err(format!("{SEALED} is not 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed() -> Said {
        Said {
            swaps: "Filename\tType\tSize\tUsed\tPriority\n".into(),
            command_line: "console=tty0 init_on_alloc=1 init_on_free=1 lockdown=confidentiality nohibernate\n".into(),
            hibernation: "[disabled]\n".into(),
            kexec_disabled: "1\n".into(),
            kexec_loaded: "0\n0\n".into(),
            limits: "Limit                     Soft Limit           Hard Limit           Units     \n\
                     Max core file size        0                    0                    bytes     \n"
                .into(),
            core_pattern: "\n".into(),
            ptrace: "3\n".into(),
            lockdown: "none integrity [confidentiality]\n".into(),
            sysrq: "0\n".into(),
            dumpable: false,
        }
    }

    #[test]
    fn a_closed_kernel_has_no_gap() {
        assert_eq!(open_in(&closed()), Vec::<&str>::new());
    }

    #[test]
    fn each_gap_alone_is_seen_and_named() {
        type Open = fn(&mut Said);
        let cases: [(&str, Open); 13] = [
            ("swap", |s| s.swaps += "/dev/sda2 partition 1 0 -2\n"),
            ("hibernate", |s| {
                s.hibernation = "[platform] shutdown reboot suspend\n".into()
            }),
            ("kexec", |s| s.kexec_disabled = "0\n".into()),
            ("kexec", |s| s.kexec_loaded = "0\n1\n".into()),
            ("core dump", |s| s.limits = s.limits.replace("0   ", "1   ")),
            ("core dump", |s| s.core_pattern = "|/bin/x\n".into()),
            ("core dump", |s| s.dumpable = true),
            ("ptrace", |s| s.ptrace = "1\n".into()),
            ("init_on_alloc", |s| s.command_line = "init_on_free=1".into()),
            ("init_on_free", |s| s.command_line += " init_on_free=0"),
            ("lockdown", |s| s.lockdown = "none [integrity] confidentiality\n".into()),
            ("sysrq", |s| s.sysrq = "438\n".into()),
            ("sysrq", |s| s.sysrq.clear()),
        ];
        for (word, open) in cases {
            let mut said = closed();
            open(&mut said);
            let gaps = open_in(&said);
            assert!(gaps.len() == 1 && gaps[0].contains(word), "{word}: {gaps:?}");
        }
    }

    #[test]
    fn a_kernel_that_says_nothing_is_open_everywhere() {
        assert_eq!(open_in(&Said::default()).len(), 9);
    }
}
