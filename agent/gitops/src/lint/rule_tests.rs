//! One small repository for each rule that the shapes of the field do not show.

use super::{tests::*, *};

fn told(findings: &[Finding]) -> String {
    let line = |f: &Finding| format!("{:?} {}: {}\n    -> {}", f.severity, f.place(), f.what, f.remedy);
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What is said about the good repository with this file beside its application.
fn beside(yaml: &str) -> String {
    let mut repository = good();
    put(&mut repository, "apps/more.yaml", yaml);
    let findings = lint(&repository, &small());
    let mine: Vec<Finding> = findings
        .into_iter()
        .filter(|f| !f.what.contains("installs this kind"))
        .collect();
    told(&mine)
}

const POD: &str = "apiVersion: v1
kind: Pod
metadata: {name: reader, namespace: web}
spec:
  containers: [{name: x, image: x}]
  volumes:
    - {name: site, persistentVolumeClaim: {claimName: site-content}}
    - {name: old, persistentVolumeClaim: {claimName: CLAIM}}
";

#[test]
fn a_pod_that_mounts_what_nothing_makes_is_found() {
    insta::assert_snapshot!(beside(&POD.replace("CLAIM", "old-pages")));
    assert_eq!(beside(&POD.replace("CLAIM", "site-content")), "");
    let release = "---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a, namespace: web}\nspec: {interval: 1m, \
                   chart: {spec: {chart: a, sourceRef: {kind: HelmRepository, name: a}}}}\n";
    let unseen = beside(&format!("{}{release}", POD.replace("CLAIM", "old-pages")));
    assert!(!unseen.contains("old-pages"), "the chart may make it: {unseen}");
}

#[test]
fn a_schedule_that_selects_nothing_is_found() {
    let job = |groups: &str, more: &str| {
        beside(&format!(
            "apiVersion: longhorn.io/v1beta2\nkind: RecurringJob\nmetadata: {{name: nightly, namespace: longhorn-system}}\nspec:\n  \
             task: backup\n  cron: '0 3 * * *'\n  groups: {groups}\n{more}"
        ))
    };
    let class = "---\napiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: kept}\nprovisioner: driver.longhorn.io\nparameters: \
                 {recurringJobSelector: '[{\"name\":\"shelves\",\"isGroup\":true}]'}\n";
    let label = |label: &str| {
        format!(
            "---\napiVersion: longhorn.io/v1beta2\nkind: Volume\nmetadata: {{name: v, namespace: longhorn-system, labels: {{{label}: enabled}}}}\n"
        )
    };
    assert_eq!(job("[default]", ""), "");
    assert_eq!(job("[shelves]", class), "");
    assert_eq!(job("[shelves]", &label("recurring-job-group.longhorn.io/shelves")), "");
    assert_eq!(job("[]", &label("recurring-job.longhorn.io/nightly")), "");
    let velero = |namespaces: &str| {
        beside(&format!(
            "apiVersion: velero.io/v1\nkind: Schedule\nmetadata: {{name: nightly, namespace: velero}}\nspec:\n  schedule: '0 3 * * *'\n  \
             template:\n    includedNamespaces: {namespaces}\n"
        ))
    };
    assert_eq!((velero("[web]"), velero("['*']")), (String::new(), String::new()));
    let volsync = |claim: &str| {
        beside(&format!(
            "apiVersion: volsync.backube/v1alpha1\nkind: ReplicationSource\nmetadata: {{name: pages, namespace: web}}\nspec:\n  sourcePVC: {claim}\n"
        ))
    };
    assert_eq!(volsync("site-content"), "");
    let all = [
        job("[shelves]", ""),
        job("[]", &label("recurring-job.longhorn.io/weekly")),
        velero("[shop, mail]"),
        volsync("site"),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn what_the_last_living_castle_had_must_be_named() {
    let castle = Castle::parse(&format!(
        "{CASTLE}disposable:\n  - {{namespace: web, claim: cache-*, why: it fills itself}}\n"
    ))
    .unwrap();
    let claims = [
        "web/site-content",
        "web/data-db-0",
        "web/cache-1",
        "web/mail",
        "shop/site-content",
        "nonsense",
    ];
    let claims: Vec<String> = claims.map(str::to_owned).into();
    insta::assert_snapshot!(told(&living(&castle, "home", &claims)));
}
