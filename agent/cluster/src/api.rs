//! The way to the cluster's API: several addresses of one name, checked by that name and our CA alone.
//!
//! The client dials the addresses in turn, beginning with the one that last answered, so a dead control plane costs one refused or timed out
//! connection. TCP keepalive finds peers that lost their power.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use futures::{FutureExt, future::BoxFuture};
use http::Uri;
use hyper_util::{
    client::legacy::Client as HyperClient,
    rt::{TokioExecutor, TokioIo},
};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment},
    coordination::v1::Lease,
    core::v1::Node,
};
use kube::{Api, Client, Config, api::ListParams, client::ConfigExt, config::AuthInfo};
use skykeep_core::{
    Deadline, Explained, Trouble,
    deadline::{Look, poll},
    way::Way,
};
use tokio::net::TcpStream;
use tower::{ServiceBuilder, retry::RetryLayer, service_fn};

use crate::{API_NAME, API_PORT, ClusterError, later::Later, pki::AdminIdentity};

const EVERY: Duration = Duration::from_millis(500);
/// How long one address may take to answer.
const CONNECT: Duration = Duration::from_secs(4);

/// Where the API answers, and the way there. Shared: a client goes to new addresses as soon as they are set.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<RwLock<Vec<Ipv4Addr>>>, Way);

impl Addresses {
    /// None yet; they will be reached on this way.
    pub fn by(way: Way) -> Self {
        Addresses(Arc::default(), way)
    }

    /// These addresses.
    pub fn of(addresses: Vec<Ipv4Addr>) -> Self {
        Addresses(Arc::new(RwLock::new(addresses)), Way::default())
    }

    /// These from now on.
    pub fn set(&self, addresses: Vec<Ipv4Addr>) {
        if let Ok(mut now) = self.0.write() {
            *now = addresses;
        }
    }

    /// As they are now.
    pub fn now(&self) -> Vec<Ipv4Addr> {
        self.0.read().map(|now| now.clone()).unwrap_or_default()
    }
}

/// A client for the API at these addresses. Nothing is sent yet.
pub fn client(addresses: &Addresses, identity: &AdminIdentity) -> Result<Client, ClusterError> {
    // Somebody has to choose for the whole process; losing the race is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let fault = |why: String| Explained {
        what: "The client for the cluster's API can't be built".into(),
        why,
        remedy: "This is a fault of the program: please report it with this text.".into(),
    };
    let url = format!("https://{API_NAME}:{API_PORT}")
        .parse()
        .map_err(|_| fault("the API's URL".into()))?;
    let mut config = Config::new(url);
    config.root_cert = Some(vec![identity.ca_der.clone()]);
    config.auth_info = AuthInfo {
        client_certificate_data: Some(BASE64.encode(&identity.certificate)),
        client_key_data: Some(BASE64.encode(identity.key.expose()).into()),
        ..AuthInfo::default()
    };

    let connector = in_turn(addresses);
    let failed = ClusterError::api("preparing the client");
    let https = match config.rustls_https_connector_with_connector(connector) {
        Ok(https) => https,
        Err(e) => return Err(failed(e)),
    };
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(RetryLayer::new(Later::new()))
        .service(HyperClient::builder(TokioExecutor::new()).build(https));
    Ok(Client::new(service, "default"))
}

type Dialled = Result<TokioIo<TcpStream>, std::io::Error>;

/// Dials our addresses, whatever the name; each call begins one further, so that a peer that accepts but does not serve is passed over.
fn in_turn(
    addresses: &Addresses,
) -> impl tower::Service<Uri, Response = TokioIo<TcpStream>, Error = std::io::Error, Future = BoxFuture<'static, Dialled>>
+ Clone
+ Send
+ use<> {
    let addresses = addresses.clone();
    let turn = Arc::new(AtomicUsize::new(0));
    service_fn(move |_: Uri| -> BoxFuture<'static, Dialled> {
        let (mut now, way) = (addresses.now(), addresses.1.clone());
        let start = turn.fetch_add(1, Ordering::Relaxed) % now.len().max(1);
        now.rotate_left(start);
        Box::pin(async move {
            let mut last = std::io::Error::other("no address of the API is known");
            for address in now {
                let at = SocketAddr::from((address, API_PORT));
                match tokio::time::timeout(CONNECT, way.connect_to(at)).await {
                    Ok(Ok(stream)) => return Ok(TokioIo::new(stream)),
                    Ok(Err(e)) => last = e,
                    Err(_) => last = std::io::ErrorKind::TimedOut.into(),
                }
            }
            Err(last)
        })
    })
}

