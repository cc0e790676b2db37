//! What has to change in a zone: pure, so that it can be shown before it is done.

use std::{collections::BTreeSet, net::Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::{error::DnsError, undo::Undo};

/// Time to live of what we write, seconds.
const TTL: u32 = 60;
/// Cloudflare's word for "automatic"; the only value of a proxied record.
const AUTOMATIC: u32 = 1;

/// A record as the supplier keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The supplier's id.
    pub id: String,
    /// Full name, without a dot at its end.
    pub name: String,
    /// `A`, `AAAA`, `CNAME`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// Address, name or text.
    #[serde(default)]
    pub content: String,
    /// Time to live; 1 = automatic.
    pub ttl: u32,
    /// Whether the supplier's proxies stand before it.
    #[serde(default)]
    pub proxied: bool,
    /// The owner's comment.
    #[serde(default)]
    pub comment: Option<String>,
}

/// A record to change in place: comment, tags and id stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Patch {
    /// The record.
    pub id: String,
    /// New content.
    pub content: String,
    /// New time to live.
    pub ttl: u32,
}

/// A record to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Post {
    /// Full name.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Content.
    pub content: String,
    /// Time to live.
    pub ttl: u32,
    /// Behind the supplier's proxies.
    pub proxied: bool,
    /// Comment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Everything that one transaction changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Records to delete.
    pub deletes: Vec<Record>,
    /// Records to change in place.
    pub patches: Vec<Patch>,
    /// Records to create.
    pub posts: Vec<Post>,
    /// What a person should know, a line each.
    pub notes: Vec<String>,
    /// The records of the names in question that this was planned from: a supplier that can, makes nothing of it when they
    /// do not stand any more.
    pub from: Vec<Record>,
    /// Names behind the supplier's proxies: the world sees other addresses for them.
    pub proxied: Vec<String>,
}

impl Change {
    /// Whether the zone already is as wished: nothing is to be written.
    pub fn already_done(&self) -> bool {
        self.deletes.is_empty() && self.patches.is_empty() && self.posts.is_empty()
    }
}

pub(crate) fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

pub(crate) fn points_somewhere(record: &Record) -> bool {
    matches!(record.kind.as_str(), "A" | "AAAA" | "CNAME")
}

/// What makes each name point at exactly these addresses.
///
/// A records are changed in place as far as they go round. AAAA and CNAME records of the name would lead visitors to the old
/// castle (or can't stand beside an A record), so they go, and a note says it. Records of other names and other types stay;
/// those that decide whether visitors come (CAA, address hints of HTTPS records) are told.
pub fn plan(zone: &str, records: &[Record], names: &[String], addresses: &[Ipv4Addr]) -> Result<Change, DnsError> {
    if addresses.is_empty() {
        return Err(DnsError::NoAddress);
    }
    let zone = plain(zone);
    let wanted: BTreeSet<String> = addresses.iter().map(ToString::to_string).collect();
    let mut change = Change {
        from: Undo::of(records, names).records,
        ..Change::default()
    };
    let names: BTreeSet<String> = names.iter().map(|n| plain(n)).collect();
    for name in names {
        if name != zone && !name.ends_with(&format!(".{zone}")) {
            return Err(DnsError::Foreign { name, zone });
        }
        one_name(&mut change, &name, records, &wanted);
        beside(&mut change, &name, records);
    }
    // One CAA record holds for many names.
    let mut told = BTreeSet::new();
    change.notes.retain(|note| told.insert(note.clone()));
    Ok(change)
}

/// What stays and matters for a name: who may issue its certificates, and records that carry addresses of their own.
fn beside(change: &mut Change, name: &str, records: &[Record]) {
    for record in records {
        let at = plain(&record.name);
        // RFC 8659: the nearest name upward that has CAA records decides; every one on the way is told.
        let holds = at == name || name.ends_with(&format!(".{at}"));
        match record.kind.as_str() {
            "CAA" if holds => change.notes.push(format!(
                "{at}: CAA {} stays: only those authorities issue certificates for {at} and below",
                record.content
            )),
            "HTTPS" | "SVCB" if at == name && record.content.contains("hint") => change.notes.push(format!(
                "{at}: {} {} stays and has addresses of its own: change it by hand, or browsers go there",
                record.kind, record.content
            )),
            _ => {}
        }
    }
}

