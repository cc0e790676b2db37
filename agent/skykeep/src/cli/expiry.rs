//! When things expire: dates as they are typed and shown, and the end of a certificate.

use std::str::FromStr;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use skykeep_core::{Explained, Secret};
use x509_parser::pem::Pem;

/// What `--expires` says.
#[derive(Clone)]
pub enum Expires {
    /// Seconds since 1970.
    At(u64),
    /// As the certificate says that is the value.
    Certificate,
    /// Not at all, or nobody knows.
    Never,
}

impl FromStr for Expires {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "certificate" => return Ok(Expires::Certificate),
            "never" => return Ok(Expires::Never),
            _ => {}
        }
        let date: Date = text
            .parse()
            .map_err(|_| "neither a date such as 2027-03-31 nor `certificate` or `never`".to_owned())?;
        let moment = date.to_zoned(TimeZone::UTC).map_err(|e| e.to_string())?.timestamp();
        u64::try_from(moment.as_second())
            .map(Expires::At)
            .map_err(|_| "a date before 1970".to_owned())
    }
}

impl Expires {
    /// Seconds since 1970 at which this value expires, if it does.
    pub fn of(&self, value: &Secret) -> Result<Option<u64>, Explained> {
        match self {
            Expires::Never => Ok(None),
            Expires::At(when) => Ok(Some(*when)),
            Expires::Certificate => certificates(value.expose())
                .into_iter()
                .map(|c| c.ends)
                .min()
                .map(Some)
                .ok_or_else(|| Explained {
                    what: "The date of expiry is not known".into(),
                    why: "the value holds no certificate in PEM form".into(),
                    remedy: "Name the date yourself: `--expires 2027-03-31`.".into(),
                }),
        }
    }
}

/// A certificate that was found in a text.
pub struct Certificate {
    /// Its subject.
    pub subject: String,
    /// Seconds since 1970 at which it ends.
    pub ends: u64,
}

/// The certificates of a PEM text; anything else in it is passed over.
pub fn certificates(text: &[u8]) -> Vec<Certificate> {
    let blocks = Pem::iter_from_buffer(text)
        .filter_map(Result::ok)
        .filter(|b| b.label == "CERTIFICATE");
    let mut found = Vec::new();
    for block in blocks {
        if let Ok(certificate) = block.parse_x509() {
            found.push(Certificate {
                subject: certificate.subject().to_string(),
                ends: u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default(),
            });
        }
    }
    found
}

/// A moment as a date (UTC).
pub fn date(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|s| Timestamp::from_second(s).ok())
        .map_or_else(
            || "a date that is none".to_owned(),
            |t| t.strftime("%Y-%m-%d").to_string(),
        )
}
