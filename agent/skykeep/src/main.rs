//! `skykeep`: PID 1 of the rescue image, a command on any Linux, and what it leaves running in the castle. One binary.

mod agent;
mod check;
mod cli;
mod code;
mod console;
mod guard;
mod init;
mod network;
mod node;
mod pulse;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() == 1 && started_by_the_kernel() {
        init::run()
    }
    if let Err(e) = skykeep_sys::harden_process() {
        eprintln!("skykeep: this process could not be closed against dumps and tracing: {e}");
    }
    // Fails only when a provider is already installed, which is this very one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cli::run()
}

/// The kernel starts PID 1 of the image as `/init`; in a container PID 1 has the name that the image gives it.
fn started_by_the_kernel() -> bool {
    std::env::args_os().next().is_some_and(|name| name == "/init")
}
