//! What things cost, for a person who wants to know before they are made, and when they are left over.

use std::collections::BTreeMap;

use skykeep_core::{
    castle::{Aws, Cloud, Hetzner, NodeGroup},
    lock::Prices,
};

use crate::Thing;

/// What a kind of thing costs while it stands: orders of magnitude for the usual regions (machines: t3.large to m6i.xlarge; servers:
/// cpx31 to ccx23), written down without a price list at hand, so that a person sees what is dear. What is not here is free.
const COSTS: [(&str, &str); 5] = [
    ("instance", "about 0.08 to 0.25 $ an hour each"),
    ("server", "about 0.02 to 0.06 EUR an hour each"),
    ("load-balancer", "about 0.01 to 0.03 $ an hour and its traffic"),
    ("elastic-address", "0.005 $ an hour each"),
    ("volume", "about 0.08 to 0.10 $ a month for each GiB"),
];

/// What the name of a spot machine's kind ends with.
pub const SPOT: &str = " (spot)";

/// Kinds and numbers, dear ones first with their cost.
pub fn summary(things: &[Thing]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for thing in things {
        *counts.entry(thing.kind.as_str()).or_default() += 1;
    }
    let mut parts = Vec::new();
    for (kind, cost) in COSTS {
        if let Some(n) = counts.remove(kind) {
            parts.push(format!("{n} {kind} ({cost})"));
        }
    }
    let free: Vec<String> = counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    if !free.is_empty() {
        parts.push(format!("{} (free)", free.join(", ")));
    }
    parts.join(", ")
}

/// What a castle takes that costs money by the hour: kind and number, in the words of the lock file's price list. Traffic, requests
/// and what the owner's own applications order are not in it.
pub fn needs(cloud: &Cloud) -> Vec<(String, u64)> {
    match cloud {
        Cloud::Aws(aws) => at_aws(aws),
        Cloud::Hetzner(hetzner) => at_hetzner(hetzner),
    }
}

fn at_aws(aws: &Aws) -> Vec<(String, u64)> {
    let groups = [&aws.control_planes, &aws.workers];
    let kind = |g: &NodeGroup| format!("{}{}", g.instance_type, if g.spot { SPOT } else { "" });
    let machines = groups.map(|g| (kind(g), u64::from(g.count)));
    let disk = groups.iter().map(|g| u64::from(g.count) * u64::from(g.disk_gib)).sum();
    // Each machine has an address of its own; the entry has one in each zone.
    let entry = u64::try_from(aws.zones.len().min(crate::plan::ENTRY_ADDRESSES)).unwrap_or(0);
    let addresses = machines.iter().map(|(_, n)| n).sum::<u64>() + entry;
    let rest = [("disk-gib", disk), ("load-balancer", 1), ("public-address", addresses)];
    added(machines, &rest)
}

fn at_hetzner(hetzner: &Hetzner) -> Vec<(String, u64)> {
    let groups = [&hetzner.control_planes, &hetzner.workers];
    let machines = groups.map(|g| (g.server_type.clone(), u64::from(g.count)));
    // The load balancer's address is in its price, a server's is not.
    let addresses = machines.iter().map(|(_, n)| n).sum::<u64>();
    added(machines, &[("load-balancer", 1), ("public-address", addresses)])
}

/// Machines and the rest, each kind once.
fn added(machines: [(String, u64); 2], rest: &[(&str, u64)]) -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> = Vec::new();
    for (kind, n) in machines
        .into_iter()
        .chain(rest.iter().map(|(kind, n)| ((*kind).to_owned(), *n)))
    {
        match all.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => *sum += n,
            None => all.push((kind, n)),
        }
    }
    all
}

/// What that costs an hour, in millionths of the list's currency, and the kinds that the list lacks.
pub fn hourly(needs: &[(String, u64)], prices: &Prices) -> (u64, Vec<String>) {
    let listed = |kind: &str| prices.micros_per_hour.get(kind);
    // What AWS asks for spot changes; it is never more than the full price.
    let price = |kind: &String| listed(kind).or_else(|| listed(kind.strip_suffix(SPOT)?));
    let sum = needs.iter().filter_map(|(kind, n)| price(kind)?.checked_mul(*n));
    let lacks = needs.iter().filter(|(kind, _)| price(kind).is_none());
    (
        sum.fold(0, u64::saturating_add),
        lacks.map(|(kind, _)| kind.clone()).collect(),
    )
}

#[cfg(test)]
mod tests {
    use skykeep_core::castle::Castle;

    use super::*;

    #[test]
    fn what_a_castle_takes_is_counted_and_priced_and_what_has_no_price_is_named() {
        let castle = Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap();
        let at_aws_kinds = |cloud: &Cloud| -> Vec<_> {
            let all = super::needs(cloud).into_iter();
            all.filter(|(kind, _)| kind.starts_with("t3")).collect()
        };
        let needs = needs(&castle.cloud);
        let wanted = [
            ("t3.large", 5),
            ("disk-gib", 140),
            ("load-balancer", 1),
            ("public-address", 8),
        ];
        assert_eq!(needs, wanted.map(|(kind, n)| (kind.to_owned(), n)));
        let mut spot = castle.cloud.clone();
        if let Cloud::Aws(aws) = &mut spot {
            aws.workers.spot = true;
        }
        assert_eq!(
            at_aws_kinds(&spot),
            [("t3.large".to_owned(), 3), (format!("t3.large{SPOT}"), 2)]
        );
        let micros = [("t3.large", 96_000), ("public-address", 5_000), ("disk-gib", 130)];
        let prices = Prices {
            date: "2026-11-24".into(),
            currency: "USD".into(),
            micros_per_hour: micros.map(|(kind, n)| (kind.to_owned(), n)).into(),
        };
        let full = (538_200, vec!["load-balancer".to_owned()]);
        assert_eq!(hourly(&needs, &prices), full);
        assert_eq!(
            hourly(&super::needs(&spot), &prices),
            full,
            "spot is counted at the full price"
        );
    }

    #[test]
    fn what_costs_money_comes_first_and_says_so() {
        let thing = |kind: &str| Thing {
            kind: kind.into(),
            id: "x".into(),
            name: String::new(),
            state: String::new(),
        };
        let things = ["vpc", "elastic-address", "subnet", "elastic-address", "subnet"].map(thing);
        assert_eq!(
            summary(&things),
            "2 elastic-address (0.005 $ an hour each), 2 subnet, 1 vpc (free)"
        );
    }
}
