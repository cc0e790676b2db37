//! How records were: to bring them back, and to see whether somebody else has changed them.

use serde::{Deserialize, Serialize};

use crate::change::{Change, Patch, Post, Record, plain, points_somewhere};

/// The records of some names as they were: enough to bring them back. Keep it before applying a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// The names, lower case.
    pub names: Vec<String>,
    /// Their A, AAAA and CNAME records.
    pub records: Vec<Record>,
}

/// Whether two records lead visitors to the same place. How long they may be remembered is left out: we shorten that ourselves.
fn same_place(a: &Record, b: &Record) -> bool {
    (plain(&a.name), &a.kind, plain(&a.content), a.proxied) == (plain(&b.name), &b.kind, plain(&b.content), b.proxied)
}

fn same(a: &Record, b: &Record) -> bool {
    same_place(a, b) && a.ttl == b.ttl
}

impl Undo {
    /// Takes down how `names` stand among `records`.
    pub fn of(records: &[Record], names: &[String]) -> Self {
        let names: Vec<String> = names.iter().map(|n| plain(n)).collect();
        let mine = |r: &&Record| points_somewhere(r) && names.contains(&plain(&r.name));
        Undo {
            records: records.iter().filter(mine).cloned().collect(),
            names,
        }
    }

    /// How these names will stand when `change` has been made to `records`.
    pub fn after(&self, records: &[Record], change: &Change) -> Self {
        let gone = |r: &&Record| !change.deletes.iter().any(|d| d.id == r.id);
        let patched = |r: &Record| match change.patches.iter().find(|p| p.id == r.id) {
            Some(patch) => Record {
                content: patch.content.clone(),
                ttl: patch.ttl,
                ..r.clone()
            },
            None => r.clone(),
        };
        let kept = records.iter().filter(gone).map(patched);
        let posted = change.posts.iter().map(|p| Record {
            id: String::new(),
            name: p.name.clone(),
            kind: p.kind.clone(),
            content: p.content.clone(),
            ttl: p.ttl,
            proxied: p.proxied,
            comment: p.comment.clone(),
        });
        Undo::of(&kept.chain(posted).collect::<Vec<_>>(), &self.names)
    }

    /// What is otherwise in `now` than it was here, a line each: somebody else has changed it. Times to live do not count.
    pub fn changed_since(&self, now: &[Record]) -> Vec<String> {
        let now = Undo::of(now, &self.names).records;
        let among = |r: &Record, others: &[Record]| others.iter().any(|o| same_place(r, o));
        let line = |word: &str, r: &Record| format!("{word} {} {} {}", r.name, r.kind, r.content);
        let gone = self
            .records
            .iter()
            .filter(|r| !among(r, &now))
            .map(|r| line("gone:", r));
        let new = now
            .iter()
            .filter(|r| !among(r, &self.records))
            .map(|r| line("new: ", r));
        gone.chain(new).collect()
    }

    /// The change that brings these names back from `now` to how they were. A record is changed in place where one of the
    /// same name and type stands, so that its comment and tags stay.
    pub fn plan(&self, now: &[Record]) -> Change {
        let current = Undo::of(now, &self.names).records;
        let among = |r: &Record, others: &[Record]| others.iter().any(|o| same(r, o));
        let mut deletes: Vec<Record> = current.iter().filter(|r| !among(r, &self.records)).cloned().collect();
        let mut change = Change {
            from: current.clone(),
            ..Change::default()
        };
        for record in self.records.iter().filter(|r| !among(r, &current)) {
            let alike = |d: &Record| {
                (plain(&d.name), &d.kind, d.proxied) == (plain(&record.name), &record.kind, record.proxied)
            };
            match deletes.iter().position(alike) {
                Some(place) => change.patches.push(Patch {
                    id: deletes.remove(place).id,
                    content: record.content.clone(),
                    ttl: record.ttl,
                }),
                None => change.posts.push(Post {
                    name: record.name.clone(),
                    kind: record.kind.clone(),
                    content: record.content.clone(),
                    ttl: record.ttl,
                    proxied: record.proxied,
                    comment: record.comment.clone(),
                }),
            }
        }
        change.deletes = deletes;
        change
    }
}

/// Names outside `names` whose addresses are those that `names` have: they point at the old castle too, and would stay there.
/// CNAME records that lead to one of `names` follow by themselves and are not told.
pub fn also_there(records: &[Record], names: &[String]) -> Vec<Record> {
    let mine = Undo::of(records, names);
    let address = |r: &Record| matches!(r.kind.as_str(), "A" | "AAAA");
    let old = |r: &&Record| {
        let theirs = mine.records.iter().filter(|m| address(m));
        address(r) && !mine.names.contains(&plain(&r.name)) && theirs.into_iter().any(|m| m.content == r.content)
    };
    records.iter().filter(old).cloned().collect()
}

