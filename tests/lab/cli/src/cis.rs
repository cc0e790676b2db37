//! The CIS Kubernetes Benchmark (v1.11), the items that can be read off the machines, against a living castle. Section 5 (policies of
//! what runs in the cluster) is the owner's. docs/cis.md is made from the lists here.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    lab::{Lab, Machine},
    verdicts::Verdicts,
};

enum Check {
    /// A flag of a process must be one of these.
    Is(&'static str, &'static str, &'static [&'static str]),
    /// A flag must be there, with any value.
    Given(&'static str, &'static str),
    /// A flag must not be there, or not with this in it.
    Not(&'static str, &'static str, &'static str),
    /// A flag, a list, must have this in it.
    Has(&'static str, &'static str, &'static str),
    /// A number at least as large.
    AtLeast(&'static str, &'static str, u64),
    /// A field of kubelet's configuration.
    Kubelet(&'static str, &'static [&'static str]),
    /// A field of kubelet's configuration must not be empty.
    KubeletGiven(&'static str),
    /// Files: not wider than this mode, and root's.
    Files(&'static str, u32),
}
use Check::{AtLeast, Files, Given, Has, Is, Kubelet, KubeletGiven, Not};

const API: &str = "kube-apiserver";
const MANAGER: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";
const ETCD: &str = "etcd";

const ON_CONTROL_PLANES: &[(&str, &str, Check)] = &[
    (
        "1.1.1-8",
        "static pods' manifests 600, root",
        Files("/etc/kubernetes/manifests/*.yaml", 0o600),
    ),
    (
        "1.1.9",
        "network plugin's configuration 600, root",
        Files("/etc/cni/net.d/*", 0o600),
    ),
    ("1.1.11", "etcd's folder 700", Files("/var/lib/etcd", 0o700)),
    (
        "1.1.13",
        "admin.conf 600, root",
        Files("/etc/kubernetes/*admin.conf", 0o600),
    ),
    (
        "1.1.15",
        "scheduler.conf 600, root",
        Files("/etc/kubernetes/scheduler.conf", 0o600),
    ),
    (
        "1.1.17",
        "controller-manager.conf 600, root",
        Files("/etc/kubernetes/controller-manager.conf", 0o600),
    ),
    (
        "1.1.20",
        "certificates 644 or narrower",
        Files("/etc/kubernetes/pki/*.crt", 0o644),
    ),
    (
        "1.1.21",
        "keys 600",
        Files("/etc/kubernetes/pki/*.key /etc/kubernetes/pki/etcd/*.key", 0o600),
    ),
    (
        "1.2.1",
        "strangers reach health only",
        Given(API, "authentication-config"),
    ),
    ("1.2.2", "no token file", Not(API, "token-auth-file", "")),
    (
        "1.2.4",
        "client certificate towards kubelets",
        Given(API, "kubelet-client-certificate"),
    ),
    (
        "1.2.5",
        "kubelets' certificates are checked",
        Given(API, "kubelet-certificate-authority"),
    ),
    (
        "1.2.6",
        "not everything is allowed",
        Not(API, "authorization-mode", "AlwaysAllow"),
    ),
    ("1.2.7", "authorisation: Node", Has(API, "authorization-mode", "Node")),
    ("1.2.8", "authorisation: RBAC", Has(API, "authorization-mode", "RBAC")),
    (
        "1.2.10",
        "not everything is admitted",
        Not(API, "enable-admission-plugins", "AlwaysAdmit"),
    ),
    (
        "1.2.12",
        "service accounts are admitted properly",
        Not(API, "disable-admission-plugins", "ServiceAccount"),
    ),
    (
        "1.2.13",
        "namespaces' ends are kept",
        Not(API, "disable-admission-plugins", "NamespaceLifecycle"),
    ),
    (
        "1.2.14",
        "a node changes only itself",
        Has(API, "enable-admission-plugins", "NodeRestriction"),
    ),
    ("1.2.15", "API server: no profiling", Is(API, "profiling", &["false"])),
    ("1.2.16", "audit log", Given(API, "audit-log-path")),
    ("1.2.17", "audit log kept 30 days", AtLeast(API, "audit-log-maxage", 30)),
    ("1.2.18", "10 old audit logs", AtLeast(API, "audit-log-maxbackup", 10)),
    ("1.2.19", "audit logs of 100 MB", AtLeast(API, "audit-log-maxsize", 100)),
    (
        "1.2.21",
        "service accounts are looked up",
        Not(API, "service-account-lookup", "false"),
    ),
    (
        "1.2.22",
        "service accounts' key",
        Given(API, "service-account-key-file"),
    ),
    ("1.2.23", "certificate towards etcd", Given(API, "etcd-certfile")),
    ("1.2.24", "API server: TLS", Given(API, "tls-cert-file")),
    ("1.2.25", "clients' CA", Given(API, "client-ca-file")),
    ("1.2.26", "etcd's CA", Given(API, "etcd-cafile")),
    (
        "1.2.27",
        "secrets are encrypted at rest",
        Given(API, "encryption-provider-config"),
    ),
    (
        "1.2.29",
        "API server: strong ciphers only",
        Given(API, "tls-cipher-suites"),
    ),
    (
        "1.3.1",
        "ended pods are cleared away",
        Given(MANAGER, "terminated-pod-gc-threshold"),
    ),
    (
        "1.3.2",
        "controllers: no profiling",
        Is(MANAGER, "profiling", &["false"]),
    ),
    (
        "1.3.3",
        "each controller its own account",
        Is(MANAGER, "use-service-account-credentials", &["true"]),
    ),
    (
        "1.3.4",
        "controllers: service accounts' key",
        Given(MANAGER, "service-account-private-key-file"),
    ),
    ("1.3.5", "controllers: root CA", Given(MANAGER, "root-ca-file")),
    (
        "1.3.7",
        "controllers listen on loopback",
        Is(MANAGER, "bind-address", &["127.0.0.1"]),
    ),
    (
        "1.4.1",
        "scheduler: no profiling",
        Is(SCHEDULER, "profiling", &["false"]),
    ),
    (
        "1.4.2",
        "scheduler listens on loopback",
        Is(SCHEDULER, "bind-address", &["127.0.0.1"]),
    ),
    ("2.1", "etcd: certificate", Given(ETCD, "cert-file")),
    (
        "2.2",
        "etcd: clients need certificates",
        Is(ETCD, "client-cert-auth", &["true"]),
    ),
    ("2.3", "etcd: no self-made certificates", Not(ETCD, "auto-tls", "true")),
    ("2.4", "etcd: certificate among members", Given(ETCD, "peer-cert-file")),
    (
        "2.5",
        "etcd: members need certificates",
        Is(ETCD, "peer-client-cert-auth", &["true"]),
    ),
    (
        "2.6",
        "etcd: no self-made ones among members",
        Not(ETCD, "peer-auto-tls", "true"),
    ),
    (
        "2.7",
        "etcd: a CA of its own",
        Is(ETCD, "trusted-ca-file", &["/etc/kubernetes/pki/etcd/ca.crt"]),
    ),
    ("3.2.1", "an audit policy", Given(API, "audit-policy-file")),
];

const ON_ALL: &[(&str, &str, Check)] = &[
    (
        "4.1.1",
        "kubelet's unit 600, root",
        Files(
            "/etc/systemd/system/kubelet.service /etc/systemd/system/kubelet.service.d/*",
            0o600,
        ),
    ),
    (
        "4.1.5",
        "kubelet.conf 600, root",
        Files("/etc/kubernetes/kubelet.conf", 0o600),
    ),
    (
        "4.1.7",
        "clients' CA 644, root",
        Files("/etc/kubernetes/pki/ca.crt", 0o644),
    ),
    (
        "4.1.9",
        "kubelet's configuration 600, root",
        Files("/var/lib/kubelet/config.yaml", 0o600),
    ),
    (
        "4.2.1",
        "kubelet: no strangers",
        Kubelet("/authentication/anonymous/enabled", &["false"]),
    ),
    (
        "4.2.2",
        "kubelet: the API decides",
        Kubelet("/authorization/mode", &["\"Webhook\""]),
    ),
    (
        "4.2.3",
        "kubelet: clients' CA",
        KubeletGiven("/authentication/x509/clientCAFile"),
    ),
    (
        "4.2.4",
        "kubelet: no port without login",
        Kubelet("/readOnlyPort", &["0", "null"]),
    ),
    (
        "4.2.5",
        "kubelet: idle streams end",
        Kubelet("/streamingConnectionIdleTimeout", &["null", "\"0s\"", "\"4h0m0s\""]),
    ),
    (
        "4.2.6",
        "kubelet keeps its network rules",
        Kubelet("/makeIPTablesUtilChains", &["true", "null"]),
    ),
    (
        "4.2.9",
        "kubelet's certificate is issued",
        KubeletGiven("/serverTLSBootstrap"),
    ),
    (
        "4.2.10",
        "kubelet's client certificate rotates",
        Kubelet("/rotateCertificates", &["true"]),
    ),
    (
        "4.2.12",
        "kubelet: strong ciphers only",
        KubeletGiven("/tlsCipherSuites"),
    ),
    (
        "4.2.13",
        "pods have a limit of processes",
        KubeletGiven("/podPidsLimit"),
    ),
    ("4.2.14", "seccomp for every pod", Kubelet("/seccompDefault", &["true"])),
];

/// What is knowingly otherwise, and why. An item that is here and fulfilled fails too: the list must stay true.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "1.1.9",
        "flannel's own init container writes it, readable by all; there is no secret in it",
    ),
    (
        "1.2.5",
        "kubelets serve with certificates they sign themselves; an approver for their requests is not built in",
    ),
    ("4.2.9", "the same"),
];

/// What one machine runs and has.
struct Seen {
    flags: BTreeMap<String, BTreeMap<String, String>>,
    kubelet: Value,
}

/// Prints the table and judges it.
pub fn judge(lab: &Lab, machines: &[Machine], verdicts: &mut Verdicts) -> Result<()> {
    let (mut bad, mut good, mut known) = (Vec::new(), 0, 0);
    for machine in machines {
        let seen = see(lab, machine)?;
        let on_control_planes = ON_CONTROL_PLANES.iter().filter(|_| machine.name.starts_with("cp"));
        for (id, what, check) in on_control_planes.chain(ON_ALL) {
            let fault = fault(lab, machine, &seen, check)?;
            let otherwise = OTHERWISE.iter().any(|(one, _)| one == id);
            match (fault, otherwise) {
                (None, false) => good += 1,
                (Some(_), true) => known += 1,
                (Some(fault), false) => bad.push(format!("{} {id} {what}: {fault}", machine.name)),
                (None, true) => bad.push(format!(
                    "{} {id} {what}: fulfilled, but on the list of exceptions",
                    machine.name
                )),
            }
        }
    }
    for line in &bad {
        println!("           {line}");
    }
    verdicts.must(
        bad.is_empty() && good > 0,
        "the machines are set up as the CIS benchmark for Kubernetes wants them, but for the named exceptions (docs/cis.md)",
        format!("{good} checks fulfilled, {known} exceptions, {} others", bad.len()),
    );
    Ok(())
}

fn see(lab: &Lab, machine: &Machine) -> Result<Seen> {
    let script = "for p in /proc/[0-9]*; do tr '\\0' '\\t' < $p/cmdline 2>/dev/null; echo; done";
    let processes = lab.machines.run_in(&machine.id, &["sh", "-c", script])?;
    let mut flags: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for line in processes.lines() {
        let mut words = line.split('\t');
        let program = words.next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let given = words.filter_map(|word| word.strip_prefix("--"));
        let given = given.map(|word| word.split_once('=').unwrap_or((word, "true")));
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        flags.entry(program.to_owned()).or_default().extend(given);
    }
    let text = lab
        .machines
        .run_in(&machine.id, &["cat", "/var/lib/kubelet/config.yaml"])?;
    let kubelet =
        serde_saphyr::from_str(&text).with_context(|| format!("kubelet's configuration of {}", machine.name))?;
    Ok(Seen { flags, kubelet })
}

/// What is wrong, if anything.
fn fault(lab: &Lab, machine: &Machine, seen: &Seen, check: &Check) -> Result<Option<String>> {
    let flag = |program: &str, name: &str| -> Result<Option<&str>> {
        let flags = seen.flags.get(program);
        let flags = flags.with_context(|| format!("{program} does not run on {}", machine.name))?;
        Ok(flags.get(name).map(String::as_str))
    };
    let field = |path: &str| seen.kubelet.pointer(path).cloned().unwrap_or(Value::Null);
    Ok(match check {
        Is(program, name, wanted) => {
            let is = flag(program, name)?;
            (!is.is_some_and(|is| wanted.contains(&is))).then(|| format!("--{name} is {is:?}"))
        }
        Given(program, name) => flag(program, name)?.is_none().then(|| format!("no --{name}")),
        Not(program, name, evil) => {
            let is = flag(program, name)?;
            is.filter(|is| is.contains(evil)).map(|is| format!("--{name} is {is}"))
        }
        Has(program, name, wanted) => {
            let is = flag(program, name)?.unwrap_or_default();
            (!is.split(',').any(|one| one == *wanted)).then(|| format!("--{name} is {is}"))
        }
        AtLeast(program, name, least) => {
            let is = flag(program, name)?.and_then(|is| is.parse::<u64>().ok());
            (is < Some(*least)).then(|| format!("--{name} is {is:?}"))
        }
        Kubelet(path, wanted) => {
            let is = field(path).to_string();
            (!wanted.contains(&is.as_str())).then(|| format!("{path} is {is}"))
        }
        KubeletGiven(path) => field(path).is_null().then(|| format!("no {path}")),
        Files(paths, most) => {
            let script = format!("stat -c '%a %U:%G %n' {paths}");
            let said = lab.machines.run_in(&machine.id, &["sh", "-c", &script])?;
            let wide = |line: &&str| {
                let mode = line
                    .split(' ')
                    .next()
                    .and_then(|mode| u32::from_str_radix(mode, 8).ok());
                mode.is_none_or(|mode| mode & !most != 0) || !line.contains(" root:root ")
            };
            let wide: Vec<&str> = said.lines().filter(wide).collect();
            (!wide.is_empty()).then(|| wide.join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn how(check: &Check) -> String {
        match check {
            Is(program, flag, one) => format!("`{program} --{flag}={}`", one.join("` or `")),
            Given(program, flag) => format!("`{program} --{flag}` is given"),
            Not(program, flag, "") => format!("`{program} --{flag}` is not given"),
            Not(program, flag, evil) => format!("`{program} --{flag}` without `{evil}`"),
            Has(program, flag, one) => format!("`{program} --{flag}` names `{one}`"),
            AtLeast(program, flag, least) => format!("`{program} --{flag}` is {least} or more"),
            Kubelet(path, one) => format!(
                "kubelet's `{path}`: `{}`",
                one.join("`, `").replace("null", "kubelet's default")
            ),
            KubeletGiven(path) => format!("kubelet's `{path}` is given"),
            Files(paths, mode) => format!("`{paths}`: {mode:o} or narrower, root's"),
        }
    }

    fn document() -> String {
        let mut text = String::from(include_str!("cis.md.head"));
        for (id, what, check) in ON_CONTROL_PLANES.iter().chain(ON_ALL) {
            let state = match OTHERWISE.iter().find(|(one, _)| one == id) {
                Some((_, why)) => format!("**otherwise**: {why}"),
                None => "fulfilled".to_owned(),
            };
            let _ = writeln!(text, "| {id} | {what} | {} | {state} |", how(check));
        }
        text
    }

    #[test]
    fn the_table_in_docs_is_made_from_these_lists() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/cis.md");
        if std::env::var_os("SKYKEEP_WRITE_DOCS").is_some() {
            std::fs::write(file, document()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(file).unwrap(),
            document(),
            "SKYKEEP_WRITE_DOCS=1 writes it"
        );
    }
}
