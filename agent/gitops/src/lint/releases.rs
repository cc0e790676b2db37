//! Helm releases: where their chart comes from, and what their failure policy does while a treasure is restored.

use serde_json::Value;

use super::{Finding, HELM, KUSTOMIZE, Lint, SOURCE, namespace_of, seconds, walk};
use crate::repository::{Document, normal, text};

/// Where a release puts its objects.
pub(super) fn target(release: &Document) -> &str {
    match text(&release.value, "/spec/targetNamespace") {
        "" => release.namespace(),
        target => target,
    }
}

impl Lint<'_> {
    pub(super) fn releases(&mut self) {
        for layer in self.of(KUSTOMIZE, "Kustomization") {
            self.source(&layer, "/spec/sourceRef");
        }
        for release in self.of(HELM, "HelmRelease") {
            if release.value.pointer("/spec/chartRef").is_some() {
                self.source(&release, "/spec/chartRef");
            } else {
                self.source(&release, "/spec/chart/spec/sourceRef");
                self.chart(&release);
            }
            self.impatient(&release);
        }
    }

    /// The object a layer takes its content from.
    fn source(&mut self, of: &Document, pointer: &str) {
        let reference = of.value.pointer(pointer).cloned().unwrap_or_default();
        let (kind, name) = (text(&reference, "/kind"), text(&reference, "/name"));
        let namespace = namespace_of(&reference, of);
        let bootstrap = &self.root.source;
        let is_bootstrap = kind == "GitRepository" && name == bootstrap.name() && namespace == bootstrap.namespace();
        // Artifacts are generated under names of their own.
        if is_bootstrap || kind == "ExternalArtifact" || self.exists(SOURCE, kind, namespace, name) {
            return;
        }
        let what = format!(
            "{} `{}` takes its content from {kind} `{namespace}/{name}`, which nothing makes",
            of.kind(),
            of.name()
        );
        let place = self.at(of, pointer);
        self.say(Finding::error(place, what, "Add that source, or mend the reference."));
    }

    /// The folder of a chart that lies in this repository.
    pub(super) fn local_chart<'b>(&self, release: &'b Document) -> Option<&'b str> {
        let field = |name: &str| text(&release.value, &format!("/spec/chart/spec/{name}"));
        let local = field("sourceRef/kind") == "GitRepository" && field("sourceRef/name") == self.root.source.name();
        local.then(|| text(&release.value, "/spec/chart/spec/chart"))
    }

    fn chart(&mut self, release: &Document) {
        let Some(path) = self.local_chart(release) else {
            return;
        };
        if normal("", path).is_some_and(|p| self.repository.files.contains_key(&format!("{p}/Chart.yaml"))) {
            return;
        }
        let what = format!(
            "HelmRelease `{}` uses the chart `{path}`, but there is no {path}/Chart.yaml",
            release.name()
        );
        let place = self.at(release, "/spec/chart/spec/chart");
        self.say(Finding::error(place, what, "Mend `spec.chart.spec.chart`."));
    }

    /// While a treasure is restored its pods wait. A release that waits for them runs into its timeout; where its policy
    /// says so it is then uninstalled, and a claim of its own that is being filled goes with it.
    fn impatient(&mut self, release: &Document) {
        let claims = self.claims();
        let makes_claims = claims.iter().any(|c| c.maker == *release);
        let treasures = self.castle().map(|c| c.treasures.as_slice()).unwrap_or_default();
        let here = treasures.iter().filter(|t| t.namespace == target(release));
        let mine = here.filter(|t| makes_claims || self.mentions(release, &t.claim));
        let Some(treasure) = mine.max_by_key(|t| t.budget_minutes) else {
            return;
        };
        let Some((pointer, timeout)) = uninstalls(&release.value) else {
            return;
        };
        // Without a plan nobody knows how long it will wait.
        if treasure
            .budget_minutes
            .is_some_and(|minutes| u64::from(minutes) * 60 <= timeout)
        {
            return;
        }
        let what = format!(
            "HelmRelease `{}` waits for pods that are held while `{}` is restored, and is uninstalled when they are not ready within {timeout} s{}",
            release.name(),
            treasure.name,
            if makes_claims {
                "; a claim that it makes, and that is being filled, goes with it"
            } else {
                ""
            },
        );
        let place = self.at(release, pointer);
        let remedy = "Replace `install.remediation` (and `upgrade.remediation`) by `strategy: {name: RetryOnFailure, retryInterval: 30s}`, or set \
             `disableWait: true` there, or a `timeout` of at least the treasure's `budgetMinutes` in castle.yaml.";
        self.say(Finding::risk(place, what, remedy));
    }

    /// Whether its values, or the templates of its chart in this repository, name the claim.
    fn mentions(&self, release: &Document, claim: &str) -> bool {
        let mut named = false;
        walk(&release.value, "", &mut |pointer, value| {
            named |= pointer.starts_with("/spec/values/") && value.as_str() == Some(claim);
            !named
        });
        let templates = self
            .local_chart(release)
            .and_then(|c| normal("", c))
            .map(|c| format!("{c}/templates/"));
        let in_chart = templates.is_some_and(|prefix| {
            let files = self.repository.files.range(prefix.clone()..);
            let mut files = files.take_while(|(f, _)| f.starts_with(&prefix));
            files.any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(&format!("claimName: {claim}")))
        });
        named || in_chart
    }
}

