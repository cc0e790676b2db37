//! Helm releases: where their chart comes from, and what their failure policy does while a treasure is restored.

use serde_json::Value;

use super::{Finding, HELM, KUSTOMIZE, Lint, SOURCE, namespace_of};
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

    /// While a treasure is restored its pods wait. A release that waits for them runs into its timeout; remediation then
    /// uninstalls it, and the claim that is being filled goes with it.
    fn impatient(&mut self, release: &Document) {
        let claims = self.claims();
        let makes_claims = claims.iter().any(|c| c.maker == *release);
        let treasures = self.castle().map(|c| c.treasures.as_slice()).unwrap_or_default();
        let Some(treasure) = treasures
            .iter()
            .find(|t| t.namespace == target(release) && makes_claims)
        else {
            return;
        };
        let retries = release
            .value
            .pointer("/spec/install/remediation/retries")
            .and_then(Value::as_i64);
        let waits = release.value.pointer("/spec/install/disableWait") != Some(&Value::Bool(true));
        if waits && retries.is_some_and(|r| r != 0) {
            let what = format!(
                "HelmRelease `{}` makes claims, waits for its pods and is uninstalled when they are not ready in time; while `{}` is restored they are not",
                release.name(),
                treasure.name
            );
            let place = self.at(release, "/spec/install/remediation/retries");
            let remedy = "Replace `install.remediation` by `install.strategy: {name: RetryOnFailure}`, or set `install.disableWait: true`.";
            self.say(Finding::risk(place, what, remedy));
        }
    }
}
