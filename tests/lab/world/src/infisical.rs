//! A double of Infisical's API, as far as machine identities and reading secrets go.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::credentials::Credentials;
use crate::http::{self as web, Body, Request, bearer, param, random_hex, set};

const LOCK_AFTER: usize = 3;
const LOCK_FOR: Duration = Duration::from_secs(300);
const FAILURES_FORGOTTEN_AFTER: Duration = Duration::from_secs(30);
const TOKEN_LIFE: Duration = Duration::from_secs(7200);
const READS_PER_MINUTE: usize = 200;
/// Environment of the castle's secrets.
pub const ENVIRONMENT: &str = "prod";
/// Folder of the castle's secrets.
pub const FOLDER: &str = "/skykeep";

/// The double with its secrets.
pub struct Infisical {
    client_id: String,
    client_secret: String,
    project: String,
    secrets: BTreeMap<String, String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: Vec<Instant>,
    locked_until: Option<Instant>,
    tokens: HashMap<String, Instant>,
    reads: VecDeque<Instant>,
}

impl Infisical {
    /// Serves `secrets` of the castle's folder to the machine identity of `credentials`.
    pub fn new(credentials: &Credentials, secrets: BTreeMap<String, String>) -> Self {
        Self {
            client_id: credentials.infisical_client_id.clone(),
            client_secret: credentials.infisical_client_secret.clone(),
            project: credentials.infisical_project_id.clone(),
            secrets,
            state: Mutex::default(),
        }
    }

    /// Answers one request.
    pub async fn serve(&self, request: Request) -> Response<Body> {
        let path = request.uri().path().trim_end_matches('/').to_owned();
        if path == "/api/status" {
            return web::json(
                StatusCode::OK,
                &json!({"message": "Ok", "emailConfigured": true, "secretScanningConfigured": false}),
            );
        }
        if request.method() == Method::POST && path == "/api/v1/auth/universal-auth/login" {
            return match web::read(request.into_body(), 1 << 16).await {
                Ok(body) => self.login(&body),
                Err(error) => fail(StatusCode::BAD_REQUEST, "BadRequest", &format!("{error:#}")),
            };
        }
        let lists = [("/api/v4/secrets", "projectId"), ("/api/v3/secrets/raw", "workspaceId")];
        for (base, project) in lists {
            let Some(rest) = path.strip_prefix(base) else { continue };
            if request.method() != Method::GET || !(rest.is_empty() || rest.starts_with('/')) {
                continue;
            }
            if let Err(refused) = self.admit(bearer(request.headers())) {
                return *refused;
            }
            let query = web::query(&request);
            return self.read(rest.trim_start_matches('/'), param(&query, project), &query);
        }
        fail(
            StatusCode::NOT_FOUND,
            "NotFound",
            &format!("Route {}:{path} not found", request.method()),
        )
    }

    fn login(&self, body: &[u8]) -> Response<Body> {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let (Some(id), Some(secret)) = (value["clientId"].as_str(), value["clientSecret"].as_str()) else {
            return fail(
                StatusCode::UNPROCESSABLE_ENTITY,
                "ValidationFailure",
                "clientId and clientSecret are required",
            );
        };
        let Ok(mut state) = self.state.lock() else {
            return fail(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "poisoned");
        };
        let now = Instant::now();
        if id != self.client_id {
            return fail(StatusCode::UNAUTHORIZED, "UnauthorizedError", "Invalid credentials");
        }
        if state.locked_until.is_some_and(|until| now < until) {
            return fail(
                StatusCode::UNAUTHORIZED,
                "UnauthorizedError",
                "This identity auth method is temporarily locked, please try again later",
            );
        }
        if secret != self.client_secret {
            if state
                .failures
                .last()
                .is_some_and(|last| now.duration_since(*last) > FAILURES_FORGOTTEN_AFTER)
            {
                state.failures.clear();
            }
            state.failures.push(now);
            if state.failures.len() >= LOCK_AFTER {
                state.failures.clear();
                state.locked_until = Some(now + LOCK_FOR);
            }
            return fail(StatusCode::UNAUTHORIZED, "UnauthorizedError", "Invalid credentials");
        }
        state.failures.clear();
        let token = format!(
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{}.{}",
            random_hex(48),
            random_hex(16)
        );
        state.tokens.insert(token.clone(), now + TOKEN_LIFE);
        web::json(
            StatusCode::OK,
            &json!({"accessToken": token, "expiresIn": TOKEN_LIFE.as_secs(), "accessTokenMaxTTL": 2_592_000, "tokenType": "Bearer"}),
        )
    }

