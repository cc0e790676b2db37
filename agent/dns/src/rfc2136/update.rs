//! A change as one UPDATE message. Pure.

use std::collections::{BTreeMap, BTreeSet};

use hickory_proto::{
    op::{Message, OpCode},
    rr::{
        DNSClass, Name, RData, Record as Wire, RecordType,
        rdata::{A, AAAA, CNAME},
    },
};

use super::{fqdn, query};
use crate::{
    change::{Change, Record, plain},
    error::DnsError,
};

const KINDS: [RecordType; 3] = [RecordType::A, RecordType::AAAA, RecordType::CNAME];

/// What stands at one name and type: contents and the time to live that they share.
type Set = (BTreeSet<String>, u32);

/// The message. Prerequisites: every touched name stands as the change was planned from it. Updates: what is touched is
/// deleted and comes anew, in one go.
pub(super) fn message(origin: &Name, change: &Change) -> Result<Message, DnsError> {
    let before = sets(&change.from);
    let after = sets(&made(change));
    let touched: BTreeSet<&String> = before.keys().chain(after.keys()).map(|(name, _)| name).collect();
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    message.add_query(query(origin, RecordType::SOA));
    let (mut demands, mut deletes, mut adds): (Vec<Wire>, Vec<Wire>, Vec<Wire>) = Default::default();
    for name in touched {
        for kind in KINDS {
            let key = (name.clone(), kind.to_string());
            let (old, new) = (before.get(&key), after.get(&key));
            match old {
                // RFC 2136, 2.4.2: exactly these.
                Some((contents, _)) => demands.extend(wires(name, kind, contents, 0)?),
                // 2.4.3: none.
                None => demands.push(bare(name, kind, DNSClass::NONE)?),
            }
            if old == new {
                continue;
            }
            if old.is_some() {
                deletes.push(bare(name, kind, DNSClass::ANY)?);
            }
            if let Some((contents, ttl)) = new {
                adds.extend(wires(name, kind, contents, *ttl)?);
            }
        }
    }
    // The sections of an UPDATE lie where those of a query do: prerequisites as answers, updates as authorities.
    message.add_answers(demands);
    message.add_authorities(deletes.into_iter().chain(adds));
    Ok(message)
}

/// The touched names' records as they will be.
fn made(change: &Change) -> Vec<Record> {
    let gone = |r: &&Record| !change.deletes.iter().any(|d| d.id == r.id);
    let patched = |r: &Record| match change.patches.iter().find(|p| p.id == r.id) {
        Some(patch) => Record {
            content: patch.content.clone(),
            ttl: patch.ttl,
            ..r.clone()
        },
        None => r.clone(),
    };
    let posts = change.posts.iter().map(|p| Record {
        id: String::new(),
        name: p.name.clone(),
        kind: p.kind.clone(),
        content: p.content.clone(),
        ttl: p.ttl,
        proxied: false,
        comment: None,
    });
    change.from.iter().filter(gone).map(patched).chain(posts).collect()
}

fn sets(records: &[Record]) -> BTreeMap<(String, String), Set> {
    let mut sets: BTreeMap<(String, String), Set> = BTreeMap::new();
    for record in records {
        let set = sets
            .entry((plain(&record.name), record.kind.clone()))
            .or_insert((BTreeSet::new(), record.ttl));
        set.0.insert(record.content.clone());
        set.1 = set.1.min(record.ttl);
    }
    sets
}

fn bare(name: &str, kind: RecordType, class: DNSClass) -> Result<Wire, DnsError> {
    let mut record = Wire::update0(fqdn(name)?, 0, kind);
    record.dns_class = class;
    Ok(record)
}

fn wires(name: &str, kind: RecordType, contents: &BTreeSet<String>, ttl: u32) -> Result<Vec<Wire>, DnsError> {
    let wrong = |content: &str| DnsError::Refused(format!("`{content}` is no content of a {kind} record"));
    contents
        .iter()
        .map(|content| {
            let data = match kind {
                RecordType::A => RData::A(A(content.parse().map_err(|_| wrong(content))?)),
                RecordType::AAAA => RData::AAAA(AAAA(content.parse().map_err(|_| wrong(content))?)),
                _ => RData::CNAME(CNAME(fqdn(content)?)),
            };
            Ok(Wire::from_rdata(fqdn(name)?, ttl, data))
        })
        .collect()
}
