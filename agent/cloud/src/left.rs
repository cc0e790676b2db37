//! What is left of a generation, for a person who wants to know whether it costs money.

use std::collections::BTreeMap;

use crate::Thing;

/// What a kind of thing costs while it stands, in US dollars: orders of magnitude for the usual regions (machines: t3.large to
/// m6i.xlarge), written down without a price list at hand, so that a person sees what is dear. What is not here is free.
const COSTS: [(&str, &str); 4] = [
    ("instance", "about 0.08 to 0.25 $ an hour each"),
    ("load-balancer", "about 0.02 to 0.03 $ an hour and its traffic"),
    ("elastic-address", "0.005 $ an hour each"),
    ("volume", "about 0.08 to 0.10 $ a month for each GiB"),
];

/// Kinds and numbers, dear ones first with their cost.
pub(crate) fn summary(things: &[Thing]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

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
