//! What the double is: who may ask, how slow it is, what may be had.

use std::{net::Ipv4Addr, time::Duration};

/// A token.
#[derive(Debug, Clone)]
pub struct Token {
    /// What stands behind `Bearer`.
    pub secret: String,
    /// It may only read.
    pub read_only: bool,
}

/// How many there may be in the project.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Servers.
    pub servers: usize,
    /// Networks.
    pub networks: usize,
    /// Load balancers.
    pub load_balancers: usize,
    /// Requests in an hour; one comes back in 3600 / this many seconds.
    pub requests: u32,
}

/// A server type, x86 unless its name begins with `cax`.
#[derive(Debug, Clone)]
pub struct ServerType {
    /// For example `cpx31`.
    pub name: String,
    /// Processors.
    pub cores: u32,
    /// GB.
    pub memory: u32,
    /// GB.
    pub disk: u32,
}

/// Configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who may ask.
    pub tokens: Vec<Token>,
    /// Name and network zone of the locations.
    pub locations: Vec<(String, String)>,
    /// What servers there are.
    pub server_types: Vec<ServerType>,
    /// Limits.
    pub limits: Limits,
    /// How long the actions of servers take; all others take a tenth.
    pub pace: Duration,
    /// Addresses given out to servers and load balancers.
    pub public_pool: (Ipv4Addr, Ipv4Addr),
}

impl Default for Config {
    fn default() -> Self {
        let kind = |name: &str, cores, memory, disk| ServerType {
            name: name.to_owned(),
            cores,
            memory,
            disk,
        };
        let place = |name: &str, zone: &str| (name.to_owned(), zone.to_owned());
        Self {
            tokens: Vec::new(),
            locations: vec![
                place("fsn1", "eu-central"),
                place("nbg1", "eu-central"),
                place("hel1", "eu-central"),
                place("ash", "us-east"),
            ],
            server_types: vec![
                kind("cx22", 2, 4, 40),
                kind("cpx31", 4, 8, 160),
                kind("cpx41", 8, 16, 240),
                kind("ccx13", 2, 8, 80),
                kind("cax21", 4, 8, 80),
            ],
            limits: Limits {
                servers: 10,
                networks: 5,
                load_balancers: 5,
                requests: 3600,
            },
            pace: Duration::from_millis(100),
            public_pool: (Ipv4Addr::new(203, 0, 113, 160), Ipv4Addr::new(203, 0, 113, 250)),
        }
    }
}
