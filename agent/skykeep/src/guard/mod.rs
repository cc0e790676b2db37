//! `skykeep guard`: what stays in the castle when the laptop has gone. Watches Services of type LoadBalancer, gives their ports the node
//! ports that the entry's balancer knows, and tells them the entry's addresses.

mod decide;

use std::{collections::BTreeMap, path::Path, time::Duration};

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use skykeep_cluster::{FIELD_MANAGER, guard::Entry};
use skykeep_core::{Explained, Trouble, explain::chain};
use tokio::signal::unix::{SignalKind, signal};

/// The entry may change (its ConfigMap is mounted), a patch may have failed: look again this often.
const AGAIN: Duration = Duration::from_secs(20);

/// Runs until it is told to end.
pub async fn run(config_path: &Path) -> Result<(), Trouble> {
    // Fails only when one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_default()
        .await
        .map_err(|e| problem("The cluster's API can't be reached", &e))?;
    let mut end = signal(SignalKind::terminate()).map_err(|e| problem("SIGTERM can't be watched", &e))?;
    read(config_path)?;

    let services: Api<Service> = Api::all(client.clone());
    let mut events = Box::pin(watcher(services, watcher::Config::default()).default_backoff());
    let mut known: BTreeMap<(String, String), Service> = BTreeMap::new();
    let mut again = tokio::time::interval(AGAIN);
    println!("guard: watching");
    loop {
        tokio::select! {
            _ = end.recv() => return Ok(()),
            _ = again.tick() => {
                for service in known.values() {
                    settle(&client, service, config_path).await;
                }
            }
            event = events.try_next() => match event {
                Ok(Some(watcher::Event::Init)) => known.clear(),
                Ok(Some(watcher::Event::Apply(service) | watcher::Event::InitApply(service))) => {
                    settle(&client, &service, config_path).await;
                    known.insert(key(&service), service);
                }
                Ok(Some(watcher::Event::Delete(service))) => {
                    known.remove(&key(&service));
                }
                Ok(Some(watcher::Event::InitDone)) => {}
                Ok(None) => return Ok(()),
                // The stream backs off and begins anew by itself.
                Err(e) => println!("guard: watching services: {}", chain(&e)),
            }
        }
    }
}

fn key(service: &Service) -> (String, String) {
    (service.namespace().unwrap_or_default(), service.name_any())
}

fn problem(what: &str, e: &(dyn std::error::Error + 'static)) -> Explained {
    Explained {
        what: what.into(),
        why: chain(e),
        remedy: "The guard runs as a pod of the castle; look at its ServiceAccount and at the API servers.".into(),
    }
}

fn read(path: &Path) -> Result<Entry, Explained> {
    let broken = |why: String| Explained {
        what: format!("The entry's description {} can't be read", path.display()),
        why,
        remedy: "Run the rebirth again: it writes the ConfigMap skykeep-system/entry.".into(),
    };
    let text = std::fs::read(path).map_err(|e| broken(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))
}

/// Brings one Service in order. What fails is said and tried again at the next look.
async fn settle(client: &Client, service: &Service, config_path: &Path) {
    let entry = match read(config_path) {
        Ok(entry) => entry,
        Err(e) => return println!("guard: {e}"),
    };
    let Some(wanted) = decide::decide(service, &entry) else {
        return;
    };
    let (namespace, name) = key(service);
    if let Err(e) = apply(client, &namespace, &name, &wanted).await {
        println!("guard: {namespace}/{name}: {}", chain(&e));
    } else {
        println!("guard: {namespace}/{name}: entry set");
    }
}

async fn apply(client: &Client, namespace: &str, name: &str, wanted: &decide::Wanted) -> Result<(), kube::Error> {
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    if let Some(ports) = &wanted.ports {
        let patch = serde_json::from_value(ports.clone()).map_err(kube::Error::SerdeError)?;
        api.patch(name, &params, &Patch::<Service>::Json(patch)).await?;
    }
    if let Some(status) = &wanted.status {
        api.patch_status(name, &params, &Patch::Merge(status)).await?;
    }
    Ok(())
}
