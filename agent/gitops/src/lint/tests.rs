//! A small repository, and everything that can be wrong with it.

use super::*;
use crate::layout::Layout;

pub(super) const CASTLE: &str = include_str!("../../../../tests/castle/castle.yaml");

const SYNC: &str = "
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: flux-system, namespace: flux-system}
spec: {interval: 1m0s, ref: {branch: main}, secretRef: {name: flux-system}, url: 'https://github.com/rossi/castle.git'}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: flux-system, namespace: flux-system}
spec: {interval: 10m0s, path: ./clusters/rossi, prune: true, sourceRef: {kind: GitRepository, name: flux-system}}
";

fn layer(name: &str, extra: &str) -> String {
    format!(
        "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: flux-system}}\n\
         spec:\n  path: ./{name}\n  sourceRef: {{kind: GitRepository, name: flux-system}}\n{extra}"
    )
}

fn castle() -> Castle {
    Castle::parse(CASTLE).unwrap()
}

/// The example castle with its first treasure alone.
pub(super) fn small() -> Castle {
    let mut castle = castle();
    castle.treasures.truncate(1);
    castle
}

fn claim(castle: &Castle) -> String {
    let t = &castle.treasures[0];
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {}, namespace: {}}}\n",
        t.claim, t.namespace
    )
}

pub(super) fn good() -> Repository {
    let castle = castle();
    let vars = &castle.before_flux.config_maps[0];
    assert_eq!(vars.namespace, "flux-system", "the example castle changed");
    let infrastructure = layer(
        "infrastructure",
        &format!(
            "  postBuild: {{substituteFrom: [{{kind: ConfigMap, name: {}}}]}}\n",
            vars.name
        ),
    );
    let apps = layer("apps", "  dependsOn: [{name: infrastructure}]\n");
    let files = [
        (
            "clusters/rossi/flux-system/gotk-components.yaml",
            "kind: Namespace\napiVersion: v1\nmetadata: {name: flux-system}".into(),
        ),
        ("clusters/rossi/flux-system/gotk-sync.yaml", SYNC.to_owned()),
        (
            "clusters/rossi/flux-system/kustomization.yaml",
            "resources: [gotk-components.yaml, gotk-sync.yaml]".into(),
        ),
        ("clusters/rossi/layers.yaml", format!("{infrastructure}{apps}")),
        (
            "infrastructure/kustomization.yaml",
            "resources: [namespaces.yaml]".into(),
        ),
        (
            "infrastructure/namespaces.yaml",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: web}".into(),
        ),
        ("apps/site.yaml", claim(&castle)),
        ("charts/x/templates/t.yaml", "{{ not: yaml".into()),
    ];
    let files = files.into_iter().map(|(k, v)| (k.to_owned(), v.into_bytes())).collect();
    Repository {
        commit: "0".repeat(40),
        files,
    }
}

