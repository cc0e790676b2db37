//! Any name server that takes dynamic updates (RFC 2136) signed with a shared key (TSIG, RFC 8945): BIND, Knot, PowerDNS.
//!
//! A change is one UPDATE message. Its prerequisites are the records that it was planned from: when somebody has changed one of
//! them meanwhile, the server makes nothing of it.

mod update;
mod wire;

use futures::future::BoxFuture;
use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{DNSClass, Name, RData, RecordType, TSigner, rdata::tsig::TsigAlgorithm},
};
use skykeep_core::Secret;

use crate::{
    change::{Change, Record, plain},
    error::DnsError,
    zone::Zone,
};

/// Seconds that the server's clock and ours may differ.
const FUDGE: u16 = 300;

/// A primary name server, and the key that it knows.
pub struct Rfc2136 {
    server: String,
    port: u16,
    signer: TSigner,
}

/// A zone of such a server.
struct Served {
    server: Rfc2136,
    name: String,
    origin: Name,
}

/// How the key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA384.
    Sha384,
    /// HMAC-SHA512.
    Sha512,
}

impl Rfc2136 {
    /// A client; nothing is asked yet. `secret` is the key as name servers write it: base64.
    pub fn new(server: &str, port: u16, key: &str, algorithm: Algorithm, secret: &Secret) -> Result<Self, DnsError> {
        let no_key = |why: String| DnsError::Key(why);
        let text = secret.expose_str().map(str::trim).unwrap_or_default();
        let bytes = base64(text).ok_or_else(|| no_key("what is stored is no base64".into()))?;
        let name = Name::from_ascii(key).map_err(|e| no_key(format!("its name: {e}")))?;
        let algorithm = match algorithm {
            Algorithm::Sha256 => TsigAlgorithm::HmacSha256,
            Algorithm::Sha384 => TsigAlgorithm::HmacSha384,
            Algorithm::Sha512 => TsigAlgorithm::HmacSha512,
        };
        let signer = TSigner::new(bytes, algorithm, name, FUDGE).map_err(|e| no_key(e.to_string()))?;
        Ok(Rfc2136 {
            server: server.to_owned(),
            port,
            signer,
        })
    }

    /// Uses the key once and finds the zone.
    pub async fn connect(self, zone: &str) -> Result<Box<dyn Zone>, DnsError> {
        let name = plain(zone);
        let origin = fqdn(&name)?;
        let zone = Served {
            server: self,
            name,
            origin,
        };
        zone.read().await?;
        Ok(Box::new(zone))
    }
}

impl Served {
    /// The whole zone by a transfer (AXFR): it begins and ends with its SOA record.
    async fn read(&self) -> Result<Vec<Record>, DnsError> {
        let mut message = Message::query();
        message.add_query(query(&self.origin, RecordType::AXFR));
        let whole = |answers: &[Message]| soas(answers) >= 2;
        let answers = self.server.ask(message, whole).await?;
        if let Some(code) = answers
            .iter()
            .map(|a| a.metadata.response_code)
            .find(|c| *c != ResponseCode::NoError)
        {
            return Err(self.refused(code));
        }
        let records = answers.iter().flat_map(|a| a.answers.iter());
        Ok(records
            .filter(|r| r.record_type() != RecordType::SOA)
            .map(record)
            .collect())
    }

    async fn write(&self, change: &Change) -> Result<(), DnsError> {
        if change.already_done() {
            return Ok(());
        }
        let message = update::message(&self.origin, change)?;
        let answers = self.server.ask(message, |answers| !answers.is_empty()).await?;
        match answers.first().map(|a| a.metadata.response_code) {
            Some(ResponseCode::NoError) => Ok(()),
            Some(ResponseCode::NXRRSet | ResponseCode::YXRRSet | ResponseCode::NXDomain | ResponseCode::YXDomain) => {
                Err(DnsError::ChangedMeanwhile(self.name.clone()))
            }
            code => Err(self.refused(code.unwrap_or(ResponseCode::ServFail))),
        }
    }

    fn refused(&self, code: ResponseCode) -> DnsError {
        let (server, zone) = (self.server.place(), self.name.clone());
        match code {
            ResponseCode::NotAuth | ResponseCode::NotZone => DnsError::NotPrimary { server, zone },
            ResponseCode::Refused => DnsError::KeyMayNot { server, zone },
            code => DnsError::ServerFailed {
                server,
                why: format!("it answered {code}"),
            },
        }
    }
}

impl Zone for Served {
    fn name(&self) -> &str {
        &self.name
    }

    fn records(&self) -> BoxFuture<'_, Result<Vec<Record>, DnsError>> {
        Box::pin(self.read())
    }

    fn apply<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), DnsError>> {
        Box::pin(self.write(change))
    }
}

fn query(name: &Name, kind: RecordType) -> Query {
    let mut query = Query::new();
    query
        .set_name(name.clone())
        .set_query_type(kind)
        .set_query_class(DNSClass::IN);
    query
}

fn soas(answers: &[Message]) -> usize {
    let failed = answers
        .iter()
        .any(|a| a.metadata.response_code != ResponseCode::NoError);
    let records = answers.iter().flat_map(|a| a.answers.iter());
    // An error ends the transfer at once.
    if failed {
        2
    } else {
        records.filter(|r| r.record_type() == RecordType::SOA).count()
    }
}

fn fqdn(name: &str) -> Result<Name, DnsError> {
    let full = format!("{}.", name.trim_end_matches('.'));
    Name::from_ascii(&full).map_err(|e| DnsError::Refused(format!("`{name}` is no name: {e}")))
}

/// A record as we keep it. Such a server has no identifiers: what it says is its name.
fn record(found: &hickory_proto::rr::Record) -> Record {
    let name = plain(&found.name.to_ascii());
    let kind = found.record_type().to_string();
    let content = match &found.data {
        RData::CNAME(target) => plain(&target.0.to_ascii()),
        data => data.to_string(),
    };
    Record {
        id: format!("{name} {kind} {content}"),
        name,
        kind,
        content,
        ttl: found.ttl,
        proxied: false,
        comment: None,
    }
}

/// Decodes base64 with or without its padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from((held >> bits) & 0xff).ok()?);
        }
    }
    (!out.is_empty()).then_some(out)
}