/// Waits until one API server behind these addresses is ready, and gives back a client that knows them all.
pub async fn connect(
    addresses: &Addresses,
    identity: &AdminIdentity,
    deadline: Deadline,
) -> Result<Client, ClusterError> {
    let client = client(addresses, identity)?;
    wait_ready(&client, deadline).await?;
    Ok(client)
}

/// Waits until the API says it is ready.
pub async fn wait_ready(client: &Client, deadline: Deadline) -> Result<(), ClusterError> {
    let look = || async {
        tokio::time::timeout(Duration::from_secs(5), text(client, "/readyz"))
            .await
            .unwrap_or_else(|_| Ok("no answer within 5 s".into()))
            .map(|body| {
                if body.trim() == "ok" {
                    Look::Ready(())
                } else {
                    Look::NotYet(short(&body))
                }
            })
            .map_err(Trouble::from)
    };
    Ok(poll("the cluster's API", deadline, EVERY, look).await?)
}

/// Waits until the API servers at all these addresses, which may change meanwhile, are ready: the control plane then survives the loss
/// of one.
pub async fn wait_quorum(
    addresses: &Addresses,
    identity: &AdminIdentity,
    deadline: Deadline,
) -> Result<(), ClusterError> {
    loop {
        let now = addresses.now();
        let each = now.iter().map(|address| async move {
            let client = client(&Addresses::of(vec![*address]), identity)?;
            wait_ready(&client, deadline).await
        });
        let ready = futures::future::try_join_all(each).map(|all| all.map(|_| ()));
        let changed = async {
            while addresses.now() == now {
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::select! {
            ready = ready => return ready,
            () = changed => {}
        }
    }
}

async fn text(client: &Client, path: &str) -> Result<String, ClusterError> {
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(|e| ClusterError::Plan(e.to_string()))?;
    client
        .request_text(request)
        .await
        .map_err(ClusterError::api(format!("asking for {path}")))
}

fn short(text: &str) -> String {
    text.lines()
        .filter(|line| !line.starts_with("[+]"))
        .take(3)
        .collect::<Vec<_>>()
        .join("; ")
        .chars()
        .take(200)
        .collect()
}

/// Waits until all these nodes are Ready, by the word of the machines that run now.
pub async fn wait_nodes(client: &Client, names: &[String], deadline: Deadline) -> Result<(), ClusterError> {
    let api: Api<Node> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let look = || async {
        let all = ListParams::default();
        let list = api.list(&all).await.map_err(ClusterError::api("listing nodes"))?;
        let is_one_ready = |name: &String| list.items.iter().any(|n| is_ready(n, name));
        if let Some(missing) = without(names, is_one_ready) {
            return Ok(missing);
        }
        let leases = leases
            .list(&all)
            .await
            .map_err(ClusterError::api("listing the nodes' leases"))?;
        let heard: Vec<(String, i64)> = leases.items.into_iter().filter_map(renewed).collect();
        Ok(without(names, |name| is_heard(&heard, name)).unwrap_or(Look::Ready(())))
    };
    Ok(poll("the nodes", deadline, EVERY, look).await?)
}

/// What there is to wait for while this is not so of every node.
fn without(names: &[String], is_so: impl Fn(&String) -> bool) -> Option<Look<()>> {
    let missing: Vec<&str> = names.iter().filter(|name| !is_so(name)).map(String::as_str).collect();
    (!missing.is_empty()).then(|| Look::NotYet(format!("not Ready: {}", missing.join(", "))))
}

/// A kubelet renews its lease every 10 s.
const SILENT: Duration = Duration::from_secs(15);

fn renewed(lease: Lease) -> Option<(String, i64)> {
    let time = lease.spec?.renew_time?.0.as_microsecond();
    Some((lease.metadata.name?, time))
}

/// Whether a node's kubelet was heard lately. For 50 s a cluster calls a machine Ready that is gone, also when another one comes up in
/// its place. The other nodes are the clock: this machine's own may be wrong.
fn is_heard(heard: &[(String, i64)], name: &str) -> bool {
    let newest = heard.iter().map(|(_, time)| *time).max().unwrap_or_default();
    let silent = i64::try_from(SILENT.as_micros()).unwrap_or(i64::MAX);
    heard
        .iter()
        .any(|(node, time)| node == name && newest.saturating_sub(*time) <= silent)
}

/// How long each node's kubelet has been silent, by the clock of the one that was heard last.
pub async fn silence(client: &Client) -> Result<Vec<(String, Duration)>, ClusterError> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let all = ListParams::default();
    let leases = leases.list(&all).await;
    let leases = leases.map_err(ClusterError::api("listing the nodes' leases"))?;
    let heard: Vec<(String, i64)> = leases.items.into_iter().filter_map(renewed).collect();
    let newest = heard.iter().map(|(_, time)| *time).max().unwrap_or_default();
    let since = |time: i64| Duration::from_micros(u64::try_from(newest.saturating_sub(time)).unwrap_or_default());
    Ok(heard.into_iter().map(|(name, time)| (name, since(time))).collect())
}

/// Names of the nodes that have ever joined, ready or not.
pub async fn registered(client: &Client) -> Result<Vec<String>, ClusterError> {
    let api: Api<Node> = Api::all(client.clone());
    let all = ListParams::default();
    let nodes = api.list(&all).await.map_err(ClusterError::api("listing nodes"))?;
    Ok(nodes.items.into_iter().filter_map(|n| n.metadata.name).collect())
}

fn is_ready(node: &Node, name: &str) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|s| s.conditions.as_deref())
        .unwrap_or_default();
    node.metadata.name.as_deref() == Some(name) && conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Waits until the pod network runs on every node and CoreDNS answers.