fn one_name(change: &mut Change, name: &str, records: &[Record], wanted: &BTreeSet<String>) {
    let mine: Vec<&Record> = records
        .iter()
        .filter(|r| points_somewhere(r) && plain(&r.name) == name)
        .collect();
    let proxied = mine.iter().any(|r| r.proxied);
    let ttl = if proxied { AUTOMATIC } else { TTL };
    if proxied {
        change.proxied.push(name.to_owned());
        change.notes.push(format!("{name} stays behind Cloudflare's proxies"));
    }
    for record in mine.iter().filter(|r| r.kind != "A") {
        change.notes.push(match record.kind.as_str() {
            "AAAA" => format!(
                "{name}: AAAA {} goes, the new entry has no IPv6 address",
                record.content
            ),
            _ => format!("{name}: CNAME {} goes, A records take its place", record.content),
        });
        change.deletes.push((*record).clone());
    }
    let mut left: BTreeSet<&String> = wanted.iter().collect();
    let mut spare = Vec::new();
    for record in mine.iter().filter(|r| r.kind == "A") {
        if !left.remove(&record.content) {
            spare.push(*record);
        } else if record.ttl != ttl {
            change.patches.push(Patch {
                id: record.id.clone(),
                content: record.content.clone(),
                ttl,
            });
        }
    }
    let mut spare = spare.into_iter();
    for address in left {
        match spare.next() {
            Some(record) => change.patches.push(Patch {
                id: record.id.clone(),
                content: address.clone(),
                ttl,
            }),
            None => change.posts.push(Post {
                name: name.to_owned(),
                kind: "A".into(),
                content: address.clone(),
                ttl,
                proxied,
                comment: None,
            }),
        }
    }
    change.deletes.extend(spare.cloned());
}

