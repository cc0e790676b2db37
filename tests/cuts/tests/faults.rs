//! Each remote client against each fault: a three-part error within the step's deadline; no hang, no panic, no success made of rubbish.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::future::{BoxFuture, join_all};
use lab_cuts::{
    relay::{Fault, start_at},
    world::castle,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use skykeep_aws::{Condition, Credentials, S3};
use skykeep_cloud::{AwsCloud, Cloud, HetznerCloud};
use skykeep_cluster::{API_NAME, API_PORT, Pki, api, pki::AdminIdentity};
use skykeep_core::{
    Deadline, Generation, Progress, Secret, Tags, Trouble,
    castle::{Castle, Cloud as Site, Hetzner, Infisical, SecretRef},
    http::Trust,
};
use skykeep_rebirth::engine::{Graph, Step};

/// How long a whole request may take here; 60 s in the product.
const REQUEST: Duration = Duration::from_secs(3);
/// The deadline of the step that the call stands in.
const STEP: Duration = Duration::from_secs(25);
const CLIENTS: [&str; 9] = [
    "infisical",
    "s3 read",
    "s3 write",
    "git",
    "ec2",
    "cloudflare",
    "hetzner",
    "kubernetes wait",
    "kubernetes read",
];
const NAMES: [&str; 10] = [
    "localhost",
    "api.hetzner.cloud",
    API_NAME,
    "ec2.eu-central-1.amazonaws.com",
    "elasticloadbalancing.eu-central-1.amazonaws.com",
    "sts.eu-central-1.amazonaws.com",
    "ssm.eu-central-1.amazonaws.com",
    "s3.eu-central-1.amazonaws.com",
    "api.cloudflare.com",
    "github.com",
];

/// The product's own client, asking where the fault is.
struct Client {
    http: reqwest::Client,
    trust: Trust,
    address: SocketAddr,
    ca_pem: String,
}

fn secret(text: &str) -> Secret {
    Secret::from_string(text.to_owned())
}

fn credentials() -> Arc<Credentials> {
    Arc::new(Credentials::new(
        "AKIATESTTESTTESTTEST",
        secret("secretsecretsecretsecretsecretsecretsecr"),
    ))
}

fn hetzner() -> Hetzner {
    let text = include_str!("../../castle/castle.yaml");
    let (head, rest) = text.split_once("cloud:\n").unwrap();
    let (_, tail) = rest.split_once("cluster:\n").unwrap();
    let ours = include_str!("../../castle/hetzner.yaml");
    let castle = Castle::parse(&format!("{head}cloud:\n{ours}cluster:\n{tail}")).unwrap();
    let Site::Hetzner(hetzner) = castle.cloud else {
        panic!("this one is at Hetzner")
    };
    hetzner
}

impl Client {
    /// Where the cluster's API should be, and who we are there.
    fn cluster(&self) -> (api::Addresses, AdminIdentity) {
        let SocketAddr::V4(address) = self.address else {
            panic!("an address of IPv4")
        };
        let derive = |_: &str| Secret::new(vec![7; 32]);
        let pki = Pki::derive("rossi", &Generation::new(1, 2), &derive).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let mut admin = pki.admin(now.as_secs().try_into().unwrap()).unwrap();
        admin.ca_der = CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).unwrap().to_vec();
        (api::Addresses::of(vec![*address.ip()]), admin)
    }

    async fn call(&self, name: &str) -> Result<String, Trouble> {
        let s3 = || S3::new(self.http.clone(), credentials(), "eu-central-1", None, "bucket");
        let said = match name {
            "infisical" => {
                let config = Infisical {
                    url: format!("https://localhost:{}", self.address.port()).parse().unwrap(),
                    project_id: "p".into(),
                    environment: "prod".into(),
                    path: "/".into(),
                    client_id: SecretRef::Vault("id".into()),
                    client_secret: SecretRef::Vault("secret".into()),
                };
                let wanted = [SecretRef::Infisical("TOKEN".into())];
                skykeep_secrets::resolve(&wanted, |_| Some(secret("x")), Some(&config), &self.http).await?;
                "all secrets".to_owned()
            }
            "s3 read" => format!("{:?}", s3()?.list("").await?.len()),
            "s3 write" => format!("{:?}", s3()?.put("key", vec![1], Condition::Absent).await?),
            "git" => {
                let mut gitops = castle().unwrap().gitops;
                gitops.url = format!("https://localhost:{}/rossi/castle.git", self.address.port())
                    .parse()
                    .unwrap();
                let until = Deadline::after(Duration::from_secs(8));
                skykeep_gitops::fetch(&gitops, None, &secret("t"), &self.trust, until)
                    .await?
                    .repository
                    .commit
            }
            "ec2" => {
                let tags = Tags {
                    castle: "rossi".into(),
                    generation: Generation::new(1, 2),
                };
                let Site::Aws(aws) = castle().unwrap().cloud else {
                    panic!("the example is at AWS")
                };
                let cloud = AwsCloud::new(self.http.clone(), credentials(), &aws, tags, None);
                format!("{:?}", cloud.preflight(&Progress::silent()).await?)
            }
            "hetzner" => {
                let tags = Tags {
                    castle: "rossi".into(),
                    generation: Generation::new(1, 2),
                };
                let token = secret("0123456789012345678901234567890123456789012345678901234567890123");
                let cloud = HetznerCloud::new(self.http.clone(), token, &hetzner(), tags, None);
                format!("{:?}", cloud.preflight(&Progress::silent()).await?)
            }
            "kubernetes wait" => {
                let (at, admin) = self.cluster();
                api::connect(&at, &admin, Deadline::after(Duration::from_secs(8))).await?;
                "the API is ready".to_owned()
            }
            "kubernetes read" => {
                let (at, admin) = self.cluster();
                format!("{:?}", api::registered(&api::client(&at, &admin)?).await?)
            }
            _ => {
                let token = secret("0123456789012345678901234567890123456789");
                let zone = skykeep_dns::Cloudflare::new(self.http.clone(), &token)
                    .connect("rossi.example")
                    .await?;
                format!("{} records", zone.records().await?.len())
            }
        };
        Ok(said)
    }
}

