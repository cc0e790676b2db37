//! The borrowed laptop: QEMU that boots the stick, with two disks of its own that must stay untouched.
//!
//! Input: a stick image and a network namespace with a bridge. Output: the serial console to read and type on, the counters of every medium, dumps of
//! the guest's memory, and [`Proofs`] at the end. Everything is synchronous and every wait has a deadline.
//!
//! ```no_run
//! # use std::{path::PathBuf, time::Duration};
//! # fn main() -> anyhow::Result<()> {
//! let mut config = lab_laptop::Config::new(PathBuf::from("skykeep.img"), PathBuf::from("work"));
//! config.network = lab_laptop::Network::tap("sk-inet", "br0", "sk-laptop0");
//! let mut laptop = lab_laptop::Laptop::start(config)?;
//! laptop.wait_for("passphrase", Duration::from_secs(120))?;
//! laptop.type_line("correct horse")?;
//! laptop.wait_for_power_off(Duration::from_secs(60))?;
//! laptop.finish()?.untouched_after_handover()?;
//! # Ok(()) }
//! ```

mod config;
mod console;
pub mod control;
mod disks;
mod dump;
mod keyboard;
mod laptop;
mod poke;
mod proofs;
mod qmp;
mod tempting;

pub use config::{Config, Firmware, HostDisks, Medium, Network};
pub use disks::run;
pub use dump::{count_in_file, physical_address};
pub use laptop::Laptop;
pub use proofs::{DiskProof, Proofs};
pub use qmp::{Counters, PowerState};
pub use tempting::TEMPTED;
