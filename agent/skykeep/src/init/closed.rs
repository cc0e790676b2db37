//! What must hold before anybody is asked for a passphrase, and the lock that closes when it was right.

use super::{kernel, modules};
use std::{fs, io::ErrorKind, path::Path};

/// What the kernel says of one of its features.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Feature {
    /// There is no such file, beside others that there are: this kernel was built without it.
    NotBuilt,
    /// The file's text.
    Says(String),
    /// The file can't be read: nothing is known.
    #[default]
    Unknown,
}

impl Feature {
    /// Reads the file; `beside` is one that every kernel has there, so that a folder that is not mounted is no proof.
    fn read(path: &str, beside: &str) -> Self {
        match fs::read_to_string(path) {
            Ok(text) => Feature::Says(text),
            Err(e) if e.kind() == ErrorKind::NotFound && Path::new(beside).exists() => Feature::NotBuilt,
            Err(_) => Feature::Unknown,
        }
    }

    /// Whether it is not there at all, or says what makes it harmless.
    fn is_closed(&self, harmless: impl Fn(&str) -> bool) -> bool {
        match self {
            Feature::NotBuilt => true,
            Feature::Says(text) => harmless(text.trim()),
            Feature::Unknown => false,
        }
    }
}

/// What the kernel says about itself.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Said {
    /// /proc/swaps
    swaps: Feature,
    /// /proc/cmdline
    command_line: String,
    /// /sys/power/disk
    hibernation: Feature,
    /// /proc/sys/kernel/kexec_load_disabled
    kexec_disabled: Feature,
    /// /sys/kernel/kexec_loaded
    kexec_loaded: Feature,
    /// /sys/kernel/kexec_crash_loaded
    crash_loaded: Feature,
    /// /proc/self/limits
    limits: String,
    /// /proc/sys/kernel/core_pattern
    core_pattern: Feature,
    /// /proc/sys/kernel/yama/ptrace_scope
    ptrace: String,
    /// /sys/kernel/security/lockdown
    lockdown: String,
    /// /proc/sys/kernel/sysrq
    sysrq: Feature,
    /// Whether this very process may be dumped or traced.
    dumpable: bool,
}