/// The cluster's API has a fixed port, so each of its cells has an address of its own. Git looks `localhost` up by itself.
fn place(name: &str, fault: Fault) -> SocketAddr {
    let Some(kind) = name.strip_prefix("kubernetes ") else {
        return SocketAddr::from(([127, 0, 0, 1], 0));
    };
    let row = if kind == "wait" { 1 } else { 2 };
    let column = Fault::ALL.iter().position(|one| *one == fault).unwrap();
    SocketAddr::from(([127, 77, row, u8::try_from(column + 1).unwrap()], API_PORT))
}

/// One cell: what it came to, in words, and after how long.
async fn cell(name: &'static str, fault: Fault) -> (&'static str, Fault, Result<String, String>, Duration) {
    let (address, ca) = start_at(place(name, fault), fault, &NAMES).await.unwrap();
    let trust = Trust::with_extra_pem(ca.as_bytes()).unwrap();
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(trust.tls().unwrap())
        .connect_timeout(Duration::from_secs(10))
        .timeout(REQUEST)
        .https_only(true)
        .no_proxy();
    for host in NAMES {
        builder = builder.resolve(host, address);
    }
    let client = Arc::new(Client {
        http: builder.build().unwrap(),
        trust,
        address,
        ca_pem: ca,
    });
    let step = Step {
        id: name.to_owned(),
        title: name.to_owned(),
        needs: Vec::new(),
        deadline: STEP,
        budget: Duration::ZERO,
        repeatable: true,
        work: Box::new(
            move |client: Arc<Client>, _| -> BoxFuture<'static, Result<String, Trouble>> {
                Box::pin(async move { client.call(name).await })
            },
        ),
    };
    let report = Graph::new(vec![step]).unwrap().run(client, Progress::silent()).await;
    let result = match report.failure() {
        None => Ok("success".to_owned()),
        Some((_, error)) => {
            assert!(!error.what.contains("broke off"), "{name} {fault:?} panicked");
            assert!(
                !error.what.is_empty() && !error.why.is_empty() && !error.remedy.is_empty(),
                "{name} {fault:?}: {error:?}"
            );
            Err(format!("{}: {}", error.what, error.why))
        }
    };
    (name, fault, result, report.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_ends_every_fault_with_three_parts_within_its_deadline() {
    let cells = CLIENTS
        .iter()
        .flat_map(|name| Fault::ALL.map(|fault| tokio::spawn(cell(name, fault))));
    let mut table: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for done in join_all(cells).await {
        let (name, fault, result, took) = done.unwrap();
        let said = result.expect_err(&format!("{name} made a success of {fault:?}"));
        assert!(took <= STEP + Duration::from_secs(2), "{name} {fault:?} took {took:?}");
        println!("{name} | {fault:?} | {:.1} s | {said}", took.as_secs_f64());
        table.entry(name).or_default().push(said);
    }
    assert!(table.len() == CLIENTS.len() && table.values().all(|row| row.len() == Fault::ALL.len()));
}
