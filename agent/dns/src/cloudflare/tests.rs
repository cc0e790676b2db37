//! The client against canned answers on loopback; the laboratory's double and Cloudflare's own client are the stricter judges.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode as Status,
    routing::{get, post},
};
use skykeep_core::{Explain, Trouble};

use super::*;

#[derive(Default)]
struct Server {
    verify: Option<(u16, Value)>,
    zones: Value,
    records: usize,
    batches: Mutex<Vec<Value>>,
    batch_answer: Option<(u16, Value)>,
}

fn good(result: Value) -> (Status, Json<Value>) {
    (
        Status::OK,
        Json(json!({"result": result, "success": true, "errors": [], "messages": []})),
    )
}

fn bad(answer: &(u16, Value)) -> (Status, Json<Value>) {
    let body = json!({"result": null, "success": false, "errors": [answer.1], "messages": []});
    (Status::from_u16(answer.0).unwrap(), Json(body))
}

async fn list(
    State(s): State<Arc<Server>>,
    Path(id): Path<String>,
    Query(q): Query<HashMap<String, usize>>,
) -> Json<Value> {
    assert_eq!(id, "z1");
    let (page, size) = (q["page"], q["per_page"]);
    let all: Vec<Value> = (0..s.records)
        .map(|i| json!({"id": i.to_string(), "name": "a.rossi.example", "type": "TXT", "content": "x", "ttl": 1, "proxied": false, "comment": null}))
        .collect();
    let some: Vec<_> = all.chunks(size).nth(page - 1).unwrap_or_default().to_vec();
    Json(json!({"result": some, "success": true, "errors": [], "messages": [],
        "result_info": {"page": page, "per_page": size, "total_pages": s.records.div_ceil(size)}}))
}

async fn start(server: Arc<Server>) -> Cloudflare {
    let app = Router::new()
        .route(
            "/user/tokens/verify",
            get(async |State(s): State<Arc<Server>>| s.verify.as_ref().map_or(good(json!({"status": "active"})), bad)),
        )
        .route(
            "/zones",
            get(async |State(s): State<Arc<Server>>| good(s.zones.clone())),
        )
        .route("/zones/{id}/dns_records", get(list))
        .route(
            "/zones/{id}/dns_records/batch",
            post(async |State(s): State<Arc<Server>>, Json(body): Json<Value>| {
                s.batches.lock().unwrap().push(body);
                s.batch_answer.as_ref().map_or(good(json!({})), bad)
            }),
        )
        .with_state(server);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let tls = skykeep_core::http::Trust::public().tls().unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .build()
        .unwrap();
    Cloudflare {
        http,
        token: Secret::from_string("token\n".into()),
        base,
    }
}

fn zone(status: &str, permissions: &[&str]) -> Value {
    json!([{"id": "z1", "name": "rossi.example", "status": status, "permissions": permissions}])
}

async fn connect_error(server: Server) -> String {
    let api = start(Arc::new(server)).await;
    Trouble::from(api.connect("rossi.example").await.err().expect("it must fail")).to_string()
}

#[tokio::test]
async fn all_pages_of_a_zone_are_read() {
    let server = Arc::new(Server {
        zones: zone("active", &[]),
        records: 250,
        ..Server::default()
    });
    let zone = start(server).await.connect("Rossi.example.").await.unwrap();
    assert_eq!(zone.records().await.unwrap().len(), 250);
}

#[tokio::test]
async fn a_change_is_one_batch_and_no_change_is_no_call() {
    let server = Arc::new(Server {
        zones: zone("active", &["#dns_records:edit", "#dns_records:read"]),
        ..Server::default()
    });
    let zone = start(server.clone()).await.connect("rossi.example").await.unwrap();
    zone.apply(&Change::default()).await.unwrap();
    assert!(server.batches.lock().unwrap().is_empty());
    let record = |id: &str, content: &str| Record {
        id: id.into(),
        name: "blog.rossi.example".into(),
        kind: "A".into(),
        content: content.into(),
        ttl: 300,
        proxied: false,
        comment: None,
    };
    let addresses = ["203.0.113.1".parse().unwrap(), "203.0.113.2".parse().unwrap()];
    let change = crate::plan(
        "rossi.example",
        &[record("1", "192.0.2.1")],
        &["blog.rossi.example".into()],
        &addresses,
    )
    .unwrap();
    zone.apply(&change).await.unwrap();
    let batches = server.batches.lock().unwrap();
    assert_eq!(batches.len(), 1);
    insta::assert_snapshot!(serde_json::to_string_pretty(&batches[0]).unwrap());
}

#[tokio::test]
async fn a_bad_token_says_which_token_to_make() {
    let verify = Some((401, json!({"code": 1000, "message": "Invalid API Token"})));
    insta::assert_snapshot!(
        connect_error(Server {
            verify,
            ..Server::default()
        })
        .await
    );
}

#[tokio::test]
async fn a_token_without_the_zone_says_so() {
    insta::assert_snapshot!(
        connect_error(Server {
            zones: json!([]),
            ..Server::default()
        })
        .await
    );
}

#[tokio::test]
async fn a_token_that_may_only_read_says_so() {
    let zones = zone("active", &["#dns_records:read", "#zone:read"]);
    insta::assert_snapshot!(
        connect_error(Server {
            zones,
            ..Server::default()
        })
        .await
    );
}

#[tokio::test]
async fn a_zone_that_is_not_served_says_so() {
    insta::assert_snapshot!(
        connect_error(Server {
            zones: zone("pending", &[]),
            ..Server::default()
        })
        .await
    );
}

#[tokio::test]
async fn a_refused_batch_is_told_in_the_suppliers_words() {
    let batch_answer = Some((403, json!({"code": 10000, "message": "Authentication error"})));
    let server = Arc::new(Server {
        zones: zone("active", &[]),
        batch_answer,
        ..Server::default()
    });
    let zone = start(server).await.connect("rossi.example").await.unwrap();
    let change = Change {
        deletes: zone_record(),
        ..Change::default()
    };
    let error = zone.apply(&change).await.unwrap_err();
    assert!(!error.is_transient());
    insta::assert_snapshot!(Trouble::from(error).to_string());
}

fn zone_record() -> Vec<Record> {
    vec![Record {
        id: "1".into(),
        name: "blog.rossi.example".into(),
        kind: "A".into(),
        content: "192.0.2.1".into(),
        ttl: 60,
        proxied: false,
        comment: None,
    }]
}
