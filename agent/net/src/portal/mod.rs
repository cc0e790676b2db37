//! Whether a log-in page stands between this network and the Internet (a captive portal), as in hotels and trains.
//!
//! Asked only when the castle's own hosts can't be reached over TLS: then a few addresses that phones and computers ask for exactly this purpose, whose
//! answers are known, are asked over plain HTTP; and the portal's own interface (RFC 8908) when the network announced one (RFC 8910).

mod probe;
mod verdict;

pub(crate) use probe::look;
pub use verdict::Verdict;

/// The portal's interface as the network announces it. RFC 8910 has a name of its own for "there is no portal here".
pub(crate) fn announced(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let address = text.trim_end_matches('\0');
    let printable = address.bytes().all(|byte| byte.is_ascii_graphic());
    (printable && address.starts_with("https://")).then(|| address.to_owned())
}
