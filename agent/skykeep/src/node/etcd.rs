//! This machine's place in etcd, when it takes that of a dead control plane: asks the others by etcd's JSON gateway, does what
//! [`skykeep_cluster::etcd`] decides, until that says it is done.

use std::{path::Path, time::Duration};

use futures::future::join_all;
use reqwest::Client;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::Deserialize;
use serde_json::{Value, json};
use skykeep_cluster::{
    etcd::{self, Join, Member, Next},
    plan::{NodePlan, Own, Step},
};
use skykeep_core::{Deadline, explain::chain};

use super::{Say, error::NodeError};

/// kubeadm's keys: an API server's certificate opens etcd.
const PKI: &str = "/etc/kubernetes/pki";
/// There once etcd has begun here.
const DATA: &str = "/var/lib/etcd/member";
/// One question.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Members {
    members: Vec<Member>,
}

/// Does one of etcd's two steps of the plan.
pub(super) async fn step(plan: &NodePlan, step: &Step, say: Say) -> Result<(), NodeError> {
    let failed = |why: String| NodeError::Step {
        title: step.title.clone(),
        why,
    };
    let Some(join) = &plan.etcd else {
        return Err(failed("the plan does not say whom to ask".into()));
    };
    let before = step.own == Some(Own::EtcdJoin);
    if before && Path::new(DATA).exists() {
        say.line("etcd has begun here already");
        return Ok(());
    }
    let client = client(Path::new(PKI)).map_err(failed)?;
    let decide = |members: &[Member], answering| match before {
        true => etcd::before_start(join, members, answering),
        false => etcd::after_start(join, members),
    };
    let limit = Duration::from_secs(step.deadline_s);
    follow(&client, join, decide, Deadline::after(limit), say)
        .await
        .map_err(|last| NodeError::Late {
            what: step.title.clone(),
            limit,
            last,
        })
}

/// Asks, decides, does, until there is nothing left to do. The error is what was seen last.
async fn follow(
    client: &Client,
    join: &Join,
    decide: impl Fn(&[Member], usize) -> Next,
    deadline: Deadline,
    say: Say,
) -> Result<(), String> {
    let mut said = String::new();
    loop {
        let (at, members, answering) = ask(client, join).await;
        let change = match decide(&members, answering) {
            Next::Start | Next::Done => return Ok(()),
            Next::Wait(why) => Err(why),
            Next::Remove(id) => Ok((format!("the dead member {id} is removed"), "remove", json!({"ID": id}))),
            Next::Add => {
                let body = json!({"peerURLs": [join.peer_url], "isLearner": true});
                Ok(("this machine is added as a learner".into(), "add", body))
            }
            Next::Promote(id) => Ok(("the learner here gets its vote".into(), "promote", json!({"ID": id}))),
        };
        let now = match change {
            Ok((what, action, body)) => match post(client, at, action, &body).await {
                Ok(_) => format!("etcd: {what}"),
                Err(why) => format!("etcd: {what}: not yet, {why}"),
            },
            Err(why) => format!("etcd: {why}"),
        };
        if said != now {
            say.line(&now);
            said = now;
        }
        if deadline.remaining() < EVERY {
            return Err(said);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Asks all others at once for what a majority agrees on: one that answers, the members, how many answer.
async fn ask<'a>(client: &Client, join: &'a Join) -> (&'a str, Vec<Member>, usize) {
    let question = json!({"linearizable": true});
    let each = join.others.iter().map(async |url| {
        let answer = post(client, url, "list", &question).await.ok()?;
        let members: Members = serde_json::from_value(answer).ok()?;
        Some((url.as_str(), members.members))
    });
    let answers: Vec<_> = join_all(each).await.into_iter().flatten().collect();
    let answering = answers.len();
    let (url, members) = answers.into_iter().next().unwrap_or_default();
    (url, members, answering)
}

async fn post(client: &Client, url: &str, action: &str, body: &Value) -> Result<Value, String> {
    let request = client.post(format!("{url}/v3/cluster/member/{action}")).json(body);
    let answer = request.send().await.map_err(|e| chain(&e))?;
    let fine = answer.status().is_success();
    let answer: Value = answer.json().await.map_err(|e| chain(&e))?;
    match answer.get("message").and_then(Value::as_str) {
        Some(message) if !fine => Err(message.chars().take(200).collect()),
        _ if !fine => Err("it refuses without a word".into()),
        _ => Ok(answer),
    }
}

/// A client that etcd lets in.
fn client(pki: &Path) -> Result<Client, String> {
    let path = |name: &str| pki.join(name);
    let ca = CertificateDer::from_pem_file(path("etcd/ca.crt")).map_err(|e| format!("etcd/ca.crt: {e}"))?;
    let own = path("apiserver-etcd-client.crt");
    let own = CertificateDer::from_pem_file(own).map_err(|e| format!("apiserver-etcd-client.crt: {e}"))?;
    let key = path("apiserver-etcd-client.key");
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| format!("apiserver-etcd-client.key: {e}"))?;
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(|e| e.to_string())?;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![own], key)
        .map_err(|e| e.to_string())?;
    Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(ANSWER)
        .https_only(true)
        .no_proxy()
        .build()
        .map_err(|e| chain(&e))
}