pub async fn wait_network(client: &Client, nodes: usize, deadline: Deadline) -> Result<(), ClusterError> {
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), crate::network::NAMESPACE);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), crate::network::NAMESPACE);
    let look = || async {
        for name in [crate::network::DAEMON_SET, "kube-proxy"] {
            let set = sets
                .get(name)
                .await
                .map_err(ClusterError::api(format!("reading DaemonSet {name}")))?;
            let ready = set.status.map_or(0, |s| usize::try_from(s.number_ready).unwrap_or(0));
            if ready < nodes {
                return Ok(Look::NotYet(format!("{name} runs on {ready} of {nodes} nodes")));
            }
        }
        let dns = deployments
            .get("coredns")
            .await
            .map_err(ClusterError::api("reading Deployment coredns"))?;
        let ready = dns.status.and_then(|s| s.ready_replicas).unwrap_or(0);
        Ok(if ready > 0 {
            Look::Ready(())
        } else {
            Look::NotYet("no CoreDNS pod is ready".into())
        })
    };
    Ok(poll("the pod network and CoreDNS", deadline, EVERY, look).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_fell_silent_is_not_the_one_that_runs_now() {
        let second = 1_000_000;
        let heard = |w1: i64| {
            vec![
                ("cp1".to_owned(), 1000 * second),
                ("w1".to_owned(), w1 * second),
                ("w2".to_owned(), 993 * second),
            ]
        };
        let dead = heard(970);
        assert!(is_heard(&dead, "cp1") && is_heard(&dead, "w2") && !is_heard(&dead, "w1"));
        assert!(
            is_heard(&heard(1001), "w1"),
            "the new machine's kubelet has taken the name over"
        );
        assert!(!is_heard(&dead, "w3"), "it never joined");
        assert!(!is_heard(&[], "w1"));
    }
}