/// What makes resolvers forget these names quickly, long before they move. Proxied names need nothing.
pub fn lower_ttl(records: &[Record], names: &[String]) -> Change {
    let from = Undo::of(records, names).records;
    let patches = from
        .iter()
        .filter(|r| !r.proxied && (r.ttl == AUTOMATIC || r.ttl > TTL))
        .map(|r| Patch {
            id: r.id.clone(),
            content: r.content.clone(),
            ttl: TTL,
        })
        .collect();
    Change {
        patches,
        from,
        ..Change::default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record(id: &str, name: &str, kind: &str, content: &str, ttl: u32) -> Record {
        Record {
            id: id.into(),
            name: name.into(),
            kind: kind.into(),
            content: content.into(),
            ttl,
            proxied: false,
            comment: None,
        }
    }

    const BLOG: &str = "blog.rossi.example";

    fn addresses(texts: &[&str]) -> Vec<Ipv4Addr> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    fn planned(records: &[Record], texts: &[&str]) -> Change {
        plan("rossi.example", records, &[BLOG.into()], &addresses(texts)).unwrap()
    }

    /// What the zone holds after a change, as `name type content ttl`.
    fn after(records: &[Record], change: &Change) -> BTreeSet<String> {
        let line = |n: &str, k: &str, c: &str, t: u32| format!("{n} {k} {c} {t}");
        let gone: Vec<_> = change.deletes.iter().map(|r| &r.id).collect();
        let kept = records.iter().filter(|r| !gone.contains(&&r.id)).map(|r| {
            let patch = change.patches.iter().find(|p| p.id == r.id);
            patch.map_or(line(&r.name, &r.kind, &r.content, r.ttl), |p| {
                line(&r.name, &r.kind, &p.content, p.ttl)
            })
        });
        kept.chain(change.posts.iter().map(|p| line(&p.name, &p.kind, &p.content, p.ttl)))
            .collect()
    }

    #[test]
    fn one_old_address_becomes_three_new_ones_and_the_rest_stays() {
        let records = [
            record("1", "Blog.rossi.example", "A", "192.0.2.10", 300),
            record("2", BLOG, "TXT", "keep", 300),
            record("3", "rossi.example", "MX", "mail.rossi.example", 300),
            record("4", "www.rossi.example", "A", "192.0.2.10", 300),
        ];
        let change = planned(&records, &["203.0.113.1", "203.0.113.2", "203.0.113.3"]);
        assert_eq!(
            (change.deletes.len(), change.patches.len(), change.posts.len()),
            (0, 1, 2)
        );
        insta::assert_snapshot!(after(&records, &change).into_iter().collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn addresses_too_many_are_deleted_and_those_that_fit_stay() {
        let records = [
            record("1", BLOG, "A", "203.0.113.1", 60),
            record("2", BLOG, "A", "192.0.2.10", 60),
            record("3", BLOG, "A", "192.0.2.11", 60),
        ];
        let change = planned(&records, &["203.0.113.1"]);
        assert_eq!(
            change.deletes.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(),
            ["2", "3"]
        );
        assert!(change.patches.is_empty() && change.posts.is_empty());
    }

    #[test]
    fn a_zone_that_is_already_right_is_not_written() {
        let records = [
            record("1", BLOG, "A", "203.0.113.2", 60),
            record("2", BLOG, "A", "203.0.113.1", 60),
        ];
        assert!(planned(&records, &["203.0.113.1", "203.0.113.2"]).already_done());
        assert!(!planned(&records, &["203.0.113.1"]).already_done());
    }

    #[test]
    fn aaaa_and_cname_go_and_it_is_said() {
        let records = [
            record("1", BLOG, "CNAME", "old.example", 300),
            record("2", BLOG, "AAAA", "2001:db8::1", 300),
        ];
        let change = planned(&records, &["203.0.113.1"]);
        assert_eq!(change.deletes.len(), 2);
        assert_eq!(change.posts.len(), 1);
        insta::assert_snapshot!(change.notes.join("\n"));
    }

    #[test]
    fn what_stays_and_matters_is_told_once() {
        let records = [
            record("1", "rossi.example", "CAA", "0 issue letsencrypt.org", 300),
            record("2", BLOG, "HTTPS", "1 . alpn=h2 ipv4hint=192.0.2.10", 300),
            record("3", "shop.rossi.example", "CAA", "0 issue other.example", 300),
            record("4", "www.rossi.example", "HTTPS", "1 . alpn=h2", 300),
        ];
        let names = [BLOG.to_owned(), "www.rossi.example".to_owned()];
        let change = plan("rossi.example", &records, &names, &addresses(&["203.0.113.1"])).unwrap();
        assert!(change.deletes.is_empty());
        insta::assert_snapshot!(change.notes.join("\n"));
    }

    #[test]
    fn a_proxied_name_stays_proxied() {
        let mut old = record("1", BLOG, "A", "192.0.2.10", 1);
        old.proxied = true;
        let change = planned(&[old], &["203.0.113.1", "203.0.113.2"]);
        assert_eq!(
            (change.patches[0].ttl, change.posts[0].ttl, change.posts[0].proxied),
            (1, 1, true)
        );
        assert_eq!(change.proxied, [BLOG]);
    }

    #[test]
    fn a_name_of_another_zone_is_refused() {
        for name in ["blog.example.org", "evilrossi.example"] {
            let result = plan("rossi.example", &[], &[name.into()], &addresses(&["203.0.113.1"]));
            assert!(matches!(result, Err(DnsError::Foreign { .. })), "{name}");
        }
        assert!(matches!(
            plan("rossi.example", &[], &[BLOG.into()], &[]),
            Err(DnsError::NoAddress)
        ));
    }

    #[test]
    fn undo_brings_every_record_back_and_survives_a_file() {
        let before = [
            record("1", BLOG, "CNAME", "old.example", 300),
            record("2", BLOG, "TXT", "keep", 300),
            record("3", "other.rossi.example", "A", "192.0.2.1", 300),
        ];
        let undo = Undo::of(&before, &[BLOG.into()]);
        let undo: Undo = serde_json::from_str(&serde_json::to_string(&undo).unwrap()).unwrap();
        let now = [
            before[1].clone(),
            before[2].clone(),
            record("9", BLOG, "A", "203.0.113.1", 60),
        ];
        let change = undo.plan(&now);
        assert_eq!(after(&now, &change), after(&before, &Change::default()));
        assert!(undo.plan(&before).already_done());
    }

    #[test]
    fn only_long_lived_records_of_our_names_are_shortened() {
        let records = [
            record("1", BLOG, "A", "192.0.2.10", 300),
            record("2", BLOG, "AAAA", "2001:db8::1", 60),
            record("3", "www.rossi.example", "A", "192.0.2.10", 300),
            record("4", BLOG, "CNAME", "x.example", 1),
        ];
        let change = lower_ttl(&records, &[BLOG.into()]);
        let ids: Vec<_> = change.patches.iter().map(|p| (p.id.as_str(), p.ttl)).collect();
        assert_eq!(ids, [("1", 60), ("4", 60)]);
    }
}
