//! What the front's TLS knows of its sessions: a rehearsal searches the laptop's memory for it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use rustls::{KeyLog, ServerConfig};

/// The secrets of all sessions, each with the client's address and its name in a key log.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Vec<(IpAddr, String, Vec<u8>)>>);

impl Sessions {
    /// The secrets of one client's sessions, each with its name in a key log.
    pub fn of(&self, client: IpAddr) -> Vec<(String, Vec<u8>)> {
        let Ok(all) = self.0.lock() else { return Vec::new() };
        let own = all.iter().filter(|(address, ..)| *address == client);
        own.map(|(_, label, secret)| (label.clone(), secret.clone())).collect()
    }

    /// The configuration for one client's session, which remembers its secrets here.
    pub(crate) fn watch(self: &Arc<Self>, client: IpAddr, config: &ServerConfig) -> Arc<ServerConfig> {
        let mut config = config.clone();
        config.key_log = Arc::new(Client(client, Arc::clone(self)));
        Arc::new(config)
    }
}

#[derive(Debug)]
struct Client(IpAddr, Arc<Sessions>);

impl KeyLog for Client {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if let Ok(mut all) = self.1.0.lock() {
            all.push((self.0, label.to_owned(), secret.to_vec()));
        }
    }
}
