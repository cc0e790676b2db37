//! Infisical: universal auth, then one list of a folder (API v4, else v3).

use std::collections::BTreeMap;

use async_trait::async_trait;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use skykeep_core::{
    Secret,
    castle::{Infisical, SecretRef},
    explain::chain,
};
use zeroize::Zeroizing;

use crate::{
    error::SecretsError,
    json::{self, Hush},
    store::{Fetched, Look, Store, entry},
};

/// The body of a login.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Login<'a> {
    client_id: &'a str,
    client_secret: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token<'a> {
    #[serde(borrow)]
    access_token: Hush<'a>,
}

#[derive(Deserialize)]
struct Listing<'a> {
    #[serde(borrow)]
    secrets: Vec<Item<'a>>,
    #[serde(borrow, default)]
    imports: Vec<Import<'a>>,
}

#[derive(Deserialize)]
struct Import<'a> {
    #[serde(borrow, default)]
    secrets: Vec<Item<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    #[serde(borrow)]
    secret_key: Hush<'a>,
    #[serde(borrow, default)]
    secret_value: Hush<'a>,
    #[serde(default)]
    secret_value_hidden: bool,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    message: serde_json::Value,
}

/// An Infisical project as a store of secrets.
pub(crate) struct InInfisical<'a> {
    pub(crate) config: Option<&'a Infisical>,
    pub(crate) vault: Look<'a>,
    pub(crate) http: &'a reqwest::Client,
}

#[async_trait]
impl Store for InInfisical<'_> {
    fn keeps(&self, reference: &SecretRef) -> bool {
        matches!(reference, SecretRef::Infisical(_))
    }

    async fn fetch(&self, wanted: &[&SecretRef]) -> Result<Fetched, SecretsError> {
        let config = self.config.ok_or(SecretsError::NoProject)?;
        let mut identity = Fetched::default();
        for reference in [&config.client_id, &config.client_secret] {
            identity.take(reference, entry(self.vault, reference));
        }
        let key = |reference| identity.found.get(reference);
        let (Some(id), Some(secret)) = (key(&config.client_id), key(&config.client_secret)) else {
            return Ok(identity);
        };
        let client = Client {
            config,
            http: self.http,
        };
        let token = client.login(id, secret).await?;
        let mut listed = client.list(&token).await?;
        let mut fetched = Fetched::default();
        for reference in wanted {
            let SecretRef::Infisical(name) = reference else {
                continue;
            };
            match listed.remove(name) {
                Some(secret) => drop(fetched.found.insert((*reference).clone(), secret)),
                None => fetched.missing.push(format!(
                    "{reference} is not in environment {}, folder {} at {}",
                    config.environment,
                    config.path,
                    client.host()
                )),
            }
        }
        Ok(fetched)
    }
}

/// What a client needs to know about one project.
struct Client<'a> {
    config: &'a Infisical,
    http: &'a reqwest::Client,
}

