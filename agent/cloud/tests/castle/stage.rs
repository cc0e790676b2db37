//! The double in process, and a client for it.

use std::{sync::Arc, time::Duration};

use lab_ec2::{Cloud as Double, Config, Credential, MemoryBackend};
use skykeep_aws::Credentials;
use skykeep_cloud::{AwsCloud, Cloud, CloudError, PlannedNode, plan_nodes};
use skykeep_core::{
    Deadline, Generation, Progress, Secret, Tags,
    castle::{self, Aws, Castle, EntryPort},
    http::Trust,
};

pub const KEY: &str = "AKIATESTTESTTESTTEST";
pub const SECRET: &str = "secretsecretsecretsecretsecretsecretsecr";
pub const PORTS: [EntryPort; 2] = [
    EntryPort {
        port: 80,
        node_port: 30080,
    },
    EntryPort {
        port: 443,
        node_port: 30443,
    },
];

pub struct Stage {
    pub double: Arc<Double>,
    pub backend: Arc<MemoryBackend>,
    pub url: url::Url,
    pub aws: Aws,
}

/// The example castle's cloud, with the one image that the double has.
pub fn castle() -> Aws {
    let example = Castle::parse(include_str!("../../../../tests/castle/castle.yaml")).unwrap();
    let castle::Cloud::Aws(aws) = example.cloud else {
        panic!("the example is at AWS")
    };
    Aws {
        image: lab_ec2::IMAGE.into(),
        ..aws
    }
}

pub async fn stage() -> Stage {
    stage_with(Config::default()).await
}

pub async fn stage_with(mut config: Config) -> Stage {
    if config.credentials.is_empty() {
        config.credentials = vec![Credential::user("123456789012", "castle", KEY, SECRET)];
    }
    // For `tests/lab/ec2/judge/run`: what we send is held against AWS's own models.
    config.record = std::env::var_os("LAB_EC2_RECORD").map(Into::into);
    let backend = Arc::new(MemoryBackend::default());
    let double = Double::start(config, backend.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let router = double.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Stage {
        double,
        backend,
        url,
        aws: castle(),
    }
}

impl Stage {
    pub fn cloud(&self, secret: &str) -> AwsCloud {
        self.cloud_as(Credentials::new(KEY, Secret::from_string(secret.to_owned())))
    }

    pub fn cloud_as(&self, credentials: Credentials) -> AwsCloud {
        self.cloud_of(credentials, 7)
    }

    /// Another generation of the same castle.
    pub fn cloud_of(&self, credentials: Credentials, generation: u128) -> AwsCloud {
        let tls = Trust::public().tls().unwrap();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .build()
            .unwrap();
        let tags = Tags {
            castle: "rossi".into(),
            generation: Generation::new(1_790_000_000_000, generation),
        };
        AwsCloud::new(http, Arc::new(credentials), &self.aws, tags, Some(self.url.clone()))
    }

    /// The castle's nodes.
    pub fn plan(&self) -> Vec<PlannedNode> {
        plan_nodes(&castle::Cloud::Aws(self.aws.clone()))
    }

    /// Everything from nothing to registered nodes.
    pub async fn build(&self, cloud: &AwsCloud) -> Result<skykeep_cloud::Entry, CloudError> {
        let progress = Progress::silent();
        let network = cloud
            .network(&["203.0.113.7/32".parse().unwrap()], &PORTS, &progress)
            .await?;
        let entry = cloud.entry(&network, &PORTS, &progress).await?;
        let mut nodes = Vec::new();
        for node in self.plan() {
            let user_data = format!("#cloud-config\n# {}\n", node.name);
            nodes.push(cloud.node(&network, &node, user_data.as_bytes(), 1, &progress).await?);
        }
        let nodes = cloud.nodes_running(&nodes, soon(), &progress).await?;
        assert!(nodes.iter().all(|n| n.public_ip.is_some()));
        cloud.register(&entry, &nodes).await?;
        cloud.register(&entry, &nodes).await?;
        cloud.entry_ready(&entry, soon(), &progress).await?;
        cloud.targets_healthy(&entry, soon(), &progress).await?;
        Ok(entry)
    }
}

pub fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

pub fn count(things: &[skykeep_cloud::Thing], kind: &str) -> usize {
    things.iter().filter(|t| t.kind == kind).count()
}
