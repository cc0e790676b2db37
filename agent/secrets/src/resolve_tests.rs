//! The client against a small server on loopback; the laboratory's double is the stricter judge.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use serde_json::{Value, json};
use skykeep_core::Trouble;

use super::*;

/// A status and a body.
type Canned = Option<(u16, Value)>;

#[derive(Default)]
struct Server {
    v4: Mutex<Canned>,
    v3: Mutex<Canned>,
    login: Mutex<Canned>,
    logins: AtomicUsize,
    asked: Mutex<Vec<std::collections::HashMap<String, String>>>,
}

type Answer = (StatusCode, Json<Value>);

fn answer(slot: &Mutex<Canned>) -> Answer {
    let (status, body) = slot
        .lock()
        .unwrap()
        .clone()
        .unwrap_or((404, json!({"message": "Route not found"})));
    (StatusCode::from_u16(status).unwrap(), Json(body))
}

async fn login(State(s): State<Arc<Server>>, Json(body): Json<Value>) -> Answer {
    s.logins.fetch_add(1, Ordering::SeqCst);
    if s.login.lock().unwrap().is_some() {
        return answer(&s.login);
    }
    assert_eq!(body, json!({"clientId": "the-id", "clientSecret": "the-secret"}));
    (
        StatusCode::OK,
        Json(json!({"accessToken": "tok", "expiresIn": 7200, "tokenType": "Bearer"})),
    )
}

async fn list(
    which: fn(&Server) -> &Mutex<Canned>,
    s: Arc<Server>,
    query: std::collections::HashMap<String, String>,
    headers: HeaderMap,
) -> Answer {
    assert_eq!(headers["authorization"], "Bearer tok");
    s.asked.lock().unwrap().push(query);
    answer(which(&s))
}

/// Starts the server; gives the project that points at it.
async fn start(server: Arc<Server>) -> Infisical {
    let app = Router::new()
        .route("/api/v1/auth/universal-auth/login", post(login))
        .route(
            "/api/v4/secrets",
            get(|State(s), Query(q), h: HeaderMap| list(|s| &s.v4, s, q, h)),
        )
        .route(
            "/api/v3/secrets/raw",
            get(|State(s), Query(q), h: HeaderMap| list(|s| &s.v3, s, q, h)),
        )
        .with_state(server);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Infisical {
        url,
        project_id: "proj".into(),
        environment: "prod".into(),
        path: "/skykeep".into(),
        client_id: SecretRef::Vault("infisical/client-id".into()),
        client_secret: SecretRef::Vault("infisical/client-secret".into()),
    }
}

fn vault(path: &str) -> Option<Secret> {
    match path {
        "infisical/client-id" => Some(Secret::from_string("the-id".into())),
        "infisical/client-secret" => Some(Secret::from_string("the-secret\n".into())),
        _ => None,
    }
}

fn http() -> reqwest::Client {
    // The client of the product insists on HTTPS; this one may talk to loopback.
    let tls = skykeep_core::http::Trust::public().tls().unwrap();
    reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .build()
        .unwrap()
}

fn item(name: &str, value: &str, hidden: bool) -> Value {
    json!({"id": "1", "secretKey": name, "secretValue": value, "secretValueHidden": hidden, "secretPath": "/skykeep"})
}

fn refs(names: &[&str]) -> Vec<SecretRef> {
    names.iter().map(|n| SecretRef::Infisical((*n).into())).collect()
}

async fn problem(server: Server, references: &[SecretRef]) -> String {
    let infisical = start(Arc::new(server)).await;
    let host = infisical.url.host_str().unwrap().to_owned();
    let error = resolve(references, vault, Some(&infisical), &http())
        .await
        .err()
        .expect("it must fail");
    assert!(
        error.to_string().contains(&host) || matches!(error, SecretsError::Missing { .. }),
        "names the host: {error}"
    );
    Trouble::from(error).to_string()
}

