//! The records of the zone and the rules that Cloudflare applies to a change.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::StatusCode;
use serde_json::{Value, json};

use super::{Refusal, ZONE};
use crate::http::random_hex;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Cloudflare's identifier.
    pub id: String,
    /// Full name without the last dot.
    pub name: String,
    /// A, AAAA, CNAME, TXT, MX, NS or CAA.
    pub kind: String,
    /// The data.
    pub content: String,
    /// Seconds; 1 means automatic.
    pub ttl: u32,
    /// Whether Cloudflare's edge would stand in between.
    pub proxied: bool,
    /// The owner's remark.
    pub comment: Option<String>,
    /// Of an MX record.
    pub priority: Option<u16>,
    tags: Vec<String>,
    created: String,
    modified: String,
}

impl Record {
    /// As the API shows it.
    pub fn to_json(&self) -> Value {
        let mut value = json!({
            "id": self.id, "name": self.name, "type": self.kind, "content": self.content, "proxiable": self.proxiable(),
            "proxied": self.proxied, "ttl": self.ttl, "settings": {}, "meta": {}, "comment": self.comment, "tags": self.tags,
            "created_on": self.created, "modified_on": self.modified,
        });
        if let Some(priority) = self.priority {
            value["priority"] = priority.into();
        }
        if self.comment.is_some() {
            value["comment_modified_on"] = self.modified.clone().into();
        }
        value
    }

    fn proxiable(&self) -> bool {
        matches!(self.kind.as_str(), "A" | "AAAA" | "CNAME")
    }
}

/// What the owner's zone held before the fire.
pub fn old_castle() -> Vec<Record> {
    let record = |kind: &str, name: &str, content: &str, ttl: u32, priority: Option<u16>| Record {
        id: crate::credentials::derive(&format!("cloudflare record {kind} {name}"), b"0123456789abcdef", 32),
        name: name.to_owned(),
        kind: kind.to_owned(),
        content: content.to_owned(),
        ttl,
        proxied: false,
        comment: None,
        priority,
        tags: Vec::new(),
        created: "2026-01-01T05:20:00.12345Z".to_owned(),
        modified: "2026-01-01T05:20:00.12345Z".to_owned(),
    };
    vec![
        record("A", "blog.rossi.example", "192.0.2.10", 300, None),
        record("MX", ZONE, "mail.rossi.example", 3600, Some(10)),
        record("A", "mail.rossi.example", "192.0.2.25", 3600, None),
        record("TXT", ZONE, "\"v=spf1 mx -all\"", 3600, None),
    ]
}

pub fn absent() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, 81044, "Record does not exist.")
}

/// POST: a new record.
pub fn create(records: &mut Vec<Record>, body: &Value) -> Result<Record, Refusal> {
    let now = now();
    let empty = Record {
        id: random_hex(16),
        name: String::new(),
        kind: String::new(),
        content: String::new(),
        ttl: 1,
        proxied: false,
        comment: None,
        priority: None,
        tags: Vec::new(),
        created: now.clone(),
        modified: now,
    };
    let record = fill(empty, body, true)?;
    check(records, &record)?;
    records.push(record.clone());
    Ok(record)
}

/// PUT: what the body does not say falls back to its default.
pub fn overwrite(records: &mut [Record], id: &str, body: &Value) -> Result<Record, Refusal> {
    let old = records
        .iter()
        .find(|record| record.id == id)
        .cloned()
        .ok_or_else(absent)?;
    let blank = Record {
        ttl: 1,
        proxied: false,
        comment: None,
        priority: None,
        tags: Vec::new(),
        ..old
    };
    replace(records, fill(blank, body, true)?)
}

/// PATCH: what the body does not say stays.
pub fn edit(records: &mut [Record], id: &str, body: &Value) -> Result<Record, Refusal> {
    let old = records
        .iter()
        .find(|record| record.id == id)
        .cloned()
        .ok_or_else(absent)?;
    replace(records, fill(old, body, false)?)
}

/// DELETE.
pub fn delete(records: &mut Vec<Record>, id: &str) -> Result<Record, Refusal> {
    let index = records.iter().position(|record| record.id == id).ok_or_else(absent)?;
    Ok(records.remove(index))
}

fn replace(records: &mut [Record], mut record: Record) -> Result<Record, Refusal> {
    record.modified = now();
    check(records, &record)?;
    let place = records
        .iter_mut()
        .find(|other| other.id == record.id)
        .ok_or_else(absent)?;
    *place = record.clone();
    Ok(record)
}

