//! Everything outside the laptop: AWS's double, a bucket, Cloudflare's double, and an account of what was restored.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use axum::body::Body;
use http::{Method, Response, StatusCode};
use lab_ec2::{Cloud as Double, Config, Credential, Delays, MemoryBackend};
use lab_world::{Credentials as Keys, cloudflare::Cloudflare};
use skykeep_aws::{Credentials, S3};
use skykeep_core::{Secret, castle::Castle, castle::SecretRef, http::Trust, lock::Lock, owner::OwnersPart};
use skykeep_rebirth::{
    Estate,
    pulse::{Pen, Spec},
};
use skykeep_vault::{KdfParams, Vault};
use tower::ServiceExt;

use crate::{front, s3::Bucket};

const NAMES: [&str; 11] = [
    "ec2.eu-central-1.amazonaws.com",
    "elasticloadbalancing.eu-central-1.amazonaws.com",
    "sts.eu-central-1.amazonaws.com",
    "iam.amazonaws.com",
    "ssm.eu-central-1.amazonaws.com",
    "servicequotas.eu-central-1.amazonaws.com",
    "s3.eu-central-1.amazonaws.com",
    "checkip.amazonaws.com",
    "api.cloudflare.com",
    // The old castle's page, and the bucket for a client that goes by address.
    "blog.rossi.example",
    "127.0.0.1",
];
/// Where the names point before a rebirth: nothing listens there.
pub const OLD_CASTLE: &str = "127.0.0.1";

/// One world for one story.
pub struct World {
    /// AWS.
    pub double: Arc<Double>,
    /// Its machines.
    pub backend: Arc<MemoryBackend>,
    /// The state bucket.
    pub bucket: Arc<Bucket>,
    /// The zone.
    pub cloudflare: Arc<Cloudflare>,
    /// How many batches of DNS changes were carried out.
    pub batches: Arc<AtomicU32>,
    /// The (scripted) restores that came to their end.
    restores: Mutex<Vec<String>>,
    laptop_address: Arc<Mutex<String>>,
    address: SocketAddr,
    ca_pem: String,
    keys: Keys,
}

/// The vault of the example castle, sealed once; opening it costs Argon2 at its lowest.
pub struct Owner {
    sealed: Vec<u8>,
    passphrase: Secret,
}

impl Owner {
    /// Makes it. Every secret that the castle names lies in the vault, so that nothing else has to be asked.
    pub fn new(keys: &Keys) -> Result<Self> {
        let passphrase = Secret::from_string("seven lanterns over the quiet harbour".to_owned());
        let params = KdfParams {
            m_kib: 64 * 1024,
            t: 3,
            p: 4,
        };
        let mut vault = Vault::create(&passphrase, params).map_err(|e| anyhow!("{e:?}"))?;
        for reference in castle()?.secret_refs() {
            let SecretRef::Vault(path) = reference else { continue };
            let value = match path.as_str() {
                "AWS_ACCESS_KEY_ID" => &keys.aws_access_key_id,
                "AWS_SECRET_ACCESS_KEY" => &keys.aws_secret_access_key,
                "CLOUDFLARE_API_TOKEN" => &keys.cloudflare_token,
                "CLOUDFLARE_KEYS_TOKEN" => &keys.cloudflare_keys_token,
                "KEYS_ACCESS_KEY_ID" => &keys.keys_access_key_id,
                "KEYS_SECRET_ACCESS_KEY" => &keys.keys_secret_access_key,
                _ => "nothing asks for this one here",
            };
            vault
                .put(&path, Secret::from_string(value.to_owned()), "", None)
                .map_err(|e| anyhow!("{e:?}"))?;
        }
        let sealed = vault.seal().map_err(|e| anyhow!("{e:?}"))?;
        Ok(Owner { sealed, passphrase })
    }
}

/// The example castle with its secrets in the vault instead of Infisical.
pub fn castle() -> Result<Castle> {
    Castle::parse(&castle_text()?).map_err(|e| anyhow!("{e}"))
}

