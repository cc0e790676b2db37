//! Networks in the castle file.

use ipnet::Ipv4Net;
use serde::{Deserialize, Deserializer, de::Error};

/// Reads a network and says how one is written when it is none.
pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Ipv4Net, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| {
        // What can't be meant as an address is not repeated: it may be a secret in the wrong place.
        let harmless = text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'/');
        let what = if harmless { format!("`{text}`") } else { "this".into() };
        D::Error::custom(format!(
            "{what} is no network; one is written like 10.42.0.0/16: four numbers up to 255, a slash, and 0 to 32"
        ))
    })
}
