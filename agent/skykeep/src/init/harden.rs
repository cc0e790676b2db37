//! Closing what nobody needs.

use super::kernel;
use nix::sys::resource::{Resource, setrlimit};

/// Knobs under /proc/sys and their values.
const KNOBS: &[(&str, &str)] = &[
    // Secrets must not be carried into another kernel.
    ("kernel/kexec_load_disabled", "1"),
    // No key combination that dumps memory or registers.
    ("kernel/sysrq", "0"),
    // The kernel starts no program of its own: not for modules, not for a crash.
    ("kernel/modprobe", ""),
    ("kernel/core_pattern", ""),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/kptr_restrict", "2"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/yama/ptrace_scope", "3"),
    // A page that is given back is not kept for later.
    ("vm/drop_caches", "1"),
];

/// Everything that can be closed before drivers are loaded. Gives back what could not.
pub fn before_drivers() -> Vec<String> {
    let mut troubles: Vec<String> = KNOBS
        .iter()
        // What this kernel was built without needs no closing; whether it must be there is asked before the prompt.
        .filter(|(knob, _)| kernel::has(knob))
        .filter_map(|(knob, value)| kernel::set(knob, value).err())
        .collect();
    if let Err(e) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        troubles.push(format!("core dumps can't be forbidden: {e}"));
    }
    if let Err(e) = nix::unistd::sethostname("skykeep") {
        troubles.push(format!("the host name can't be set: {e}"));
    }
    troubles
}
