//! Our client beside Infisical's own: what they sent was recorded (`tests/lab/judge-world/record`), and the answer that they understood is given to ours.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json,
    extract::Request,
    http::{StatusCode, Uri},
};
use serde_json::{Map, Value, json};
use skykeep_core::{
    Secret,
    castle::{Infisical, SecretRef},
};

fn recorded() -> Value {
    serde_json::from_str(include_str!("infisical-sdks.json")).unwrap()
}

/// A request as the recorder writes it down.
async fn written_down(request: Request) -> Value {
    let mut record = json!({"method": request.method().as_str(), "path": request.uri().path()});
    let query = request.uri().query().unwrap_or_default();
    let query: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if !query.is_empty() {
        record["query"] = json!(query);
    }
    let mut headers = Map::new();
    for name in ["authorization", "content-type"] {
        if let Some(value) = request.headers().get(name) {
            headers.insert(name.into(), value.to_str().unwrap().into());
        }
    }
    record["headers"] = headers.into();
    let body = axum::body::to_bytes(request.into_body(), 4096).await.unwrap();
    if !body.is_empty() {
        record["body"] = serde_json::from_slice(&body).unwrap();
    }
    record
}

/// What our client sends to a server that knows these paths, and what it understands.
async fn ours(knows: fn(&Uri) -> bool) -> (Vec<Value>, String) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&seen);
    let app = axum::Router::new().fallback(async move |request: Request| {
        let (method, known) = (request.method().to_string(), knows(request.uri()));
        let record = written_down(request).await;
        if !known {
            return (StatusCode::NOT_FOUND, Json(json!({"message": "Route not found"})));
        }
        writer.lock().unwrap().push(record);
        (StatusCode::OK, Json(recorded()["answers"][method].clone()))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let project = Infisical {
        url,
        project_id: "a-project".into(),
        environment: "prod".into(),
        path: "/folder".into(),
        client_id: SecretRef::Vault("id".into()),
        client_secret: SecretRef::Vault("secret".into()),
    };
    let vault = |path: &str| {
        Some(Secret::from_string(format!(
            "a{}-{path}",
            if path == "id" { "n" } else { "" }
        )))
    };
    let wanted = [SecretRef::Infisical("NAME".into())];
    // The client of the product insists on HTTPS; this one may talk to loopback.
    let tls = skykeep_core::http::Trust::public().tls().unwrap();
    let http = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls);
    let http = http.build().unwrap();
    let found = skykeep_secrets::resolve(&wanted, vault, Some(&project), &http).await;
    let found = found.unwrap_or_else(|e| panic!("{}", skykeep_core::Trouble::from(e)));
    let value = found.get(&wanted[0]).unwrap().expose_str().unwrap().to_owned();
    let seen = seen.lock().unwrap().clone();
    (seen, value)
}

#[tokio::test]
async fn to_a_server_of_the_third_version_it_sends_what_infisicals_own_clients_send() {
    let (sent, value) = ours(|uri| !uri.path().starts_with("/api/v4")).await;
    assert_eq!(value, "its value");
    for (client, theirs) in recorded()["clients"].as_object().unwrap() {
        let mut theirs = theirs.as_array().unwrap().clone();
        assert_eq!(theirs.len(), 2, "{client}");
        let listing = theirs[1]["query"].as_object_mut().unwrap();
        // What a server does unasked.
        assert_eq!(listing.remove("recursive"), Some("false".into()));
        // Ours wants imports too, as the client for Python does.
        listing.insert("include_imports".into(), "true".into());
        // A GET has no content whose type could be told; the client for Python tells it all the same.
        theirs[1]["headers"].as_object_mut().unwrap().remove("content-type");
        assert_eq!(sent, theirs, "{client}");
    }
}

#[tokio::test]
async fn to_a_newer_server_it_sends_the_same_by_the_newer_names() {
    let (sent, value) = ours(|_| true).await;
    assert_eq!(value, "its value");
    let theirs = &recorded()["clients"]["infisicalsdk 1.0.17 (Python)"];
    assert_eq!(sent[0], theirs[0]);
    let mut expected = theirs[1].clone();
    expected["path"] = "/api/v4/secrets".into();
    expected["headers"].as_object_mut().unwrap().remove("content-type");
    let query = expected["query"].as_object_mut().unwrap();
    query.remove("recursive");
    let project = query.remove("workspaceId").unwrap();
    query.insert("projectId".into(), project);
    query.insert("includeImports".into(), "true".into());
    assert_eq!(sent[1], expected);
}
