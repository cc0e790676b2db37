//! The double alone, with a backend that only remembers, for the judge: prints its port, runs until killed. Below `/lab` the judge
//! orders faults and looks behind the API.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Query, State},
    routing::{get, post},
};
use lab_hetzner::{Cloud, Config, Fault, Token};
use lab_machines::MemoryBackend;
use serde::Deserialize;

#[derive(Clone)]
struct Lab {
    cloud: Arc<Cloud>,
    backend: Arc<MemoryBackend>,
}

#[derive(Deserialize)]
struct Ask {
    action: String,
    fault: String,
    #[serde(default)]
    kind: String,
}

async fn fault(State(lab): State<Lab>, Query(ask): Query<Ask>) -> String {
    let fault = match ask.fault.as_str() {
        "rate-limit" => Fault::RateLimit,
        "unavailable" => Fault::Unavailable,
        "conflict" => Fault::Conflict,
        "fails" => Fault::Fails,
        "full" => {
            lab.cloud.faults().full(&ask.action, &ask.kind);
            return "ok".to_owned();
        }
        "clear" => {
            lab.cloud.faults().clear();
            return "ok".to_owned();
        }
        other => return format!("unknown fault {other}"),
    };
    lab.cloud.faults().next(&ask.action, 1, fault);
    "ok".to_owned()
}

async fn seen(State(lab): State<Lab>) -> Json<serde_json::Value> {
    let m = lab.backend.memory().clone();
    Json(serde_json::json!({
        "machines": m.instances.values().map(|i| (i.hostname.clone(), i.private_ip.to_string(), String::from_utf8_lossy(&i.user_data).into_owned())).collect::<Vec<_>>(),
        "firewall": format!("{:?}", m.firewall),
        "balancers": format!("{:?}", m.balancers),
        "inventory": lab.cloud.inventory(),
        "events": lab.cloud.events(),
    }))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let token = |secret: &str, read_only| Token {
        secret: secret.to_owned(),
        read_only,
    };
    let config = Config {
        tokens: vec![token("judge-token", false), token("reader-token", true)],
        pace: Duration::from_millis(300),
        ..Config::default()
    };
    let backend = Arc::new(MemoryBackend::default());
    let cloud = Cloud::start(config, backend.clone());
    let lab = Lab {
        cloud: cloud.clone(),
        backend,
    };
    let app = axum::Router::new()
        .route("/lab/fault", post(fault))
        .route("/lab/seen", get(seen))
        .with_state(lab)
        .fallback_service(cloud.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    axum::serve(listener, app).await?;
    Ok(())
}
