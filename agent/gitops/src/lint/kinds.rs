//! Objects of a kind that is only installed along the way.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Finding, HELM, Lint,
    order::{Id, id},
};
use crate::repository::{Document, list, normal, text};

/// Charts that install kinds, and the API groups of these.
const CHARTS: [(&str, &[&str]); 24] = [
    ("cert-manager", &["cert-manager.io", "acme.cert-manager.io"]),
    ("cloudnative-pg", &["postgresql.cnpg.io"]),
    ("pgo", &["postgres-operator.crunchydata.com"]),
    ("postgres-operator", &["acid.zalan.do"]),
    (
        "external-secrets",
        &["external-secrets.io", "generators.external-secrets.io"],
    ),
    ("vault-secrets-operator", &["secrets.hashicorp.com"]),
    ("sealed-secrets", &["bitnami.com"]),
    ("traefik", &["traefik.io", "hub.traefik.io"]),
    ("envoy-gateway", &["gateway.networking.k8s.io", "gateway.envoyproxy.io"]),
    ("gateway-helm", &["gateway.networking.k8s.io", "gateway.envoyproxy.io"]),
    ("kube-prometheus-stack", &["monitoring.coreos.com"]),
    ("prometheus-operator-crds", &["monitoring.coreos.com"]),
    ("longhorn", &["longhorn.io"]),
    ("metallb", &["metallb.io"]),
    ("kyverno", &["kyverno.io"]),
    ("velero", &["velero.io"]),
    ("tailscale-operator", &["tailscale.com"]),
    ("cilium", &["cilium.io"]),
    ("rook-ceph", &["ceph.rook.io"]),
    ("keda", &["keda.sh"]),
    ("strimzi-kafka-operator", &["kafka.strimzi.io"]),
    ("volsync", &["volsync.backube"]),
    ("k8up", &["k8up.io"]),
    ("mariadb-operator", &["k8s.mariadb.com"]),
];

/// Groups that every cluster with Flux has.
fn is_builtin(group: &str) -> bool {
    !group.contains('.')
        || group.ends_with(".k8s.io") && !group.starts_with("gateway.")
        || group.ends_with(".fluxcd.io")
}

impl Lint<'_> {
    /// A layer that holds objects of a kind which something in that very layer (or one that waits for it) installs never
    /// begins: the API refuses the object, so nothing of the layer is applied.
    pub(super) fn kinds(&mut self) {
        let mut by_chart: BTreeMap<String, BTreeSet<Id>> = BTreeMap::new();
        // A chart that we don't know may install anything.
        let mut unknown_chart = false;
        let mut by_manifest: BTreeMap<String, BTreeSet<Id>> = BTreeMap::new();
        for layer in &self.layers {
            for document in self.applied_by(layer) {
                if document.is("apiextensions.k8s.io", "CustomResourceDefinition") {
                    let group = text(&document.value, "/spec/group").to_owned();
                    by_manifest.entry(group).or_default().insert(id(&layer.layer));
                }
                let groups = self.groups_of_chart(document);
                unknown_chart |=
                    groups.is_empty() && document.is(HELM, "HelmRelease") && self.local_chart(document).is_none();
                for group in groups {
                    by_chart.entry(group).or_default().insert(id(&layer.layer));
                }
            }
        }
        let mut said = Vec::new();
        for layer in &self.layers {
            let own = id(&layer.layer);
            let before = self.ancestors(&own);
            let mut seen = BTreeSet::new();
            for object in self.applied_by(layer) {
                let group = object.group();
                if is_builtin(group) || !seen.insert((group, object.kind())) {
                    continue;
                }
                let none = BTreeSet::new();
                let charts = by_chart.get(group).unwrap_or(&none);
                let manifests = by_manifest.get(group).unwrap_or(&none);
                // Flux applies definitions before objects, also inside one layer.
                if manifests.contains(&own) || before.iter().any(|b| charts.contains(b) || manifests.contains(b)) {
                    continue;
                }
                let place = self.at(object, "/kind");
                let (kind, name, layer) = (object.kind(), object.name(), &own.1);
                if charts.contains(&own) {
                    said.push(Finding::error(
                        place,
                        format!("layer `{layer}` holds {kind} `{name}` and the chart that installs this kind: the API refuses the one, so the other is never applied"),
                        "Put the two into two Kustomizations, and let the second depend on the first.",
                    ));
                    continue;
                }
                let makers: Vec<&Id> = charts.iter().chain(manifests).collect();
                let Some(maker) = makers.first() else {
                    if !unknown_chart {
                        said.push(Finding::risk(
                            place,
                            format!("layer `{layer}` holds {kind} `{name}`, and nothing in the repository installs this kind"),
                            "Add what installs it, in a layer that this one depends on: in a new cluster it is not there.",
                        ));
                    }
                    continue;
                };
                if makers.iter().all(|m| self.ancestors(m).contains(&own)) {
                    said.push(Finding::error(
                        place,
                        format!("layer `{layer}` holds {kind} `{name}`, but this kind is installed by `{}`, which waits for `{layer}`", maker.1),
                        "Move the object into a layer that depends on the one that installs its kind.",
                    ));
                } else {
                    said.push(Finding::risk(
                        place,
                        format!("layer `{layer}` holds {kind} `{name}`, but does not wait for `{}`, which installs this kind: on an empty cluster it fails first", maker.1),
                        format!("Add `dependsOn: [{{name: {}}}]` to `{layer}`.", maker.1),
                    ));
                }
            }
        }
        self.findings.extend(said);
    }

    /// Everything that a layer waits for, near and far.
    fn ancestors(&self, of: &Id) -> BTreeSet<Id> {
        let mut found = BTreeSet::new();
        let mut ahead = vec![of.clone()];
        while let Some(next) = ahead.pop() {
            let Some(layer) = self.layers.iter().find(|l| id(&l.layer) == next) else {
                continue;
            };
            for on in list(&layer.layer.value, "/spec/dependsOn") {
                let on = (
                    super::namespace_of(on, &layer.layer).to_owned(),
                    text(on, "/name").to_owned(),
                );
                if found.insert(on.clone()) {
                    ahead.push(on);
                }
            }
        }
        found
    }

    /// The API groups that a HelmRelease brings.
    fn groups_of_chart(&self, release: &Document) -> Vec<String> {
        if !release.is(HELM, "HelmRelease") {
            return Vec::new();
        }
        let chart = text(&release.value, "/spec/chart/spec/chart");
        let name = match (chart, text(&release.value, "/spec/chartRef/name")) {
            ("", named) => named,
            (chart, _) => chart.rsplit('/').next().unwrap_or_default(),
        };
        let known = CHARTS.iter().find(|(c, _)| *c == name).map(|(_, groups)| *groups);
        let mut groups: Vec<String> = known.unwrap_or_default().iter().map(|g| (*g).to_owned()).collect();
        // A chart in this repository: definitions lie in its folder `crds`, as plain YAML.
        if let Some(folder) = normal("", chart).map(|c| format!("{c}/crds/")) {
            let files = self.repository.files.range(folder.clone()..).map(|(f, _)| f);
            for file in files.take_while(|f| f.starts_with(&folder)) {
                let documents = self.repository.documents(file).unwrap_or_default();
                groups.extend(documents.iter().map(|d| text(&d.value, "/spec/group").to_owned()));
            }
        }
        groups
    }
}
