//! What the API servers wrote down: no pod that mounts a treasure ever got a machine before the ledger said that it is back.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{inspect::machines, lab::Lab, verdicts::Verdicts};

/// Annotations that the castle's recording policies leave in audit events.
const MOUNTS: &str = "skykeep-record-pods/mounts";
const LEDGER: &str = "skykeep-record-ledger/ledger";
const HELM: &str = "system:serviceaccount:flux-system:helm-controller";

/// What the events say.
#[derive(Debug, Default, PartialEq)]
pub struct Judgement {
    /// Claims of treasures that pods mounted, `<namespace>/<claim>`.
    pub claims: BTreeSet<String>,
    /// Times that a pod which mounts a treasure got a machine.
    pub bound: usize,
    /// The same for restores, which may.
    pub restores: usize,
    /// States of the ledger.
    pub states: usize,
    /// What must not have been.
    pub violations: Vec<String>,
}

/// Judges the events of all API servers together, whatever their order.
pub fn judge(lines: &str) -> Judgement {
    let mut events: Vec<Value> = lines
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    events.retain(|e| e["stage"] == "ResponseComplete" && !text(e, "/requestURI").contains("dryRun"));
    // Both times are UTC with six digits behind the point: they sort as text.
    events.sort_by_key(|e| text(e, "/requestReceivedTimestamp").to_owned());
    let mut ledger: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for event in events.iter().filter(|e| worked(e)) {
        if let Some(state) = event["annotations"][LEDGER].as_str() {
            let entries = state.split(' ').filter_map(|entry| entry.split_once('='));
            let entries = entries.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            // From when its writing was asked for: the end is noted only after the answer has gone out. What stays unseen is a machine given
            // within that one request.
            ledger.push((text(event, "/requestReceivedTimestamp").to_owned(), entries));
        }
    }
    ledger.sort();
    settle(&mut ledger);
    let mut judgement = Judgement {
        states: ledger.len(),
        ..Judgement::default()
    };
    let mut mounts: BTreeMap<String, Pod> = BTreeMap::new();
    for event in events.iter().filter(|e| worked(e)) {
        let at = text(event, "/requestReceivedTimestamp");
        if let Some(pod) = event["annotations"][MOUNTS].as_str().and_then(Pod::read) {
            judgement
                .claims
                .extend(pod.claims.iter().map(|c| c.replacen('.', "/", 1)));
            if pod.has_node {
                judgement.got_a_machine(&pod, at, &ledger);
            }
            mounts.insert(pod.name.clone(), pod);
        } else if text(event, "/objectRef/resource") == "pods" && text(event, "/objectRef/subresource") == "binding" {
            let name = format!(
                "{}/{}",
                text(event, "/objectRef/namespace"),
                text(event, "/objectRef/name")
            );
            if let Some(pod) = mounts.get(&name) {
                judgement.got_a_machine(pod, at, &ledger);
            }
        }
        if event["verb"] == "delete" && text(event, "/user/username") == HELM {
            let of = |part: &str| text(event, &format!("/objectRef/{part}"));
            if matches!(
                of("resource"),
                "persistentvolumeclaims" | "deployments" | "statefulsets"
            ) {
                let what = format!("{} {}/{}", of("resource"), of("namespace"), of("name"));
                judgement.violations.push(format!("at {at} Helm deleted {what}"));
            }
        }
    }
    judgement
}

/// Two treasures that are back at once write the ledger at once; one is tried again by the server, whose audit event keeps what the first try
/// would have written: the other treasure is still `pending` there. So a write that says `done` of something new tells of that alone.
fn settle(ledger: &mut [(String, BTreeMap<String, String>)]) {
    let mut now: BTreeMap<String, String> = BTreeMap::new();
    for (_, entries) in ledger {
        let news: Vec<String> = entries
            .iter()
            .filter(|(claim, word)| *word == "done" && now.get(*claim) != Some(*word))
            .map(|(claim, _)| claim.clone())
            .collect();
        if news.is_empty() {
            now = entries.clone();
        } else {
            for (claim, word) in entries.iter() {
                now.entry(claim.clone()).or_insert_with(|| word.clone());
            }
            now.extend(news.into_iter().map(|claim| (claim, "done".to_owned())));
        }
        entries.clone_from(&now);
    }
}

impl Judgement {
    fn got_a_machine(&mut self, pod: &Pod, at: &str, ledger: &[(String, BTreeMap<String, String>)]) {
        if pod.restores {
            self.restores += 1;
            return;
        }
        self.bound += 1;
        // The last state that was asked for before the binding was.
        let state = ledger.iter().rev().find(|(written, _)| written.as_str() <= at);
        for claim in &pod.claims {
            let word = state
                .and_then(|(_, entries)| entries.get(claim))
                .map_or("nothing", String::as_str);
            if word != "done" {
                let name = &pod.name;
                self.violations.push(format!(
                    "{name} got a machine at {at}, when the ledger said {word} of {claim}"
                ));
            }
        }
    }
}