fn with(change: impl FnOnce(&mut Repository)) -> String {
    let mut repository = good();
    change(&mut repository);
    let line = |f: Finding| format!("{:?} {}: {} -> {}", f.severity, f.place(), f.what, f.remedy);
    lint(&repository, &small())
        .into_iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

pub(super) fn put(repository: &mut Repository, file: &str, content: &str) {
    repository.files.insert(file.to_owned(), content.as_bytes().to_vec());
}

#[test]
fn a_repository_that_fits_has_no_finding() {
    assert_eq!(with(|_| {}), "");
}

#[test]
fn a_folder_without_flux_bootstrap_is_an_error() {
    insta::assert_snapshot!(with(|r| drop(
        r.files.remove("clusters/rossi/flux-system/gotk-sync.yaml")
    )));
}

#[test]
fn a_sync_that_differs_from_the_castle_file_is_an_error() {
    insta::assert_snapshot!(with(|r| {
        let sync = SYNC
            .replace(
                "https://github.com/rossi/castle.git",
                "ssh://git@github.com/rossi/castle",
            )
            .replace("branch: main", "branch: dev, commit: abc")
            .replace("path: ./clusters/rossi", "path: ./clusters/other")
            .replace("secretRef: {name: flux-system}, ", "");
        put(r, "clusters/rossi/flux-system/gotk-sync.yaml", &sync);
    }));
}

#[test]
fn circles_and_unknown_names_are_errors() {
    insta::assert_snapshot!(with(|r| {
        let a = layer("infrastructure", "  dependsOn: [{name: apps}]\n");
        let b = layer("apps", "  dependsOn: [{name: infrastructure}, {name: storage}]\n");
        put(r, "clusters/rossi/layers.yaml", &format!("{a}{b}"));
    }));
}

#[test]
fn missing_paths_sources_and_variables_are_errors() {
    insta::assert_snapshot!(with(|r| {
        let a = layer("nowhere", "");
        let b = layer("apps", "").replace("name: flux-system}\n", "name: other}\n");
        let c = layer(
            "infrastructure",
            "  postBuild: {substituteFrom: [{kind: Secret, name: gone}, {kind: ConfigMap, name: x, optional: true}]}\n",
        );
        put(r, "clusters/rossi/layers.yaml", &format!("{a}{b}{c}"));
    }));
}

#[test]
fn forgotten_and_missing_files_are_found() {
    insta::assert_snapshot!(with(|r| {
        put(r, "infrastructure/forgotten.yaml", "kind: ConfigMap");
        put(
            r,
            "infrastructure/kustomization.yaml",
            "resources: [namespaces.yaml, missing.yaml]",
        );
    }));
}

#[test]
fn a_file_that_is_no_yaml_is_an_error_only_when_flux_applies_it() {
    let text = with(|r| put(r, "apps/broken.yaml", "a: [1,"));
    assert!(text.starts_with("Error apps/broken.yaml: it can't be parsed"), "{text}");
    assert!(!text.contains("charts/x"), "{text}");
}

#[test]
fn a_treasure_without_a_claim_is_a_warning() {
    insta::assert_snapshot!(with(|r| drop(r.files.remove("apps/site.yaml"))));
}

#[test]
fn a_claim_of_a_stateful_set_counts() {
    let mut castle = small();
    castle.treasures[0].claim = "data-db-0".into();
    let mut repository = good();
    let set = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\n\
               spec: {volumeClaimTemplates: [{metadata: {name: data}}]}\n";
    put(&mut repository, "apps/site.yaml", set);
    put(
        &mut repository,
        "apps/kustomization.yaml",
        &format!("namespace: {}\nresources: [site.yaml]", castle.treasures[0].namespace),
    );
    assert_eq!(lint(&repository, &castle), []);
}

#[test]
fn a_chart_that_is_not_there_is_an_error() {
    insta::assert_snapshot!(with(|r| {
        let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: pod, namespace: web}\n\
            spec: {suspend: true, chart: {spec: {chart: ./charts/none, sourceRef: {kind: GitRepository, name: flux-system, namespace: flux-system}}}}";
        put(r, "apps/release.yaml", release);
    }));
}

#[test]
fn the_example_castle_fits_its_castle_file() {
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/castle/repo"));
    let repository = Repository::from_folder(root).unwrap();
    let more = include_str!("../../../../tests/castle/shapes.yaml");
    let whole = CASTLE.replacen("\nentry:\n", &format!("\n{more}entry:\n"), 1);
    let castle = Castle::parse(&whole).unwrap();
    let findings = lint(&repository, &castle);
    let told: Vec<_> = findings.iter().map(|f| (f.severity, f.file.as_str())).collect();
    assert_eq!(told, [(Severity::Risk, "apps/ddns/ddns.yaml")], "{findings:?}");
    let layout = Layout::of(&repository, "clusters/rossi").unwrap();
    let held: Vec<String> = layout.writers(&castle).iter().map(|one| one.id()).collect();
    assert_eq!(held, ["Deployment/web/ddns"]);
    let components = layout.root.components;
    assert!(components.iter().filter(|d| d.kind() == "Deployment").count() >= 3);
}

#[test]
fn an_ingress_that_asks_external_dns_for_a_name_of_the_cutover_is_a_risk() {
    let ask = |host: &str| {
        with(|r| {
            let ingress = format!(
                "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: blog\n  namespace: web\n  annotations:\n    \
                 external-dns.alpha.kubernetes.io/hostname: {host}\n"
            );
            put(r, "apps/ingress.yaml", &ingress);
        })
    };
    insta::assert_snapshot!(ask("\"shop.rossi.example, blog.rossi.example.\""));
    assert!(ask("'www.${domain}'").contains("can't be seen from here"));
    assert_eq!(ask("shop.rossi.example"), "");
}
