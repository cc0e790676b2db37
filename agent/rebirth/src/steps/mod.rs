//! The steps of a rebirth, by what they work on. Each finds before it makes, so that any of them may run again.

mod checks;
mod cloud;
mod cluster;
mod cutover;
pub(crate) mod fence;
mod flux;
mod hung;
mod images;
pub(crate) mod life;
mod listen;
mod lost;
mod release;
pub(crate) mod revive;
mod treasures;

use std::{sync::Arc, time::Duration};

use skykeep_core::{Progress, Trouble, castle::Castle};

use crate::{
    engine::{Graph, GraphError, Step},
    estate::Estate,
    release::Wish,
};

/// Makes a step of an async function. It finds before it makes, so the engine may run it again after a passing trouble;
/// what writes something that can't be found again says [`Step::once`].
fn step<F, Fut>(id: &str, title: &str, needs: &[&str], times: (u64, u64), work: F) -> Step<Estate>
where
    F: Fn(Arc<Estate>, Progress) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<String, Trouble>> + Send + 'static,
{
    let (budget, deadline) = times;
    Step {
        id: id.to_owned(),
        title: title.to_owned(),
        needs: needs.iter().map(|n| (*n).to_owned()).collect(),
        deadline: Duration::from_secs(deadline),
        budget: Duration::from_secs(budget),
        repeatable: true,
        work: Box::new(move |estate, progress| Box::pin(work(estate, progress))),
    }
}

/// What uses every credential once and reads every index; creates nothing.
pub fn preflight(castle: &Castle) -> Result<Graph<Estate>, GraphError> {
    Graph::new(checks::steps(castle))
}

/// The whole rebirth.
pub fn rebirth(castle: &Castle) -> Result<Graph<Estate>, GraphError> {
    let mut steps = checks::steps(castle);
    let checks: Vec<String> = steps.iter().map(|s| s.id.clone()).collect();
    steps.extend(cloud::steps(castle, &checks));
    steps.extend(cluster::steps());
    steps.push(cluster::last());
    steps.extend(flux::steps());
    steps.extend(treasures::steps(castle));
    steps.extend(castle.pulse.as_ref().map(|_| life::step_()));
    steps.extend(cutover::steps(castle));
    Graph::new(steps)
}

/// A second restore of one treasure into a castle that stands: finds everything, makes nothing that is there.
pub fn again(castle: &Castle, index: usize) -> Result<Graph<Estate>, GraphError> {
    let mut steps = checks::steps(castle);
    let checks: Vec<String> = steps.iter().map(|s| s.id.clone()).collect();
    steps.extend(cloud::steps(castle, &checks));
    steps.extend(cluster::steps());
    steps.extend(castle.treasures.get(index).map(|one| treasures::again(index, one)));
    Graph::new(steps)
}

/// Gives a castle that stands back to Git, as far as somebody wishes.
pub fn release(castle: &Castle, wish: &Wish) -> Result<Graph<Estate>, GraphError> {
    let mut steps = checks::of_a_standing_castle(castle);
    let checks: Vec<String> = steps.iter().map(|s| s.id.clone()).collect();
    steps.extend(cloud::steps(castle, &checks));
    steps.extend(cluster::steps());
    steps.extend(release::steps(wish));
    Graph::new(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn castle() -> Castle {
        Castle::parse(include_str!("../../../../tests/castle/castle.yaml")).unwrap()
    }

    #[test]
    fn the_graph_of_the_example_castle_holds_together() {
        let graph = rebirth(&castle()).unwrap();
        assert!(graph.outline().len() > 20);
    }

    #[test]
    fn a_second_restore_needs_nothing_of_flux_and_dns() {
        let graph = again(&castle(), 0).unwrap();
        assert!(
            graph
                .outline()
                .iter()
                .all(|s| !s.id.starts_with("flux") && !s.id.starts_with("dns"))
        );
    }

    #[test]
    fn nothing_is_created_before_every_check_has_passed() {
        let graph = rebirth(&castle()).unwrap();
        let outline = graph.outline();
        let lease = outline.iter().find(|s| s.id == "lease").unwrap();
        for check in outline.iter().filter(|s| s.id.starts_with("check.")) {
            assert!(lease.needs.contains(&check.id), "{}", check.id);
        }
    }

    #[test]
    fn dns_moves_only_after_health_and_right_after_the_fence() {
        let outline = rebirth(&castle()).unwrap().outline();
        let needs = |id: &str| outline.iter().find(|s| s.id == id).unwrap().needs.clone();
        assert_eq!(
            (needs("dns.switch"), needs("dns.keys")),
            (vec!["dns.keys".into()], vec!["dns.fence".into()])
        );
        assert!(needs("dns.fence").contains(&"health".to_owned()));
        assert!(
            needs("alive").contains(&"cluster.pulse".to_owned()),
            "no castle is alive without its pulse job"
        );
    }

    #[test]
    fn a_castle_names_one_dns_supplier_and_may_have_no_pulse() {
        let text = include_str!("../../../../tests/castle/castle.yaml");
        let (before, cloudflare) = text.split_once("dns:\n").unwrap();
        let server = "  rfc2136: {server: ns1.rossi.example, key: skykeep, secret: \"vault:dns/key\", zone: rossi.example, \
                      records: [blog.rossi.example]}\n";
        let dynamic = Castle::parse(&format!("{before}dns:\n{server}")).unwrap();
        let dns = dynamic.dns.clone().unwrap();
        let zones: Vec<_> = dns.zones().collect();
        assert_eq!(zones, [("rossi.example", ["blog.rossi.example".to_owned()].as_slice())]);
        assert!(dynamic.secret_refs().contains(dns.secret().unwrap()));
        assert!(
            rebirth(&dynamic)
                .unwrap()
                .outline()
                .iter()
                .any(|s| s.id == "dns.switch")
        );
        let both = Castle::parse(&format!("{before}dns:\n{server}{cloudflare}")).unwrap_err();
        insta::assert_snapshot!(both.to_string());

        let (head, rest) = text.split_once("pulse:\n").unwrap();
        let (_, rest) = rest.split_once("dns:\n").unwrap();
        let silent = Castle::parse(&format!("{head}dns:\n{rest}")).unwrap();
        let outline = rebirth(&silent).unwrap().outline();
        assert!(outline.iter().all(|s| s.id != "cluster.pulse") && outline.iter().any(|s| s.id == "dns.fence"));
    }
}