#[tokio::test]
async fn secrets_of_both_stores_come_with_one_login() {
    let pem = "-----BEGIN CERTIFICATE-----\nAA+/=\n-----END CERTIFICATE-----\n";
    let server = Arc::new(Server {
        v4: Mutex::new(Some((
            200,
            json!({"secrets": [item("A", "direct", false), item("PEM", pem, false)],
                   "imports": [{"secretPath": "/x", "environment": "prod", "secrets": [item("A", "imported", false), item("B", "imported", false)]}]}),
        ))),
        ..Server::default()
    });
    let infisical = start(server.clone()).await;
    let mut wanted = refs(&["A", "B", "PEM"]);
    wanted.push(SecretRef::Vault("infisical/client-id".into()));
    let secrets = resolve(&wanted, vault, Some(&infisical), &http()).await.unwrap();
    let text = |r: &SecretRef| secrets.get(r).unwrap().expose_str().unwrap().to_owned();
    assert_eq!(
        wanted.iter().map(text).collect::<Vec<_>>(),
        ["direct", "imported", pem, "the-id"]
    );
    assert_eq!(server.logins.load(Ordering::SeqCst), 1);
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0]["projectId"].as_str(), asked[0]["secretPath"].as_str()),
        ("proj", "/skykeep")
    );
}

#[tokio::test]
async fn a_server_without_v4_is_asked_by_v3() {
    let server = Arc::new(Server {
        v3: Mutex::new(Some((
            200,
            json!({"secrets": [item("A", "old", false)], "imports": []}),
        ))),
        ..Server::default()
    });
    let infisical = start(server.clone()).await;
    let secrets = resolve(&refs(&["A"]), vault, Some(&infisical), &http()).await.unwrap();
    assert_eq!(secrets.get(&SecretRef::Infisical("A".into())).unwrap().expose(), b"old");
    assert_eq!(server.asked.lock().unwrap()[1]["workspaceId"], "proj");
}

#[tokio::test]
async fn everything_missing_is_listed_at_once() {
    let server = Server {
        v4: Mutex::new(Some((200, json!({"secrets": [item("A", "x", false)]})))),
        ..Server::default()
    };
    let mut wanted = refs(&["A", "B", "C"]);
    wanted.push(SecretRef::Vault("nowhere".into()));
    let text = problem(server, &wanted).await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_masked_value_is_an_error_and_never_the_secret() {
    let server = Server {
        v4: Mutex::new(Some((200, json!({"secrets": [item("A", "*****", true)]})))),
        ..Server::default()
    };
    insta::assert_snapshot!(problem(server, &refs(&["A"])).await);
}

#[tokio::test]
async fn a_failed_login_is_never_repeated() {
    let server = Arc::new(Server {
        login: Mutex::new(Some((
            401,
            json!({"statusCode": 401, "message": "Invalid credentials", "error": "UnauthorizedError"}),
        ))),
        ..Server::default()
    });
    let infisical = start(server.clone()).await;
    let error = resolve(&refs(&["A"]), vault, Some(&infisical), &http())
        .await
        .err()
        .unwrap();
    assert!(!skykeep_core::Explain::is_transient(&error));
    assert_eq!(server.logins.load(Ordering::SeqCst), 1);
    insta::assert_snapshot!(Trouble::from(error).to_string());
}

#[tokio::test]
async fn refusals_say_where_and_what_to_do() {
    for status in [403, 404, 429, 500] {
        let refusal = Some((status, json!({"statusCode": status, "message": "in the store's words"})));
        let server = Server {
            v4: Mutex::new(refusal),
            ..Server::default()
        };
        insta::assert_snapshot!(format!("refused_{status}"), problem(server, &refs(&["A"])).await);
    }
}

#[tokio::test]
async fn an_answer_that_is_no_list_is_not_echoed() {
    let server = Server {
        v4: Mutex::new(Some((200, json!({"surprise": "s3cr3t"})))),
        ..Server::default()
    };
    let text = problem(server, &refs(&["A"])).await;
    assert!(!text.contains("s3cr3t"), "{text}");
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn infisical_is_left_alone_when_nothing_needs_it() {
    let wanted = [SecretRef::Vault("infisical/client-id".into())];
    assert!(resolve(&wanted, vault, None, &http()).await.is_ok());
    assert!(matches!(
        resolve(&refs(&["A"]), vault, None, &http()).await,
        Err(SecretsError::NoProject)
    ));
}
