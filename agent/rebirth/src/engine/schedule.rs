//! When steps would end if each began the moment its needs had ended.

use std::{collections::BTreeMap, time::Duration};

/// A step as far as a schedule is concerned.
pub(super) struct Task<'a> {
    pub id: &'a str,
    pub needs: &'a [String],
    pub takes: Duration,
}

/// The chain of tasks that ends last, first one first, and when it ends. Needs that are no task count as ended.
pub(super) fn longest_chain<'a>(tasks: &[Task<'a>]) -> (Vec<&'a str>, Duration) {
    let mut ends: BTreeMap<&str, (Duration, Option<&'a str>)> = BTreeMap::new();
    let known: BTreeMap<&str, &'a str> = tasks.iter().map(|t| (t.id, t.id)).collect();
    loop {
        let before = ends.len();
        for task in tasks.iter().filter(|t| !t.id.is_empty()) {
            let needs = || task.needs.iter().filter_map(|n| known.get(n.as_str()).copied());
            if ends.contains_key(task.id) || !needs().all(|n| ends.contains_key(n)) {
                continue;
            }
            let last = needs()
                .filter_map(|n| ends.get(n).map(|(end, _)| (*end, n)))
                .max_by_key(|(end, _)| *end);
            let begin = last.map(|(end, _)| end).unwrap_or_default();
            ends.insert(task.id, (begin + task.takes, last.map(|(_, n)| n)));
        }
        if ends.len() == before {
            break;
        }
    }
    let Some((mut id, end)) = ends
        .iter()
        .max_by_key(|(_, (end, _))| *end)
        .and_then(|(id, (end, _))| known.get(id).map(|id| (*id, *end)))
    else {
        return (Vec::new(), Duration::ZERO);
    };
    let mut chain = vec![id];
    while let Some((_, Some(before))) = ends.get(id) {
        id = before;
        chain.push(id);
    }
    chain.reverse();
    (chain, end)
}