impl Said {
    /// A file that can't be read is an empty text, which no check accepts where the kernel must have said something.
    fn by_this_kernel() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let knob = |name: &str| Feature::read(&format!("/proc/sys/kernel/{name}"), "/proc/sys/kernel/ostype");
        let kexec = |name: &str| Feature::read(&format!("/sys/kernel/{name}"), "/sys/devices/system/cpu");
        Said {
            swaps: Feature::read("/proc/swaps", "/proc/version"),
            command_line: read("/proc/cmdline"),
            hibernation: Feature::read("/sys/power/disk", "/sys/devices/system/cpu"),
            kexec_disabled: knob("kexec_load_disabled"),
            kexec_loaded: kexec("kexec_loaded"),
            crash_loaded: kexec("kexec_crash_loaded"),
            limits: read("/proc/self/limits"),
            core_pattern: knob("core_pattern"),
            ptrace: read("/proc/sys/kernel/yama/ptrace_scope"),
            lockdown: read("/sys/kernel/security/lockdown"),
            sysrq: knob("sysrq"),
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
    let no_core = said.limits.lines().any(|line| {
        let mut words = line.split_whitespace().skip(4);
        line.starts_with("Max core file size") && words.next() == Some("0") && words.next() == Some("0")
    });
    let closed = [
        // One line is the heading.
        (
            said.swaps.is_closed(|text| text.lines().count() == 1),
            "memory may be written to swap",
        ),
        (
            said.hibernation.is_closed(|text| text == "[disabled]"),
            "the machine can hibernate",
        ),
        (
            said.kexec_disabled.is_closed(|text| text == "1")
                && [&said.kexec_loaded, &said.crash_loaded]
                    .iter()
                    .all(|loaded| loaded.is_closed(|text| text == "0")),
            "another kernel can be started over this one (kexec)",
        ),
        (
            no_core && said.core_pattern.is_closed(str::is_empty) && !said.dumpable,
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
        (said.sysrq.is_closed(|text| text == "0"), "keys can dump memory (sysrq)"),
    ];
    let open = closed.into_iter().filter(|(closed, _)| !closed);
    open.map(|(_, gap)| gap).collect()
}

/// Loads every USB network driver, so that an adapter plugged in later works, then no driver can be loaded until power-off. A kernel without modules
/// is sealed as it is.
///
/// # Errors
/// When the kernel does not say that it is so.
pub fn network_drivers_then_seal() -> Result<(), String> {
    const SEALED: &str = "kernel/modules_disabled";
    let sealed = || {
        let said = Feature::read(&format!("/proc/sys/{SEALED}"), "/proc/sys/kernel/ostype");
        said.is_closed(|text| text == "1")
    };
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

    fn says(text: &str) -> Feature {
        Feature::Says(text.into())
    }

    fn closed() -> Said {
        Said {
            swaps: says("Filename\tType\tSize\tUsed\tPriority\n"),
            command_line: "console=tty0 init_on_alloc=1 init_on_free=1 lockdown=confidentiality nohibernate\n".into(),
            hibernation: says("[disabled]\n"),
            kexec_disabled: says("1\n"),
            kexec_loaded: says("0\n"),
            crash_loaded: says("0\n"),
            limits: "Limit                     Soft Limit           Hard Limit           Units     \n\
                     Max core file size        0                    0                    bytes     \n"
                .into(),
            core_pattern: says("\n"),
            ptrace: "3\n".into(),
            lockdown: "none integrity [confidentiality]\n".into(),
            sysrq: says("0\n"),
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
            ("swap", |s| s.swaps = says("Filename\n/dev/sda2 partition 1 0 -2\n")),
            ("hibernate", |s| {
                s.hibernation = says("[platform] shutdown reboot suspend\n")
            }),
            ("kexec", |s| s.kexec_disabled = says("0\n")),
            ("kexec", |s| s.crash_loaded = says("1\n")),
            ("core dump", |s| s.limits = s.limits.replace("0   ", "1   ")),
            ("core dump", |s| s.core_pattern = says("|/bin/x\n")),
            ("core dump", |s| s.dumpable = true),
            ("ptrace", |s| s.ptrace = "1\n".into()),
            ("init_on_alloc", |s| s.command_line = "init_on_free=1".into()),
            ("init_on_free", |s| s.command_line += " init_on_free=0"),
            ("lockdown", |s| s.lockdown = "none [integrity] confidentiality\n".into()),
            ("sysrq", |s| s.sysrq = says("438\n")),
            ("sysrq", |s| s.sysrq = Feature::Unknown),
        ];
        for (word, open) in cases {
            let mut said = closed();
            open(&mut said);
            let gaps = open_in(&said);
            assert!(gaps.len() == 1 && gaps[0].contains(word), "{word}: {gaps:?}");
        }
    }

    #[test]
    fn what_was_not_built_in_is_closed_but_what_protects_must_be_there() {
        let sealed = Said {
            swaps: Feature::NotBuilt,
            hibernation: Feature::NotBuilt,
            kexec_disabled: Feature::NotBuilt,
            kexec_loaded: Feature::NotBuilt,
            crash_loaded: Feature::NotBuilt,
            core_pattern: Feature::NotBuilt,
            sysrq: Feature::NotBuilt,
            ..closed()
        };
        assert_eq!(open_in(&sealed), Vec::<&str>::new());
        let bare = Said {
            ptrace: String::new(),
            lockdown: String::new(),
            ..sealed
        };
        assert_eq!(open_in(&bare).len(), 2);
    }

    #[test]
    fn a_folder_that_is_not_mounted_proves_nothing() {
        let read = |beside| Feature::read("/proc/no-such-file", beside);
        assert_eq!(read("/proc/version"), Feature::NotBuilt);
        assert_eq!(read("/nonexistent/version"), Feature::Unknown);
    }

    #[test]
    fn a_kernel_that_says_nothing_is_open_everywhere() {
        assert_eq!(open_in(&Said::default()).len(), 9);
    }
}
