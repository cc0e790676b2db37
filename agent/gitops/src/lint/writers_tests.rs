//! What is held, and what runs.

use super::*;

#[test]
fn a_writer_of_the_zone_writes_everything_below_it() {
    assert!(covers("rossi.example", "blog.rossi.example") && covers("*.rossi.example", "blog.rossi.example"));
    assert!(!covers("ossi.example", "blog.rossi.example") && !covers("blog.rossi.example", "rossi.example"));
}

fn castle() -> Castle {
    Castle::parse(include_str!("../../../../tests/castle/castle.yaml")).unwrap()
}

fn workload(kind: &str, image: &str, env: &[(&str, &str)]) -> Document {
    let env: Vec<Value> = env
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let pod = json!({"spec": {"containers": [{"image": image, "env": env}]}});
    let (version, spec) = match kind {
        "CronJob" => ("batch/v1", json!({"jobTemplate": {"spec": {"template": pod}}})),
        _ => ("apps/v1", json!({"template": pod})),
    };
    Document {
        file: "ddns.yaml".into(),
        value: json!({"apiVersion": version, "kind": kind, "metadata": {"name": "ddns", "namespace": "web"}, "spec": spec}),
        namespace: None,
    }
}

fn held(document: &Document) -> String {
    let found =
        writer(document).and_then(|(_, program)| hold(document, &program, writes(&castle(), document).as_ref()));
    found.map_or("runs".into(), |held| format!("{} ({})", held.spec, held.why))
}

#[test]
fn what_writes_a_record_of_the_cutover_is_held_and_what_only_has_a_token_is_not() {
    let ddns = "docker.io/favonia/cloudflare-ddns:1.17.0";
    let chart = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "dns", "namespace": "web"},
        "spec": {"chart": {"spec": {"chart": "external-dns"}}, "values": {"domainFilters": ["rossi.example"]}}});
    let chart = Document {
        value: chart,
        ..workload("Deployment", "", &[])
    };
    let token = ("CF_API_TOKEN", "x");
    let all = [
        (
            "a DDNS program that is told a name of the cutover",
            workload("Deployment", ddns, &[("DOMAINS", "blog.${domain}")]),
        ),
        (
            "on every machine",
            workload("DaemonSet", ddns, &[("DOMAINS", "rossi.example")]),
        ),
        (
            "by the clock",
            workload("CronJob", ddns, &[("DOMAINS", "*.rossi.example")]),
        ),
        ("that is told nothing", workload("StatefulSet", ddns, &[])),
        (
            "that is told other names",
            workload("Deployment", ddns, &[("DOMAINS", "home.example")]),
        ),
        (
            "a script with a token, told a name",
            workload("CronJob", "alpine:3", &[token, ("ZONE", "rossi.example")]),
        ),
        ("an entry with a token", workload("Deployment", "traefik:3", &[token])),
        (
            "an entry with a token for certificates",
            workload("Deployment", "traefik:3", &[("CF_DNS_API_TOKEN", "x")]),
        ),
        ("a chart", chart),
        (
            "anything else",
            workload("Deployment", "caddy:2", &[("DOMAIN", "rossi.example")]),
        ),
    ];
    let lines: Vec<String> = all
        .iter()
        .map(|(what, document)| format!("{what}: {}", held(document)))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}