    fn admit(&self, token: Option<&str>) -> Result<(), Box<Response<Body>>> {
        let Some(token) = token else {
            return Err(Box::new(fail(
                StatusCode::UNAUTHORIZED,
                "UnauthorizedError",
                "Token missing",
            )));
        };
        let mut state = self.state.lock().map_err(|_| {
            Box::new(fail(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalServerError",
                "poisoned",
            ))
        })?;
        let now = Instant::now();
        match state.tokens.get(token) {
            None => {
                let words = "The provided access token is malformed. Please use a valid token or generate a new one and try again.";
                return Err(Box::new(fail(StatusCode::FORBIDDEN, "TokenError", words)));
            }
            Some(until) if now > *until => {
                return Err(Box::new(fail(
                    StatusCode::FORBIDDEN,
                    "TokenError",
                    "Your token has expired. Please re-authenticate.",
                )));
            }
            Some(_) => {}
        }
        while state
            .reads
            .front()
            .is_some_and(|first| now.duration_since(*first) > Duration::from_secs(60))
        {
            state.reads.pop_front();
        }
        if state.reads.len() >= READS_PER_MINUTE {
            let wait = state
                .reads
                .front()
                .map_or(60, |first| 60 - now.duration_since(*first).as_secs().min(60));
            let words = format!("Rate limit exceeded. Please try again in {wait} seconds");
            let mut response = fail(StatusCode::TOO_MANY_REQUESTS, "RateLimitExceeded", &words);
            set(response.headers_mut(), "retry-after", &wait.to_string());
            return Err(Box::new(response));
        }
        state.reads.push_back(now);
        Ok(())
    }

    fn read(&self, name: &str, project: Option<&str>, query: &[(String, String)]) -> Response<Body> {
        if project != Some(self.project.as_str()) {
            return match project {
                None => fail(StatusCode::BAD_REQUEST, "BadRequest", "Missing project id or slug"),
                Some(other) => fail(
                    StatusCode::NOT_FOUND,
                    "NotFound",
                    &format!("Project with ID '{other}' not found"),
                ),
            };
        }
        let environment = param(query, "environment").unwrap_or_default();
        let folder = match param(query, "secretPath").unwrap_or("/").trim_end_matches('/') {
            "" => "/",
            folder => folder,
        };
        if environment != ENVIRONMENT || !(folder == FOLDER || folder == "/") {
            let words = format!("Folder with path '{folder}' in environment with slug '{environment}' not found");
            return fail(StatusCode::NOT_FOUND, "NotFound", &words);
        }
        let here = folder == FOLDER;
        let shown = param(query, "viewSecretValue") != Some("false");
        if name.is_empty() {
            let all = here || param(query, "recursive") == Some("true");
            let secrets: Vec<Value> = self
                .secrets
                .iter()
                .filter(|_| all)
                .map(|(key, value)| self.secret(key, value, shown))
                .collect();
            return web::json(StatusCode::OK, &json!({"secrets": secrets, "imports": []}));
        }
        match self.secrets.get_key_value(name).filter(|_| here) {
            Some((key, value)) => web::json(StatusCode::OK, &json!({"secret": self.secret(key, value, shown)})),
            None => fail(
                StatusCode::NOT_FOUND,
                "NotFound",
                &format!("Secret with name '{name}' not found"),
            ),
        }
    }

    fn secret(&self, key: &str, value: &str, shown: bool) -> Value {
        let id = crate::credentials::derive(&format!("infisical secret id {key}"), b"0123456789abcdef", 32);
        let id = format!(
            "{}-{}-4{}-a{}-{}",
            &id[..8],
            &id[8..12],
            &id[12..15],
            &id[15..18],
            &id[18..30]
        );
        json!({
            "id": id, "_id": id, "workspace": self.project, "environment": ENVIRONMENT, "version": 1, "type": "shared",
            "secretKey": key, "secretValue": if shown { value } else { "<hidden-by-infisical>" }, "secretValueHidden": !shown,
            "secretComment": "", "secretReminderNote": null, "secretReminderRepeatDays": null, "skipMultilineEncoding": false,
            "createdAt": "2026-11-01T08:00:00.000Z", "updatedAt": "2026-11-01T08:00:00.000Z",
            "isRotatedSecret": false, "rotationId": null, "secretPath": FOLDER, "tags": [], "secretMetadata": [],
        })
    }
}

fn fail(status: StatusCode, error: &str, message: &str) -> Response<Body> {
    let body = json!({"reqId": format!("req-{}", &random_hex(7)), "statusCode": status.as_u16(), "message": message, "error": error});
    web::json(status, &body)
}