/// A pod as the recording policy writes it down: `<namespace>/<name> <node or -> <restore|app> <claim>...`.
struct Pod {
    name: String,
    has_node: bool,
    restores: bool,
    /// The ledger's keys of its claims.
    claims: Vec<String>,
}

impl Pod {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (name, node, kind) = (words.next()?, words.next()?, words.next()?);
        let (namespace, _) = name.split_once('/')?;
        Some(Pod {
            name: name.to_owned(),
            has_node: node != "-",
            restores: kind == "restore",
            claims: words.map(|claim| format!("{namespace}.{claim}")).collect(),
        })
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn worked(event: &Value) -> bool {
    event
        .pointer("/responseStatus/code")
        .and_then(Value::as_u64)
        .is_some_and(|code| code < 300)
}

/// Judges logs that lie on this machine.
pub fn by_hand(logs: &[PathBuf]) -> Result<()> {
    let lines: Result<Vec<String>, _> = logs.iter().map(std::fs::read_to_string).collect();
    let judgement = judge(&lines?.join("\n"));
    println!("{judgement:#?}");
    ensure!(
        judgement.violations.is_empty(),
        "{} violations",
        judgement.violations.len()
    );
    Ok(())
}

/// What judges need of the logs of all API servers, and how many servers there are.
fn gather(lab: &Lab) -> Result<(String, usize)> {
    let mut lines = String::new();
    let mut servers = 0;
    for machine in machines(lab).iter().filter(|m| m.name.starts_with("cp")) {
        lines.push_str(&read(lab, &machine.id)?);
        servers += 1;
    }
    Ok((lines, servers))
}

/// What judges need of one machine's logs.
fn read(lab: &Lab, machine: &str) -> Result<String> {
    let wanted = format!(
        "grep -shE '{MOUNTS}|{LEDGER}|\"subresource\":\"binding\"|\"verb\":\"delete\"' /var/log/kubernetes/audit*.log || true"
    );
    lab.machines.run_in(machine, &["sh", "-c", &wanted])
}

/// Keeps the log of a control plane that is about to go at another one, where judges find it.
pub fn bequeath(lab: &Lab, from: &str, to: &str, name: &str) -> Result<()> {
    let lines = read(lab, from)?;
    let append =
        format!("mkdir -p /var/log/kubernetes; printf '%s\\n' \"$1\" >> /var/log/kubernetes/audit-of-{name}.log");
    for line in lines.lines() {
        lab.machines.run_in(to, &["sh", "-c", &append, "sh", line])?;
    }
    Ok(())
}

/// However often the laptop died: each treasure was restored once.
pub fn once_each(lab: &Lab, verdicts: &mut Verdicts) -> Result<()> {
    let (lines, _) = gather(lab)?;
    let judgement = judge(&lines);
    verdicts.must(
        judgement.violations.is_empty() && judgement.restores == judgement.claims.len(),
        "each treasure was restored once, and no pod got to it before",
        format!(
            "{} restores of {} treasures; {} violations",
            judgement.restores,
            judgement.claims.len(),
            judgement.violations.len()
        ),
    );
    Ok(())
}

/// Fetches the audit logs from the control planes and says what they prove. `mounting`: pods that mount treasures now.
pub fn verdict(lab: &Lab, mounting: &[String], treasures: usize, verdicts: &mut Verdicts) -> Result<()> {
    let (lines, servers) = gather(lab)?;
    let judgement = judge(&lines);
    let unknown: Vec<&String> = mounting
        .iter()
        .filter(|pod| !lines.contains(&format!("\"{pod} ")))
        .collect();
    for violation in &judgement.violations {
        println!("           audit: {violation}");
    }
    verdicts.must(
        judgement.violations.is_empty()
            && unknown.is_empty()
            && judgement.claims.len() == treasures
            && judgement.bound >= mounting.len()
            && judgement.restores >= treasures,
        "the API servers' audit logs: no pod that mounts a treasure got a machine before the ledger said that it is back, and Helm deleted nothing",
        format!(
            "{servers} logs; {} bindings of pods with {} treasures, {} of restores, {} states of the ledger, {} violations, {} pods unknown to the logs",
            judgement.bound,
            judgement.claims.len(),
            judgement.restores,
            judgement.states,
            judgement.violations.len(),
            unknown.len()
        ),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(second: u32, verb: &str, of: Value, annotations: Value) -> Value {
        let at = |micros: u32| format!("2026-11-30T12:00:{second:02}.{micros:06}Z");
        json!({"stage": "ResponseComplete", "verb": verb, "objectRef": of, "annotations": annotations, "responseStatus": {"code": 201},
            "user": {"username": "somebody"}, "requestReceivedTimestamp": at(0), "stageTimestamp": at(500)})
    }

    fn created(second: u32, mounts: &str) -> Value {
        event(
            second,
            "create",
            json!({"resource": "pods", "namespace": "web"}),
            json!({MOUNTS: mounts}),
        )
    }

    fn bound(second: u32, name: &str) -> Value {
        let of = json!({"resource": "pods", "subresource": "binding", "namespace": "web", "name": name});
        event(second, "create", of, json!({}))
    }

    fn ledger(second: u32, state: &str) -> Value {
        event(
            second,
            "patch",
            json!({"resource": "configmaps", "name": "gates"}),
            json!({LEDGER: state}),
        )
    }

    fn judged(events: &[Value]) -> Judgement {
        judge(&events.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"))
    }

    fn good() -> Vec<Value> {
        vec![
            created(1, "web/blog-1 - app site"),
            created(1, "web/wiki-0 - app pages media"),
            created(2, "web/skykeep-restore-site-x - restore site media"),
            bound(3, "skykeep-restore-site-x"),
            bound(3, "something-without-claims"),
            ledger(10, "web.site=done web.pages=pending web.media=pending"),
            bound(11, "blog-1"),
            ledger(20, "web.site=done web.pages=done web.media=pending"),
            ledger(21, "web.site=done web.pages=done web.media=done"),
            bound(22, "wiki-0"),
        ]
    }

    #[test]
    fn a_good_rebirth_has_no_violation_whatever_the_order_of_the_logs() {
        let mut events = good();
        let judgement = judged(&events);
        assert_eq!((judgement.bound, judgement.restores, judgement.states), (2, 1, 3));
        assert_eq!(judgement.violations, Vec::<String>::new());
        assert_eq!(judgement.claims.len(), 3);
        events.reverse();
        assert_eq!(judged(&events), judgement);
    }

    #[test]
    fn a_pod_that_got_a_machine_too_early_is_caught() {
        let mut events = good();
        events.push(created(4, "web/wiki-1 - app pages"));
        events.push(bound(5, "wiki-1"));
        let told = judged(&events).violations;
        assert_eq!(told.len(), 1);
        assert!(
            told[0].contains("web/wiki-1 got a machine at 2026-11-30T12:00:05")
                && told[0].contains("nothing of web.pages")
        );
    }

    #[test]
    fn one_treasure_of_two_is_not_enough() {
        let mut events = good();
        events.push(created(4, "web/both - app pages media"));
        events.push(bound(20, "both"));
        events.last_mut().unwrap()["requestReceivedTimestamp"] = json!("2026-11-30T12:00:20.700000Z");
        let told = judged(&events).violations;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("pending of web.media"), "{told:?}");
    }

    #[test]
    fn of_two_writes_at_once_the_second_may_not_know_of_the_first() {
        let mut events = good();
        // The ledger of second 21, as a server that tried twice notes it: pages were done in second 20.
        events.retain(|e| e["annotations"][LEDGER] != "web.site=done web.pages=done web.media=done");
        events.push(ledger(21, "web.site=pending web.pages=pending web.media=done"));
        assert_eq!(judged(&events).violations, Vec::<String>::new());
        // One that says no news is a reopened ledger.
        events.push(ledger(30, "web.site=pending web.pages=done web.media=done"));
        events.push(created(31, "web/blog-2 - app site"));
        events.push(bound(32, "blog-2"));
        assert_eq!(judged(&events).violations.len(), 1);
    }

    #[test]
    fn a_machine_given_just_before_the_ledger_was_told_is_caught() {
        let mut events = good();
        events.push(created(4, "web/quick - app site"));
        events.push(bound(9, "quick"));
        events.last_mut().unwrap()["requestReceivedTimestamp"] = json!("2026-11-30T12:00:09.999900Z");
        assert_eq!(judged(&events).violations.len(), 1);
    }

    #[test]
    fn a_pod_that_is_born_with_a_machine_is_caught_and_so_is_one_after_the_ledger_was_reopened() {
        let mut events = good();
        events.push(created(5, "web/born w1 app site"));
        events.push(ledger(30, "web.site=pending web.pages=done web.media=done"));
        events.push(created(31, "web/blog-2 - app site"));
        events.push(bound(32, "blog-2"));
        assert_eq!(judged(&events).violations.len(), 2);
    }

    #[test]
    fn what_was_refused_or_tried_dry_does_not_count_and_what_helm_deletes_does() {
        let mut events = good();
        let mut refused = bound(5, "blog-1");
        refused["responseStatus"]["code"] = json!(409);
        let mut dry = created(5, "web/probe w1 app site");
        dry["requestURI"] = json!("/api/v1/namespaces/web/pods?dryRun=All");
        events.extend([refused, dry]);
        assert!(judged(&events).violations.is_empty());
        let mut deleted = event(
            6,
            "delete",
            json!({"resource": "persistentvolumeclaims", "namespace": "web", "name": "notes-data"}),
            json!({}),
        );
        deleted["user"]["username"] = json!(HELM);
        events.push(deleted);
        assert!(judged(&events).violations[0].contains("Helm deleted persistentvolumeclaims web/notes-data"));
    }
}