fn fill(mut record: Record, body: &Value, whole: bool) -> Result<Record, Refusal> {
    if !body.is_object() {
        return Err(Refusal::invalid(9207, "Request body is invalid."));
    }
    let word = |name: &str| body.get(name).and_then(Value::as_str);
    if whole && (word("type").is_none() || word("name").is_none()) {
        return Err(Refusal::invalid(9001, "DNS record type and name are required."));
    }
    if let Some(kind) = word("type") {
        record.kind = kind.to_ascii_uppercase();
    }
    if let Some(name) = word("name") {
        record.name = full_name(name);
    }
    match word("content") {
        Some(content) => record.content = content.trim_end_matches('.').to_owned(),
        None if whole => {
            return Err(Refusal::invalid(
                9009,
                format!("Content for {} record is required.", record.kind),
            ));
        }
        None => {}
    }
    if let Some(ttl) = body.get("ttl").and_then(Value::as_f64) {
        record.ttl = ttl as u32;
    }
    if let Some(proxied) = body.get("proxied").and_then(Value::as_bool) {
        record.proxied = proxied;
    }
    if let Some(comment) = body.get("comment") {
        record.comment = comment
            .as_str()
            .filter(|comment| !comment.is_empty())
            .map(str::to_owned);
    }
    if let Some(priority) = body.get("priority").and_then(Value::as_f64) {
        record.priority = Some(priority as u16);
    }
    if let Some(tags) = body.get("tags").and_then(Value::as_array) {
        record.tags = tags.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    if record.proxied {
        record.ttl = 1;
    }
    Ok(record)
}

fn check(records: &[Record], record: &Record) -> Result<(), Refusal> {
    let Record {
        name, kind, content, ..
    } = record;
    let labels_fit = name.len() <= 253
        && name
            .split('.')
            .all(|label| !label.is_empty() && label.len() <= 63 && fits(label));
    if !labels_fit || !(name == ZONE || name.ends_with(&format!(".{ZONE}"))) {
        return Err(Refusal::invalid(9000, "DNS name is invalid."));
    }
    match kind.as_str() {
        "A" if content.parse::<Ipv4Addr>().is_err() => {
            return Err(Refusal::invalid(
                9005,
                "Content for A record must be a valid IPv4 address.",
            ));
        }
        "AAAA" if content.parse::<Ipv6Addr>().is_err() => {
            return Err(Refusal::invalid(
                9006,
                "Content for AAAA record must be a valid IPv6 address.",
            ));
        }
        "CNAME" if !content.split('.').all(|label| !label.is_empty() && fits(label)) => {
            return Err(Refusal::invalid(9007, "Content for CNAME record is invalid."));
        }
        "MX" if record.priority.is_none() => {
            return Err(Refusal::invalid(9100, "priority is a required field for MX records."));
        }
        "A" | "AAAA" | "CNAME" | "TXT" | "MX" | "NS" | "CAA" => {}
        other => {
            return Err(Refusal::invalid(
                1004,
                format!("The laboratory keeps no records of type {other}."),
            ));
        }
    }
    if record.ttl != 1 && !(60..=86400).contains(&record.ttl) {
        return Err(Refusal::invalid(
            9021,
            "TTL must be between 60 and 86400 seconds, or 1 for Automatic.",
        ));
    }
    if record.proxied && !record.proxiable() {
        return Err(Refusal::invalid(9004, "This record type cannot be proxied."));
    }
    for other in records
        .iter()
        .filter(|other| other.id != record.id && other.name == *name)
    {
        if other.kind == *kind && other.content == *content && other.priority == record.priority {
            return Err(Refusal::invalid(81058, "An identical record already exists."));
        }
        let host = |kind: &str| matches!(kind, "A" | "AAAA");
        if kind == "CNAME" && (host(&other.kind) || other.kind == "CNAME") {
            return Err(Refusal::invalid(
                81053,
                "An A, AAAA, or CNAME record with that host already exists.",
            ));
        }
        if other.kind == "CNAME" && host(kind) {
            return Err(Refusal::invalid(81054, "A CNAME record with that host already exists."));
        }
    }
    Ok(())
}

fn fits(label: &str) -> bool {
    label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*'))
}

fn full_name(name: &str) -> String {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if name == "@" || name == ZONE {
        ZONE.to_owned()
    } else if name.ends_with(&format!(".{ZONE}")) {
        name
    } else {
        format!("{name}.{ZONE}")
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_forgets_what_it_does_not_say_and_a_patch_keeps_it() {
        let mut records = old_castle();
        let id = records[0].id.clone();
        let record = edit(
            &mut records,
            &id,
            &json!({"content": "203.0.113.160", "comment": "skykeep"}),
        )
        .unwrap();
        assert_eq!((record.ttl, record.comment.as_deref()), (300, Some("skykeep")));
        let record = overwrite(
            &mut records,
            &id,
            &json!({"type": "A", "name": "blog", "content": "203.0.113.161"}),
        )
        .unwrap();
        assert_eq!(
            (record.ttl, record.comment, record.name.as_str()),
            (1, None, "blog.rossi.example")
        );
    }

    #[test]
    fn a_twin_is_refused_with_cloudflares_code() {
        let mut records = old_castle();
        let body = json!({"type": "A", "name": "blog.rossi.example", "content": "192.0.2.10"});
        assert_eq!(create(&mut records, &body).unwrap_err().code, 81058);
    }
}