/// Its text.
pub fn castle_text() -> Result<String> {
    let text = include_str!("../../castle/castle.yaml")
        .replace(": infisical:", ": vault:")
        .replace("\"infisical:", "\"vault:");
    let (before, rest) = text
        .split_once("secrets:\n  infisical:\n")
        .context("castle.yaml begins otherwise")?;
    let (_, after) = rest.split_once("state:\n").context("castle.yaml goes on otherwise")?;
    Ok(format!("{before}state:\n{after}"))
}

fn lock() -> Result<Lock> {
    let artifact = |name: &str, unpack: Option<&str>| {
        serde_json::json!({"name": name, "url": format!("https://dl.example/{name}"), "sha256": "a".repeat(64), "size": 1,
            "dest": format!("/usr/local/bin/{name}"), "mode": "0755", "unpack": unpack})
    };
    let images = [
        "pause",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "etcd",
        "coredns/coredns",
    ];
    let images: Vec<_> = images
        .iter()
        .map(|i| format!("registry.k8s.io/{i}"))
        .chain(["ghcr.io/flannel-io/flannel".to_owned()])
        .map(|i| serde_json::json!({"name": format!("{i}:v1"), "digest": format!("sha256:{}", "b".repeat(64))}))
        .collect();
    let artifacts = [
        artifact("kubelet", None),
        artifact("kubeadm", None),
        artifact("containerd", Some("tar.gz")),
        artifact("runc", None),
        artifact("cni-plugins", Some("tar.gz")),
        artifact("flannel-cni", None),
        artifact("skykeep", None),
    ];
    let text = serde_json::json!({"version": 1, "kubernetes": "v1.36.3", "images": images, "artifacts": artifacts});
    Lock::parse(&text.to_string()).map_err(|e| anyhow!("{e}"))
}

impl World {
    /// The restores that came to their end, by their steps' names.
    pub fn restores(&self) -> MutexGuard<'_, Vec<String>> {
        self.restores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A world in which nothing stands yet but the old castle's DNS records.
    pub async fn new() -> Result<Arc<Self>> {
        let keys = Keys::laboratory();
        let user = |name: &str, id: &str, secret: &str| Credential::user("123456789012", name, id, secret);
        let credentials = vec![
            user("castle", &keys.aws_access_key_id, &keys.aws_secret_access_key),
            user("keys", &keys.keys_access_key_id, &keys.keys_secret_access_key),
            user("old-castle", &keys.old_access_key_id, &keys.old_secret_access_key),
        ];
        let backend = Arc::new(MemoryBackend::default());
        let config = Config {
            credentials,
            delays: Delays {
                balancer_active: Duration::from_millis(500),
                balancer_gone: Duration::from_millis(500),
                ..Config::default().delays
            },
            ..Config::default()
        };
        let double = Double::start(config, backend.clone());
        let bucket = Arc::new(Bucket::default());
        // The castle that burnt gave its last pulse three hours ago.
        bucket.leave("rossi/pulse/home", b"not for us to open", Duration::from_secs(3 * 3600));
        let cloudflare = Arc::new(Cloudflare::without_servers(&keys));
        cloudflare.point("blog.rossi.example", OLD_CASTLE).await;
        let batches = Arc::new(AtomicU32::new(0));
        let laptop_address = Arc::new(Mutex::new("198.51.100.7".to_owned()));
        let (tls, ca_pem) = front::tls(&NAMES)?;
        let handler: front::Handler = {
            let (aws, bucket, cloudflare) = (double.router(), bucket.clone(), cloudflare.clone());
            let (batches, from) = (batches.clone(), laptop_address.clone());
            Arc::new(move |name, request| {
                let (aws, bucket, cloudflare) = (aws.clone(), bucket.clone(), cloudflare.clone());
                let (batches, from) = (batches.clone(), from.clone());
                Box::pin(async move {
                    match name.as_str() {
                        "s3.eu-central-1.amazonaws.com" | "" => bucket.serve(request).await,
                        "blog.rossi.example" => Response::new(Body::from("the old castle's page")),
                        "checkip.amazonaws.com" => {
                            Response::new(Body::from(from.lock().unwrap_or_else(PoisonError::into_inner).clone()))
                        }
                        "api.cloudflare.com" => {
                            let batch = request.method() == Method::POST && request.uri().path().ends_with("/batch");
                            let answer = cloudflare.serve(request).await;
                            if batch && answer.status() == StatusCode::OK {
                                batches.fetch_add(1, Ordering::SeqCst);
                            }
                            answer.map(Body::new)
                        }
                        _ => match aws.oneshot(request.map(Body::new)).await {
                            Ok(answer) => answer,
                            Err(never) => match never {},
                        },
                    }
                })
            })
        };
        let address = front::serve(tls, handler).await?;
        Ok(Arc::new(World {
            double,
            backend,
            bucket,
            cloudflare,
            batches,
            restores: Mutex::default(),
            laptop_address,
            address,
            ca_pem,
            keys,
        }))
    }