/// helm-controller's own, when a release names none.
const TIMEOUT: u64 = 300;

/// Whether a release is uninstalled when its pods are not ready in time: the field that says so, and the time in seconds.
/// As helm-controller 1.4 does it: an install that failed is uninstalled before each further try, and after the last one with
/// `remediateLastFailure`; with `RetryOnFailure` an upgrade is tried instead, whose own policy may be to uninstall. What can't be
/// rolled back, because there was no release before it, stays as it is.
fn uninstalls(release: &Value) -> Option<(&'static str, u64)> {
    let on = |pointer: &str| release.pointer(pointer) == Some(&Value::Bool(true));
    let retries = |pointer: &str| release.pointer(pointer).and_then(Value::as_i64).unwrap_or(0) != 0;
    let retried = |pointer: &str| text(release, pointer) == "RetryOnFailure";
    let timeout = |own: &str| {
        let given = [own, "/spec/timeout"]
            .into_iter()
            .map(|p| text(release, p))
            .find(|t| !t.is_empty());
        given.and_then(seconds).unwrap_or(TIMEOUT)
    };
    let remediated =
        retries("/spec/install/remediation/retries") || on("/spec/install/remediation/remediateLastFailure");
    if remediated && !on("/spec/install/disableWait") && !retried("/spec/install/strategy/name") {
        return Some(("/spec/install/remediation", timeout("/spec/install/timeout")));
    }
    let remediated =
        retries("/spec/upgrade/remediation/retries") || on("/spec/upgrade/remediation/remediateLastFailure");
    let uninstalls = text(release, "/spec/upgrade/remediation/strategy") == "uninstall";
    let waits = !on("/spec/install/disableWait") && !on("/spec/upgrade/disableWait");
    (remediated && uninstalls && waits && !retried("/spec/upgrade/strategy/name"))
        .then(|| ("/spec/upgrade/remediation", timeout("/spec/upgrade/timeout")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(spec: Value) -> Option<(&'static str, u64)> {
        uninstalls(&json!({"spec": spec}))
    }

    #[test]
    fn a_release_is_uninstalled_only_where_its_policy_says_so() {
        let install = "/spec/install/remediation";
        assert_eq!(judged(json!({})), None);
        assert_eq!(
            judged(json!({"install": {"remediation": {"retries": 3}}})),
            Some((install, 300))
        );
        assert_eq!(
            judged(json!({"timeout": "1h", "install": {"remediation": {"retries": -1}}})),
            Some((install, 3600))
        );
        let last =
            json!({"timeout": "1h", "install": {"timeout": "20m", "remediation": {"remediateLastFailure": true}}});
        assert_eq!(judged(last), Some((install, 1200)));
        assert_eq!(
            judged(json!({"install": {"disableWait": true, "remediation": {"retries": 3}}})),
            None
        );
        let retried = json!({"strategy": {"name": "RetryOnFailure"}, "remediation": {"retries": 3}});
        assert_eq!(judged(json!({"install": retried.clone()})), None);
    }

    #[test]
    fn the_upgrade_that_follows_a_failed_install_is_judged_too() {
        let upgrade = |remediation: Value| {
            judged(
                json!({"install": {"strategy": {"name": "RetryOnFailure"}}, "upgrade": {"remediation": remediation}}),
            )
        };
        let uninstall = json!({"retries": 1, "strategy": "uninstall"});
        assert_eq!(upgrade(uninstall), Some(("/spec/upgrade/remediation", 300)));
        assert_eq!(upgrade(json!({"strategy": "uninstall"})), None);
        assert_eq!(upgrade(json!({"retries": 1, "strategy": "rollback"})), None);
    }
}
