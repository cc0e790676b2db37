//! Repositories of the shapes that are found in the field, written by ourselves: tests/fixtures/overlays has the shape of
//! Flux's own example (two clusters, bases and overlays, not bootstrapped), tests/fixtures/layers that of the first user.

use std::path::Path;

use super::*;

fn load(folder: &Path) -> Repository {
    Repository::from_folder(folder).unwrap()
}

fn fixture(name: &str) -> Repository {
    load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
}

fn castle_text() -> String {
    include_str!("../../../../tests/castle/castle.yaml")
        .replace(
            "https://github.com/rossi/castle.git",
            "https://github.com/rossi/home.git",
        )
        .replace("branch: main", "branch: master")
        .replace("clusters/rossi", "clusters/home")
}

fn told(report: &Report) -> String {
    let line = |f: &Finding| format!("{:?} {}: {}\n    -> {}", f.severity, f.place(), f.what, f.remedy);
    report.findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shape_of_flux_own_example_is_good_as_it_is() {
    let report = lint_with(&fixture("overlays"), None);
    assert_eq!(report.roots, ["clusters/production", "clusters/staging"]);
    assert_eq!(told(&report), "");
    assert!(report.objects > 15, "{}", report.objects);
}

#[test]
fn an_issuer_beside_the_chart_that_installs_its_kind_is_found() {
    let mut repository = fixture("overlays");
    let issuers = repository
        .files
        .remove("infrastructure/configs/cluster-issuers.yaml")
        .unwrap();
    repository
        .files
        .insert("infrastructure/controllers/issuers.yaml".into(), issuers);
    let list = |names: &str| format!("resources: [{names}]").into_bytes();
    let kustomization = |folder: &str| format!("infrastructure/{folder}/kustomization.yaml");
    repository
        .files
        .insert(kustomization("controllers"), list("cert-manager.yaml, issuers.yaml"));
    repository.files.insert(kustomization("configs"), list(""));
    insta::assert_snapshot!(told(&lint_with(&repository, None)));
}

#[test]
fn a_layer_that_does_not_wait_for_the_kinds_it_uses_is_found() {
    let mut repository = fixture("overlays");
    let file = "clusters/staging/infrastructure.yaml";
    let text = String::from_utf8(repository.files[file].clone()).unwrap();
    let text = text.replace("  dependsOn:\n    - name: infra-controllers\n", "");
    repository.files.insert(file.into(), text.into_bytes());
    insta::assert_snapshot!(told(&lint_with(&repository, None)));
}

#[test]
fn the_first_users_shape_shows_everything_that_would_hurt() {
    let text = castle_text();
    let castle = Castle::parse(&text).unwrap();
    let report = lint_with(
        &fixture("layers"),
        Some(Contract {
            castle: &castle,
            text: &text,
        }),
    );
    insta::assert_snapshot!(format!("{}\n\nclaims: {}", told(&report), report.claims.join(" ")));
}

#[test]
fn without_a_castle_file_only_what_the_repository_says_itself_is_judged() {
    insta::assert_snapshot!(told(&lint_with(&fixture("layers"), None)));
}

#[test]
fn a_claim_that_is_declared_disposable_is_accounted_for() {
    let text = castle_text()
        + "disposable:\n  - {namespace: web, claim: data-wiki-*, why: it is a cache}\n  - {namespace: db, claim: home-db*, why: a test}\n  - {namespace: db, claim: gone, why: was once}\n";
    let castle = Castle::parse(&text).unwrap();
    let report = lint_with(
        &fixture("layers"),
        Some(Contract {
            castle: &castle,
            text: &text,
        }),
    );
    let told = told(&report);
    assert!(!told.contains("receives no treasure"), "{told}");
    assert!(
        told.contains("Warning castle.yaml:") && told.contains("`db/gone` is declared disposable"),
        "{told}"
    );
}

#[test]
fn a_release_that_would_be_uninstalled_while_its_treasure_is_restored_is_found() {
    let mut repository = fixture("layers");
    let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: gitea, namespace: web}\nspec:\n  interval: 1h\n  \
        chart: {spec: {chart: gitea, sourceRef: {kind: HelmRepository, name: pgo, namespace: db}}}\n  install:\n    remediation: {retries: 3}\n  \
        values:\n    persistence: {enabled: true}\n";
    repository.files.insert("apps/gitea.yaml".into(), release.into());
    let castle = Castle::parse(&castle_text()).unwrap();
    let report = lint_with(
        &repository,
        Some(Contract {
            castle: &castle,
            text: "",
        }),
    );
    let told = told(&report);
    let risk = "Risk apps/gitea.yaml:8: HelmRelease `gitea` waits for pods that are held while `db` is restored, and is uninstalled \
        when they are not ready within 300 s; a claim that it makes, and that is being filled, goes with it\n    -> Replace";
    assert!(told.contains(risk), "{told}");
    assert!(told.contains("the claim web/gitea* receives no treasure"), "{told}");
}

#[test]
fn a_folder_that_is_no_flux_repository_is_told_so() {
    let report = lint_with(&Repository::default(), None);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].severity, Severity::Error);
}
