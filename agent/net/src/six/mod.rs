//! IPv6: the kernel makes addresses and routes of what routers announce; the name servers among it are read here.

mod announced;
mod inform;
mod state;
mod watch;

pub(crate) use state::{Standing, standing};
pub(crate) use watch::{Six, find, keep};
