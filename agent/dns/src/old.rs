//! Where names lead: the addresses behind their records.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    change::{Record, plain},
    undo::Undo,
};

/// More CNAME records after one another than any resolver follows.
const HOPS: usize = 8;

/// The addresses that the kept records lead to, each with the names that lead there. A CNAME is followed among `all`, the
/// records of its zone; what lies outside of the zone is not known here.
pub fn addresses(kept: &Undo, all: &[Record]) -> BTreeMap<IpAddr, BTreeSet<String>> {
    let mut found: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for record in &kept.records {
        for address in behind(record, all, HOPS) {
            found.entry(address).or_default().insert(plain(&record.name));
        }
    }
    found
}

fn behind(record: &Record, all: &[Record], hops: usize) -> Vec<IpAddr> {
    match record.kind.as_str() {
        "A" | "AAAA" => record.content.parse().into_iter().collect(),
        "CNAME" if hops > 0 => {
            let target = plain(&record.content);
            let next = all.iter().filter(|r| plain(&r.name) == target);
            next.flat_map(|r| behind(r, all, hops - 1)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::tests::record;

    #[test]
    fn addresses_of_both_kinds_are_found_through_cnames_and_loops_end() {
        let all = [
            record("1", "blog.rossi.example", "CNAME", "home.rossi.example", 300),
            record("2", "home.rossi.example", "A", "192.0.2.10", 300),
            record("3", "home.rossi.example", "AAAA", "2001:db8::10", 300),
            record("4", "loop.rossi.example", "CNAME", "loop.rossi.example", 300),
            record("5", "rossi.example", "A", "192.0.2.10", 300),
            record("6", "far.rossi.example", "CNAME", "far.example.net", 300),
        ];
        let names = [
            "blog.rossi.example",
            "rossi.example",
            "loop.rossi.example",
            "far.rossi.example",
        ];
        let kept = Undo::of(&all, &names.map(str::to_owned));
        let lines: Vec<String> = addresses(&kept, &all)
            .iter()
            .map(|(a, names)| format!("{a} {names:?}"))
            .collect();
        assert_eq!(
            lines,
            [
                r#"192.0.2.10 {"blog.rossi.example", "rossi.example"}"#,
                r#"2001:db8::10 {"blog.rossi.example"}"#
            ]
        );
    }
}
