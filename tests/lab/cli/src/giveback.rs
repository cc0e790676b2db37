//! The castle is given back to Git: shown, refused while the branch would undo it, done, and proven.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    host::{castle, last},
    lab::Lab,
    places::Places,
    rehearse::{BLOG, page},
    shapes::Kubernetes,
    verdicts::Verdicts,
};

const DDNS: &str = "apps/ddns/ddns.yaml";
const SOURCE: &str = "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories/flux-system";
const ROOT: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/flux-system";

/// Shows, gives back, and looks at Flux's own objects.
pub async fn look(lab: &Lab, places: &Places, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    let kubernetes = Kubernetes::of(lab)?;
    let ddns = kubernetes.ask("GET", "/apis/apps/v1/namespaces/web/deployments/ddns", None)?;
    let pods = kubernetes.ask("GET", "/api/v1/namespaces/web/pods?labelSelector=app%3Dddns", None)?;
    let reason = ddns["metadata"]["annotations"]["skykeep.dev/injected"]
        .as_str()
        .unwrap_or_default();
    verdicts.must(
        ddns["spec"]["replicas"] == 0 && pods["items"].as_array().is_some_and(Vec::is_empty),
        "the held writer stands at 0 replicas, through Flux's own patches, and says why",
        reason,
    );

    // The owner mends what broke the blog, and keeps the old castle's DDNS program switched off for good.
    let good = std::fs::read_to_string(places.tree.join("tests/castle/repo").join(BLOG))?;
    let mended = lab.world.push(BLOG, |_| good).await?;
    let (code, out, err) = castle(places, folder, &["release"])?;
    let shows = [
        "+    commit: ",
        "-  replicas: 1",
        "+  replicas: 0",
        "skykeep release Deployment/web/ddns --yes",
    ];
    verdicts.must(
        code == Some(3) && shows.iter().all(|word| out.contains(word)),
        "`skykeep release` shows pin and patch as diffs to commit, and changes nothing",
        last(&out, &err),
    );
    let off = lab
        .world
        .push(DDNS, |yaml| yaml.replace("replicas: 1", "replicas: 0"))
        .await?;
    ensure!(off != mended, "nothing was pushed");
    let (code, out, err) = castle(places, folder, &["release", "--yes"])?;
    println!("{out}");
    let same = out
        .lines()
        .find(|line| line.contains("objects of the repository once more"))
        .unwrap_or_default();
    verdicts.must(
        code == Some(0) && same.ends_with("each is the same before and after."),
        "`skykeep release --yes` takes patch and pin away, and Flux alone gives the same castle at the branch's head",
        if same.is_empty() {
            last(&out, &err)
        } else {
            same.to_owned()
        },
    );
    let (source, root) = (kubernetes.ask("GET", SOURCE, None)?, kubernetes.ask("GET", ROOT, None)?);
    let revision = source["status"]["artifact"]["revision"].as_str().unwrap_or_default();
    let ours = |object: &Value| -> Vec<String> {
        let fields = object["metadata"]["managedFields"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let names = fields.iter().filter_map(|f| f["manager"].as_str());
        names
            .filter(|name| name.starts_with("skykeep"))
            .map(str::to_owned)
            .collect()
    };
    let left = [ours(&source), ours(&root)].concat();
    verdicts.must(
        revision.ends_with(&off)
            && source["spec"]["ref"]["commit"].is_null()
            && root["spec"]["patches"].is_null()
            && left.is_empty(),
        "Flux's source and root carry no pin, no patch and no field of ours",
        format!("{revision}; {left:?}"),
    );
    page(lab, verdicts).await;
    Ok(())
}