impl Client<'_> {
    fn host(&self) -> String {
        self.config.url.host_str().unwrap_or("(no host)").to_owned()
    }

    fn place(&self) -> String {
        format!(
            "project {}, environment {}, folder {}",
            self.config.project_id, self.config.environment, self.config.path
        )
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.config.url.as_str().trim_end_matches('/'))
    }

    fn unreachable(&self, error: &reqwest::Error) -> SecretsError {
        SecretsError::Unreachable {
            host: self.host(),
            why: chain(error),
        }
    }

    fn rubbish(&self, why: String) -> SecretsError {
        SecretsError::Rubbish {
            host: self.host(),
            why,
            passing: false,
        }
    }

    async fn body(&self, response: reqwest::Response) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
        json::body(response)
            .await
            .map_err(|why| SecretsError::Unreachable { host: self.host(), why })
    }

    /// One login, never repeated: three failures lock the identity for five minutes.
    async fn login(&self, id: &Secret, secret: &Secret) -> Result<Secret, SecretsError> {
        let text = |s: &Secret, name: &str| match s.expose_str() {
            Some(text) => Ok(Zeroizing::new(text.trim().to_owned())),
            None => Err(SecretsError::Login {
                host: self.host(),
                why: format!("the {name} in the vault is no text"),
            }),
        };
        let (client_id, client_secret) = (text(id, "client id")?, text(secret, "client secret")?);
        let login = Login {
            client_id: &client_id,
            client_secret: &client_secret,
        };
        // Room from the start, so that growing leaves no copy; wiped when the HTTP client lets go of it.
        let mut body = Zeroizing::new(Vec::with_capacity(2 * (client_id.len() + client_secret.len()) + 256));
        serde_json::to_writer(&mut *body, &login).map_err(|e| self.rubbish(e.to_string()))?;
        let request = self
            .http
            .post(self.address("/api/v1/auth/universal-auth/login"))
            .header("content-type", "application/json")
            .body(bytes::Bytes::from_owner(body));
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        let body = self.body(response).await?;
        if !status.is_success() {
            return Err(self.refused(status, &body, true));
        }
        let token: Token =
            serde_json::from_slice(&body).map_err(|e| self.rubbish(format!("the login's answer: {}", position(&e))))?;
        Ok(Secret::from_string(token.access_token.as_str().to_owned()))
    }

    /// Every secret of the folder.
    async fn list(&self, token: &Secret) -> Result<BTreeMap<String, Secret>, SecretsError> {
        let common = [
            ("environment", self.config.environment.as_str()),
            ("secretPath", self.config.path.as_str()),
            ("viewSecretValue", "true"),
            ("expandSecretReferences", "true"),
        ];
        let project = self.config.project_id.as_str();
        let mut v4 = vec![
            ("projectId", project),
            ("includeImports", "true"),
            ("include_imports", "true"),
        ];
        v4.extend(common);
        let (status, body) = self.get("/api/v4/secrets", &v4, token).await?;
        // An older server has no v4 and answers 404, as it does for an unknown project: only v3 tells the two apart.
        if status == StatusCode::NOT_FOUND || status == StatusCode::METHOD_NOT_ALLOWED {
            let mut v3 = vec![("workspaceId", project), ("include_imports", "true")];
            v3.extend(common);
            let (status3, body3) = self.get("/api/v3/secrets/raw", &v3, token).await?;
            // A server without v3 says "Route ... not found" there; then v4's words are the ones that count.
            let no_route = status3 == StatusCode::NOT_FOUND && body3.windows(5).any(|w| w == b"Route");
            return if no_route {
                self.read(status, &body)
            } else {
                self.read(status3, &body3)
            };
        }
        self.read(status, &body)
    }

    async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        token: &Secret,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), SecretsError> {
        let mut url = reqwest::Url::parse(&self.address(path)).map_err(|e| self.rubbish(e.to_string()))?;
        url.query_pairs_mut().extend_pairs(query);
        let bearer = token
            .expose_str()
            .ok_or_else(|| self.rubbish("the access token is no text".into()))?;
        let response = self
            .http
            .get(url)
            .bearer_auth(bearer)
            .send()
            .await
            .map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        Ok((status, self.body(response).await?))
    }

    fn read(&self, status: StatusCode, body: &[u8]) -> Result<BTreeMap<String, Secret>, SecretsError> {
        if !status.is_success() {
            return Err(self.refused(status, body, false));
        }
        let listed = read_listing(body).map_err(|why| self.rubbish(format!("the list of secrets: {why}")))?;
        if listed.hidden.is_empty() {
            Ok(listed.secrets)
        } else {
            Err(SecretsError::Hidden {
                host: self.host(),
                names: listed.hidden,
            })
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8], login: bool) -> SecretsError {
        let words = match serde_json::from_slice::<Refusal>(body).map(|r| r.message) {
            Ok(serde_json::Value::String(text)) => text,
            Ok(serde_json::Value::Null) | Err(_) => "no explanation".to_owned(),
            Ok(other) => other.to_string(),
        };
        let mut words: String = words.chars().filter(|c| !c.is_control()).take(300).collect();
        words = format!("it answered {}: {words}", status.as_u16());
        let (host, place) = (self.host(), self.place());
        match status {
            StatusCode::TOO_MANY_REQUESTS => SecretsError::Throttled { host, why: words },
            _ if login && status.is_client_error() => SecretsError::Login { host, why: words },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => SecretsError::Forbidden {
                host,
                place,
                why: words,
            },
            StatusCode::NOT_FOUND => SecretsError::NotFound {
                host,
                place,
                why: words,
            },
            _ => SecretsError::Rubbish {
                host,
                why: words,
                passing: status.is_server_error(),
            },
        }
    }
}

/// What a list of a folder says.
pub struct Listed {
    /// The secrets by name, those of imports included (their priority is lower, the last import wins among them).
    pub secrets: BTreeMap<String, Secret>,
    /// Names whose values are masked.
    pub hidden: Vec<String>,
}

/// Reads the list of a folder (v4 or v3). The error says where it is wrong, without its text.
pub fn read_listing(body: &[u8]) -> Result<Listed, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|e| position(&e))?;
    let mut listed = Listed {
        secrets: BTreeMap::new(),
        hidden: Vec::new(),
    };
    let all = listing.imports.iter().flat_map(|i| &i.secrets).chain(&listing.secrets);
    for item in all {
        let name = item.secret_key.as_str().to_owned();
        if item.secret_value_hidden {
            listed.hidden.push(name);
            continue;
        }
        let value = item.secret_value.as_str().to_owned();
        listed.secrets.insert(name, Secret::from_string(value));
    }
    Ok(listed)
}

/// Where an answer is wrong, without its text: it may hold a secret.
fn position(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Syntax => "it is no JSON",
        _ => "a field is missing or of another type",
    };
    format!("{kind} (line {}, column {})", error.line(), error.column())
}
