//! Images whose registry refuses: put together from their copies and given to containerd, before kubelet asks for them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Client;
use serde_json::json;
use skykeep_cluster::plan::{NodePlan, Step};
use skykeep_core::{
    Deadline,
    lock::{Blob, Image},
    registry::{Reference, Registry},
};
use tokio::fs;

use super::{
    STATE, Say,
    error::NodeError,
    fetch::{Copies, Pinned, download},
    run,
};

/// A registry that does not answer by then refuses.
const ANSWER: Duration = Duration::from_secs(10);
/// Questions at a time.
const PARALLEL: usize = 6;

/// Asks for every image of the plan; takes the copy of each that its registry refuses.
pub(super) async fn bring(client: &Client, plan: &NodePlan, step: &Step, say: Say) -> Result<(), NodeError> {
    let deadline = Deadline::after(Duration::from_secs(step.deadline_s));
    let asked: Vec<(&Image, Option<String>)> = stream::iter(&plan.images)
        .map(|image| async move { (image, refusal(client, image).await) })
        .buffered(PARALLEL)
        .collect()
        .await;
    let refused: Vec<_> = asked
        .into_iter()
        .filter_map(|(image, why)| Some((image, why?)))
        .collect();
    if let Some((image, why)) = refused.first() {
        say.line(&format!(
            "{} of {} images come from the mirror; {}: {why}",
            refused.len(),
            plan.images.len(),
            image.name
        ));
    }
    for (image, _) in refused {
        let folder = PathBuf::from(STATE).join("image");
        let late = || NodeError::Late {
            what: image.name.clone(),
            limit: deadline.limit(),
            last: "its copy was on the way".into(),
        };
        let brought =
            tokio::time::timeout(deadline.remaining(), import(client, image, &plan.copies, &folder, say)).await;
        // What is left of it would only take room.
        let _ = fs::remove_dir_all(&folder).await;
        brought.map_err(|_| late())??;
    }
    Ok(())
}

/// Why the registry does not give this image now.
async fn refusal(client: &Client, image: &Image) -> Option<String> {
    let reference = match Reference::parse(&image.pinned()) {
        Ok(reference) => reference,
        Err(error) => return Some(error.to_string()),
    };
    let registry = Registry::of(client, &reference.host, None);
    match tokio::time::timeout(ANSWER, registry.digest(&reference)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("no answer".into()),
    }
}

/// Downloads an image's parts as a folder of the image specification, and has containerd read it.
async fn import(client: &Client, image: &Image, copies: &Copies, folder: &Path, say: Say) -> Result<(), NodeError> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs)
        .await
        .map_err(|e| NodeError::file(&blobs, e))?;
    stream::iter(&image.blobs)
        .map(|blob| part(client, image, blob, copies, &blobs))
        .buffer_unordered(PARALLEL)
        .try_collect::<()>()
        .await?;
    let write = |name: &str, content: String| {
        let path = folder.join(name);
        async move { fs::write(&path, content).await.map_err(|e| NodeError::file(&path, e)) }
    };
    write("oci-layout", json!({"imageLayoutVersion": "1.0.0"}).to_string()).await?;
    write("index.json", index(image)).await?;
    let script = format!(
        "cd {} && tar -cf - . | ctr -n k8s.io images import - >/dev/null",
        folder.display()
    );
    let step = Step {
        title: format!("{} from its copy", image.name),
        argv: ["sh", "-c", &script].map(str::to_owned).to_vec(),
        deadline_s: 300,
        retry: false,
        optional: false,
        wait_for: None,
        own: None,
    };
    run::step(&step, say).await
}

async fn part(client: &Client, image: &Image, blob: &Blob, copies: &Copies, folder: &Path) -> Result<(), NodeError> {
    let copy = copies.get(blob.sha256()).ok_or_else(|| NodeError::Step {
        title: format!("{} from its copy", image.name),
        why: format!("the plan names no copy of {}", blob.digest),
    })?;
    let file = Pinned {
        name: &image.name,
        url: copy.expose(),
        sha256: blob.sha256(),
        size: blob.size,
    };
    download(client, &file, &folder.join(blob.sha256())).await
}

/// The folder's table of contents: one image under both names by which it may be asked for.
fn index(image: &Image) -> String {
    let tagged = Reference::parse(&image.name).map_or_else(|_| image.name.clone(), |reference| reference.full());
    let entry = |root: &Blob, name: String| {
        json!({"mediaType": root.media_type, "digest": root.digest, "size": root.size,
            "annotations": {"io.containerd.image.name": name}})
    };
    let names = [image.pinned(), tagged];
    let manifests: Vec<_> = image.blobs.first().map_or_else(Vec::new, |root| {
        names.into_iter().map(|name| entry(root, name)).collect()
    });
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests})
        .to_string()
}