    /// Where all servers of this world listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority of all of them.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The pulse job's pen, as it would be in the old castle; its files go into `folder`.
    pub fn pen(&self, estate: &Estate, folder: &Path) -> Result<Pen> {
        let spec = Spec {
            endpoint: Some(format!("https://127.0.0.1:{}/", self.address.port()).parse()?),
            ..Spec::of(&estate.castle, "home")
        };
        let seal: String = estate.pulse_key().expose().iter().map(|b| format!("{b:02x}")).collect();
        for (name, text) in [
            ("pulse.json", serde_json::to_string(&spec)?.as_str()),
            ("ca.pem", self.ca_pem.as_str()),
            ("access-key-id", "AKIA"),
            ("secret-access-key", "secret"),
            ("seal", seal.as_str()),
        ] {
            std::fs::write(folder.join(name), text)?;
        }
        Pen::open(&folder.join("pulse.json"), folder).map_err(|e| anyhow!("{e}"))
    }

    /// From now on laptops come from this address.
    pub fn laptop_at(&self, address: &str) {
        *self.laptop_address.lock().unwrap_or_else(PoisonError::into_inner) = address.to_owned();
    }

    /// A laptop that was just switched on: nothing in it but what the owner carries.
    pub async fn estate(&self, owner: &Owner) -> Result<Arc<Estate>> {
        self.estate_of(owner, castle()?).await
    }

    /// The same with a castle file that was changed a little.
    pub async fn estate_of(&self, owner: &Owner, castle: Castle) -> Result<Arc<Estate>> {
        let trust = Trust::with_extra_pem(self.ca_pem.as_bytes()).map_err(|e| anyhow!("{e}"))?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(trust.tls().map_err(|e| anyhow!("{e}"))?)
            .timeout(Duration::from_secs(60))
            .https_only(true)
            .no_proxy();
        for name in NAMES {
            builder = builder.resolve(name, self.address);
        }
        let http = builder.build()?;
        let part = OwnersPart {
            castle,
            lock: lock()?,
            vault: owner.sealed.clone(),
            trust,
        };
        let (sealed, passphrase) = (owner.sealed.clone(), owner.passphrase.duplicate());
        let opened = tokio::task::spawn_blocking(move || Vault::open(&sealed, &passphrase)).await?;
        let vault = opened.map_err(|e| anyhow!("{e:?}"))?;
        let mut estate = Estate::open(part, vault).await.map_err(|e| anyhow!("{e}"))?;
        // The same clients, but every name leads to the front.
        let secret = Secret::from_string(self.keys.aws_secret_access_key.clone());
        let credentials = Arc::new(Credentials::new(self.keys.aws_access_key_id.clone(), secret));
        let state = &estate.castle.state;
        estate.s3 = Arc::new(S3::new(http.clone(), credentials, &state.region, None, &state.bucket)?);
        estate.http = http;
        Ok(Arc::new(estate))
    }
}