impl Change {
    /// The change as a person reads it before it is made: `-` goes, `~` changes in place, `+` comes. `now` are the records
    /// that it was planned from.
    pub fn lines(&self, now: &[Record]) -> Vec<String> {
        let ttl = |ttl: u32| {
            if ttl == 1 {
                "ttl automatic".to_owned()
            } else {
                format!("ttl {ttl}")
            }
        };
        let shield = |proxied: bool| if proxied { ", proxied" } else { "" };
        let deletes = self.deletes.iter().map(|r| {
            format!(
                "- {} {} {} ({}{})",
                r.name,
                r.kind,
                r.content,
                ttl(r.ttl),
                shield(r.proxied)
            )
        });
        let patches = self.patches.iter().map(|p| match now.iter().find(|r| r.id == p.id) {
            Some(r) if r.content == p.content => {
                format!(
                    "~ {} {} {} ({} -> {})",
                    r.name,
                    r.kind,
                    r.content,
                    ttl(r.ttl),
                    ttl(p.ttl)
                )
            }
            Some(r) => format!(
                "~ {} {} {} -> {} ({}{})",
                r.name,
                r.kind,
                r.content,
                p.content,
                ttl(p.ttl),
                shield(r.proxied)
            ),
            None => format!("~ record {} -> {}", p.id, p.content),
        });
        let posts = self.posts.iter().map(|p| {
            format!(
                "+ {} {} {} ({}{})",
                p.name,
                p.kind,
                p.content,
                ttl(p.ttl),
                shield(p.proxied)
            )
        });
        deletes.chain(patches).chain(posts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{change::tests::record, lower_ttl, plan};

    const BLOG: &str = "blog.rossi.example";
    const APEX: &str = "rossi.example";
    const WILD: &str = "*.rossi.example";

    fn names() -> Vec<String> {
        [BLOG, APEX, WILD].map(str::to_owned).into()
    }

    /// A zone as people have them: apex, wildcard, IPv6, a proxied name, mail, and other names at the same address.
    fn zone() -> Vec<Record> {
        let mut shop = record("6", "shop.rossi.example", "A", "192.0.2.10", 1);
        shop.proxied = true;
        vec![
            record("1", APEX, "A", "192.0.2.10", 300),
            record("2", APEX, "AAAA", "2001:db8::10", 300),
            record("3", WILD, "A", "192.0.2.10", 300),
            record("4", APEX, "MX", "mail.rossi.example", 300),
            record("5", "www.rossi.example", "CNAME", APEX, 300),
            shop,
            record("7", "vpn.rossi.example", "A", "192.0.2.99", 300),
            record("8", APEX, "CAA", "0 issue letsencrypt.org", 300),
            record("9", "v6.rossi.example", "AAAA", "2001:db8::10", 300),
        ]
    }

    /// What a zone holds after a change, as Cloudflare would keep it.
    fn made(records: &[Record], change: &Change) -> Vec<Record> {
        let everything: Vec<String> = records.iter().map(|r| r.name.clone()).chain(names()).collect();
        let mut after = Undo::of(records, &everything).after(records, change).records;
        after.extend(records.iter().filter(|r| !points_somewhere(r)).cloned());
        for (i, r) in after.iter_mut().enumerate().filter(|(_, r)| r.id.is_empty()) {
            r.id = format!("new{i}");
        }
        after
    }

    fn moved(records: &[Record]) -> (Change, Vec<Record>) {
        let addresses = ["203.0.113.1", "203.0.113.2"].map(|a| a.parse().unwrap());
        let change = plan(APEX, records, &names(), &addresses).unwrap();
        let after = made(records, &change);
        (change, after)
    }

    #[test]
    fn apex_wildcard_and_ipv6_move_and_come_back() {
        let before = zone();
        let undo = Undo::of(&before, &names());
        let short = made(&before, &lower_ttl(&before, &names()));
        assert_eq!(
            undo.changed_since(&short),
            Vec::<String>::new(),
            "we shortened it ourselves"
        );
        let (change, after) = moved(&short);
        insta::assert_snapshot!(change.lines(&short).join("\n"));
        let back = undo.plan(&after);
        insta::assert_snapshot!(back.lines(&after).join("\n"));
        let end = made(&after, &back);
        assert!(undo.plan(&end).already_done());
        assert_eq!(end.len(), before.len());
    }

    #[test]
    fn what_somebody_else_changed_meanwhile_is_told_line_by_line() {
        let before = zone();
        let undo = Undo::of(&before, &names());
        let (change, mut after) = moved(&before);
        let left = undo.after(&before, &change);
        assert_eq!(left.changed_since(&after), Vec::<String>::new());
        assert!(
            !undo.changed_since(&after).is_empty(),
            "the move itself is a change of the old state"
        );
        after.retain(|r| r.content != "203.0.113.2" || r.name != BLOG);
        after.push(record("x", BLOG, "A", "198.51.100.7", 60));
        after.push(record("y", "other.rossi.example", "A", "198.51.100.7", 60));
        assert_eq!(
            left.changed_since(&after),
            [
                "gone: blog.rossi.example A 203.0.113.2",
                "new:  blog.rossi.example A 198.51.100.7"
            ]
        );
    }

    #[test]
    fn a_record_that_comes_back_is_changed_in_place_and_keeps_its_comment() {
        let mut old = record("1", BLOG, "A", "192.0.2.10", 300);
        old.comment = Some("home".into());
        let undo = Undo::of(&[old.clone()], &[BLOG.into()]);
        let now = [Record {
            content: "203.0.113.1".into(),
            ttl: 60,
            ..old
        }];
        let change = undo.plan(&now);
        assert_eq!(
            (change.deletes.len(), change.patches.len(), change.posts.len()),
            (0, 1, 0)
        );
        assert_eq!(
            change.lines(&now),
            ["~ blog.rossi.example A 203.0.113.1 -> 192.0.2.10 (ttl 300)"]
        );
    }

    #[test]
    fn other_names_at_the_old_address_are_found_by_value() {
        let found: Vec<String> = also_there(&zone(), &names()).into_iter().map(|r| r.name).collect();
        assert_eq!(found, ["shop.rossi.example", "v6.rossi.example"]);
    }
}
