//! Whether a log-in page stands between this network and the Internet (a captive portal), as in hotels and trains.
//!
//! Asked only when the castle's own hosts can't be reached over TLS: then a few addresses that phones and computers ask for exactly this purpose, whose
//! answers are known, are asked over plain HTTP; and the portal's own interface (RFC 8908) when the network announced one (RFC 8910).

mod probe;
mod verdict;

pub(crate) use probe::look;
pub use verdict::Verdict;
