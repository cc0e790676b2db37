//! How the borrowed laptop behaves: language, keyboard, endings.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::way::Proxy;

/// How the rescue image behaves on a borrowed computer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Laptop {
    /// Minutes without a line typed at the passphrase prompt after which the machine powers off, 1 to 240.
    pub idle_minutes: u16,
    /// Pulling the stick out wipes the memory and switches the machine off.
    pub wipe_when_stick_is_removed: bool,
    /// The country (two capitals, ISO 3166) whose radio rules the Wi-Fi card keeps. Without it the card keeps those that hold everywhere, until the access
    /// point names its country.
    pub wifi_country: Option<String>,
    /// A proxy (`http://host:port`), for networks on which nothing else leads out. It is tried when the castle's hosts do not answer straight.
    pub proxy: Option<Proxy>,
    /// The tag of the VLAN (IEEE 802.1Q, 1 to 4094) that cables lead to, for a server room whose sockets give nothing without one. It holds for every cable, not
    /// for Wi-Fi; where the network fails, another one or none can be typed.
    pub vlan: Option<u16>,
    /// Network cards keep the hardware addresses that their makers gave them. Without it each run has random ones.
    pub keep_mac: bool,
    /// The layout of the keyboard when the passphrase is asked for; Ctrl-L there takes the next one.
    pub keyboard: Keyboard,
}

/// What the keys of a keyboard give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Keyboard {
    /// American.
    #[default]
    Us,
    /// British.
    Gb,
    /// Italian.
    It,
    /// German.
    De,
    /// French.
    Fr,
    /// Spanish.
    Es,
}

impl Default for Laptop {
    fn default() -> Self {
        Laptop {
            idle_minutes: 15,
            wipe_when_stick_is_removed: false,
            wifi_country: None,
            proxy: None,
            vlan: None,
            keep_mac: false,
            keyboard: Keyboard::Us,
        }
    }
}
