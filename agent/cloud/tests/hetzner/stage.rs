//! The double in process, and a client for it.

use std::{sync::Arc, time::Duration};

use lab_hetzner::{Cloud as Double, Config, Token};
use lab_machines::MemoryBackend;
use skykeep_cloud::{Cloud, CloudError, Entry, HetznerCloud, PlannedNode, plan_nodes};
use skykeep_core::{
    Deadline, Generation, Progress, Secret, Tags,
    castle::{self, Castle, EntryPort, Hetzner},
    http::Trust,
};

pub const TOKEN: &str = "jEheVytlAoFl7F8MqUQ7jAo2hOXASztXjEheVytlAoFl7F8MqUQ7jAo2hOXASztX";
pub const READER: &str = "readonlyreadonlyreadonlyreadonlyreadonlyreadonlyreadonlyreadonly";
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
    pub hetzner: Hetzner,
    url: url::Url,
}

/// The example castle, with one word and its fields changed.
pub fn castle() -> Hetzner {
    let example = include_str!("../../../../tests/castle/castle.yaml");
    let (head, rest) = example.split_once("cloud:\n").unwrap();
    let (_, tail) = rest.split_once("cluster:\n").unwrap();
    let cloud = include_str!("../../../../tests/castle/hetzner.yaml");
    let castle = Castle::parse(&format!("{head}cloud:\n{cloud}cluster:\n{tail}")).unwrap();
    let castle::Cloud::Hetzner(hetzner) = castle.cloud else {
        panic!("this castle is at Hetzner")
    };
    hetzner
}

pub async fn stage() -> Stage {
    stage_with(Config::default()).await
}

pub async fn stage_with(mut config: Config) -> Stage {
    let token = |secret: &str, read_only| Token {
        secret: secret.to_owned(),
        read_only,
    };
    config.tokens = vec![token(TOKEN, false), token(READER, true)];
    config.pace = Duration::from_millis(50);
    let backend = Arc::new(MemoryBackend::default());
    let double = Double::start(config, backend.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let router = double.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Stage {
        double,
        backend,
        hetzner: castle(),
        url,
    }
}

impl Stage {
    pub fn cloud(&self) -> HetznerCloud {
        self.cloud_of(TOKEN, 7)
    }

    /// With another token, or for another generation of the same castle.
    pub fn cloud_of(&self, token: &str, generation: u128) -> HetznerCloud {
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
        let token = Secret::from_string(token.into());
        HetznerCloud::new(http, token, &self.hetzner, tags, Some(self.url.clone()))
    }

    pub fn plan(&self) -> Vec<PlannedNode> {
        plan_nodes(&castle::Cloud::Hetzner(self.hetzner.clone()))
    }

    /// Everything from nothing to registered nodes, the nodes side by side as in a rebirth.
    pub async fn build(&self, cloud: &HetznerCloud) -> Result<Entry, CloudError> {
        let progress = Progress::silent();
        let sources = ["203.0.113.7/32".parse().unwrap()];
        let network = cloud.network(&sources, &PORTS, &progress).await?;
        let entry = cloud.entry(&network, &PORTS, &progress).await?;
        let plan = self.plan();
        let nodes = plan.iter().map(|node| {
            let (network, progress) = (&network, &progress);
            async move {
                let user_data = format!("#!/bin/sh\n# {}\n", node.name);
                cloud.node(network, node, user_data.as_bytes(), 1, progress).await
            }
        });
        let nodes: Vec<_> = futures::future::join_all(nodes)
            .await
            .into_iter()
            .collect::<Result<_, _>>()?;
        let nodes = cloud.nodes_running(&nodes, soon(), &progress).await?;
        assert!(nodes.iter().all(|n| n.public_ip.is_some()));
        cloud.register(&entry, &nodes).await?;
        cloud.register(&entry, &nodes).await?;
        cloud.entry_ready(&entry, soon(), &progress).await?;
        cloud.targets_healthy(&entry, soon(), &progress).await?;
        Ok(entry)
    }

    /// An address below the API.
    pub fn address(&self, path: &str) -> url::Url {
        self.url.join(path).unwrap()
    }

    /// How often something was carried out.
    pub fn done(&self, action: &str) -> usize {
        let carried_out = |result: &str| ["ok", "lost reply"].contains(&result);
        let calls = self.double.faults().calls();
        calls
            .iter()
            .filter(|c| c.action == action && carried_out(&c.result))
            .count()
    }
}

pub fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

pub fn counts(things: &[skykeep_cloud::Thing]) -> Vec<(&str, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for thing in things {
        *counts.entry(thing.kind.as_str()).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

/// A whole castle.
pub const WHOLE: [(&str, usize); 5] = [
    ("firewall", 1),
    ("load-balancer", 1),
    ("network", 1),
    ("placement-group", 1),
    ("server", 5),
];
