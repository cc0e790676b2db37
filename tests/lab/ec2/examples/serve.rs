//! The double alone, with a backend that only remembers, for the judge: prints its port, runs until killed.
//!
//! Besides AWS's names it answers at the host name `lab`: what the judge sets (faults, ill targets) and reads.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use lab_ec2::{Cloud, Config, Credential, Fault, MemoryBackend};
use serde::Deserialize;

#[derive(Clone)]
struct Lab {
    cloud: Arc<Cloud>,
    backend: Arc<MemoryBackend>,
}

#[derive(Deserialize)]
struct Ask {
    action: String,
    times: usize,
    fault: String,
    #[serde(default)]
    ms: u64,
}

async fn fault(State(lab): State<Lab>, Query(ask): Query<Ask>) -> String {
    let fault = match ask.fault.as_str() {
        "throttle" => Fault::Throttle,
        "unavailable" => Fault::Unavailable,
        "internal" => Fault::Internal,
        "lost-reply" => Fault::LostReply,
        "lost-request" => Fault::LostRequest,
        "no-capacity" => Fault::NoCapacity,
        "slow" => Fault::Slow(Duration::from_millis(ask.ms)),
        "stale" => {
            lab.cloud.faults().stale_reads(Duration::from_millis(ask.ms));
            return "ok".to_owned();
        }
        other => return format!("unknown fault {other}"),
    };
    lab.cloud.faults().next(&ask.action, ask.times, fault);
    "ok".to_owned()
}

async fn seen(State(lab): State<Lab>) -> Json<serde_json::Value> {
    let m = lab.backend.memory().clone();
    Json(serde_json::json!({
        "vpcs": m.vpcs.len(),
        "instances": m.instances.keys().collect::<Vec<_>>(),
        "user_data": m.instances.values().map(|i| hex::encode(&i.user_data)).collect::<Vec<_>>(),
        "firewall": format!("{:?}", m.firewall),
        "public": m.public,
        "routes": format!("{:?}", m.routes),
        "balancers": format!("{:?}", m.balancers),
        "inventory": lab.cloud.inventory(),
        "events": lab.cloud.events(),
        "calls": lab.cloud.calls(),
    }))
}

#[derive(Deserialize)]
struct Machine {
    id: Option<String>,
    ill: Option<String>,
    fail: Option<String>,
    says: Option<String>,
}

/// A machine prints something or dies by itself, a target falls ill, or the next launch fails.
async fn machine(State(lab): State<Lab>, Query(ask): Query<Machine>) -> String {
    let mut m = lab.backend.memory();
    match (ask.id, ask.says) {
        (Some(id), Some(text)) => {
            m.consoles.insert(id, text);
        }
        (Some(id), None) => {
            m.instances.remove(&id);
        }
        _ => {}
    }
    if let Some(Ok(target)) = ask.ill.map(|t| t.parse()) {
        m.ill.insert(target);
    }
    if ask.fail.is_some() {
        m.fail_launch = ask.fail;
    }
    "ok".to_owned()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut cfg = Config::default();
    let account = cfg.account.clone();
    let owner = Credential::user(
        &account,
        "skykeep",
        "AKIAROSSI00000000001",
        "rossi/secret+key/0123456789abcdefghijkl",
    );
    let mut session = Credential::user(&account, "guest", "ASIAROSSI00000000002", "session-secret");
    session.session_token = Some("FwoGZXIvYXdzEXAMPLE//token==".to_owned());
    let mut ended = session.clone();
    ended.access_key = "ASIAROSSI00000000003".to_owned();
    ended.expires = Some(jiff::Timestamp::from_second(1_700_000_000)?);
    let mut reader = Credential::user(&account, "reader", "AKIAROSSI00000000004", "reader-secret");
    reader.denied = ["Create*", "Run*", "Delete*", "Terminate*"]
        .map(ToOwned::to_owned)
        .to_vec();
    cfg.credentials = vec![owner, session, ended, reader];
    cfg.roles = vec![format!("arn:aws:iam::{account}:role/castle")];
    cfg.delays.balancer_active = Duration::from_millis(700);
    cfg.delays.balancer_gone = Duration::from_millis(700);
    cfg.delays.draining = Duration::from_millis(300);
    let backend = Arc::new(MemoryBackend::new(Duration::from_millis(250)));
    let cloud = Cloud::start(cfg, backend.clone());
    let lab = Lab {
        cloud: cloud.clone(),
        backend,
    };
    // A client that uses us as a proxy sends absolute URIs, so these paths cannot be mistaken for AWS's "/".
    let app = axum::Router::new()
        .route("/lab/fault", post(fault))
        .route("/lab/machine", post(machine))
        .route("/lab/seen", get(seen))
        .with_state(lab)
        .fallback_service(cloud.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    axum::serve(listener, app).await?;
    Ok(())
}
