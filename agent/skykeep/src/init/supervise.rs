//! Starts the agent as a child, waits for its end, and buries orphans meanwhile.

use super::ask::{self, Choice};
use super::kernel::say;
use super::verdict::{Ending, Next, next};
use super::wipe;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::process::{Command, Stdio};

/// Runs the agent again and again until it ended well or the person wants no more.
pub fn until_power_off() {
    loop {
        let ending = run_agent();
        // Whatever the agent left behind ends now; the kernel clears every page that is given back (init_on_free).
        wipe::end_all_other_processes();
        match next(&ending) {
            Next::PowerOff => return,
            Next::Ask(text) => say(&text),
        }
        if ask::restart_or_power_off() == Choice::PowerOff {
            return;
        }
        ask::whole_lines();
    }
}

fn run_agent() -> Ending {
    let started = Command::new("/proc/self/exe")
        .arg("agent")
        .env_clear()
        .env("TERM", "linux")
        .env("HOME", "/tmp")
        .current_dir("/")
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn();
    let child = match started {
        Ok(child) => child,
        Err(e) => return Ending::NotStarted(e.to_string()),
    };
    let Ok(id) = i32::try_from(child.id()) else {
        return Ending::NotStarted("it has an impossible process number".into());
    };
    loop {
        // Every child that ends, orphans too; only the agent's own end counts.
        match waitpid(None::<Pid>, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid.as_raw() == id => return Ending::Exited(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid.as_raw() == id => {
                return Ending::Killed(signal.as_str().to_owned());
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Ending::NotStarted(format!("it can't be waited for: {e}")),
        }
    }
}
