//! Treasures of every shape: that each came back to its owner, and that the guard stays when the laptop has gone.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    audit,
    host::{castle, last},
    inspect::machines,
    lab::Lab,
    places::Places,
    verdicts::Verdicts,
};

/// Treasures of castle.yaml and shapes.yaml.
const TREASURES: usize = 7;
/// Those of them that a drill can try: not the database.
const FILES: usize = 6;
/// How long an application may take that starts when its treasure is back.
const PATIENCE: Duration = Duration::from_secs(90);

/// Makes an administrator's certificate on a control plane, where the authority's key lies: the laboratory is root there.
const ADMINISTRATOR: &str = "mkdir -p /run/laboratory && cd /run/laboratory && [ -e cert.pem ] || { \
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out request.pem \
        -subj /O=system:masters/CN=laboratory 2>/dev/null && \
    openssl x509 -req -in request.pem -CA /etc/kubernetes/pki/ca.crt -CAkey /etc/kubernetes/pki/ca.key \
        -CAserial serial -CAcreateserial -days 1 -out cert.pem 2>/dev/null; }";

/// The castle's API, asked from its first control plane as an administrator.
pub struct Kubernetes<'a> {
    lab: &'a Lab,
    id: String,
}

impl<'a> Kubernetes<'a> {
    pub fn of(lab: &'a Lab) -> Result<Self> {
        let first = machines(lab).into_iter().find(|m| m.name == "cp1");
        let id = first.context("there is no cp1")?.id;
        lab.machines.run_in(&id, &["sh", "-ec", ADMINISTRATOR])?;
        Ok(Kubernetes { lab, id })
    }

    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("https://api.castle.internal:6443{path}");
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut args = vec![
            "curl",
            "-sS",
            "--max-time",
            "20",
            "--cacert",
            "/etc/kubernetes/pki/ca.crt",
            "--cert",
            "/run/laboratory/cert.pem",
            "--key",
            "/run/laboratory/key.pem",
        ];
        args.extend(["-X", method, "-H", "Content-Type: application/json"]);
        if !body.is_empty() {
            args.extend(["-d", &body]);
        }
        args.push(&url);
        let said = self.lab.machines.run_in(&self.id, &args)?;
        serde_json::from_str(&said).with_context(|| format!("{method} {path}: {said}"))
    }

    fn list(&self, path: &str) -> Result<Vec<Value>> {
        let answer = self.ask("GET", path, None)?;
        let items = answer["items"].as_array().cloned();
        items.with_context(|| format!("GET {path}: {answer}"))
    }

    /// Asks until it is so, or patience ends.
    async fn until(&self, mut so: impl FnMut(&Self) -> Result<bool>) -> Result<bool> {
        let begin = Instant::now();
        loop {
            if tokio::task::block_in_place(|| so(self))? {
                return Ok(true);
            }
            if begin.elapsed() > PATIENCE {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn pod_is_ready(&self, app: &str) -> Result<bool> {
        let pods = self.list(&format!("/api/v1/namespaces/web/pods?labelSelector={app}"))?;
        Ok(pods.iter().any(|pod| {
            let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
        }))
    }
}

/// Applications of every shape run on what came back.
pub async fn look(lab: &Lab, verdicts: &mut Verdicts) -> Result<()> {
    let api = tokio::task::block_in_place(|| Kubernetes::of(lab))?;
    let mut missing = Vec::new();
    for app in ["app=blog", "app=wiki", "app=notes", "app=shelf", "app=attic"] {
        if !api.until(|api| api.pod_is_ready(app)).await? {
            missing.push(app);
        }
    }
    verdicts.must(
        missing.is_empty(),
        "claims of every owner came back before their pods ran: manifest, StatefulSet template, Helm chart, a pod with two, a DaemonSet on one machine, \
         a volume of Longhorn's without Longhorn",
        format!("{} not ready {}", missing.len(), missing.join(" ")),
    );
    let read = api
        .until(|api| {
            let jobs = api.list("/apis/batch/v1/namespaces/web/jobs?labelSelector=app=proof-reader")?;
            Ok(jobs.iter().any(|job| job["status"]["succeeded"] == 1))
        })
        .await?;
    verdicts.must(
        read,
        "a CronJob that mounts a treasure reads every file of it as it was backed up",
        "sha256sum -c, 202 files",
    );
    let release = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/web/helmreleases/notes";
    let release = tokio::task::block_in_place(|| api.ask("GET", release, None))?;
    let history = release["status"]["history"].as_array().cloned().unwrap_or_default();
    let statuses: Vec<&str> = history.iter().filter_map(|h| h["status"].as_str()).collect();
    let failed = release["status"]["failures"].as_u64().unwrap_or(0);
    let good = statuses.first() == Some(&"deployed") && statuses.iter().all(|s| *s != "uninstalled");
    verdicts.must(
        good && history.iter().any(|h| h["version"].as_u64() > Some(1)),
        "a HelmRelease that waited far beyond its timeout of 10 s was neither rolled back nor uninstalled",
        format!("versions: {}; failures counted {failed}", statuses.join(", ")),
    );
    let claims = tokio::task::block_in_place(|| api.list("/api/v1/namespaces/web/persistentvolumeclaims"))?;
    let told: Vec<&str> = claims
        .iter()
        .filter_map(|c| c["metadata"]["annotations"]["skykeep.dev/progress"].as_str())
        .collect();
    verdicts.must(
        told.len() == TREASURES && told.iter().all(|t| t.starts_with("done: ")),
        "each claim says to kubectl how its restore ended",
        told.first().copied().unwrap_or("none"),
    );
    Ok(())
}

/// The laptop is off. A claim that is made anew stays empty for nobody: it is refused, and the owner brings it back.
pub async fn guard(lab: &Lab, places: &Places, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    let api = tokio::task::block_in_place(|| Kubernetes::of(lab))?;
    let claims = "/api/v1/namespaces/web/persistentvolumeclaims";
    tokio::task::block_in_place(|| -> Result<()> {
        api.ask("DELETE", &format!("{claims}/pages-wiki-0"), None)?;
        api.ask("DELETE", "/api/v1/namespaces/web/pods/wiki-0", None)?;
        Ok(())
    })?;
    let refused = api
        .until(|api| {
            let events =
                api.list("/api/v1/namespaces/web/events?fieldSelector=involvedObject.name=wiki,reason=FailedCreate")?;
            Ok(events
                .iter()
                .any(|e| e["message"].as_str().is_some_and(|m| m.contains("skykeep restore"))))
        })
        .await?;
    let anew = serde_json::json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "pages-wiki-0"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let answer = tokio::task::block_in_place(|| api.ask("POST", claims, Some(&anew)))?;
    let message = answer["message"].as_str().unwrap_or_default().to_owned();
    verdicts.must(
        refused && answer["kind"] == "Status" && message.contains("skykeep restore") && !api.pod_is_ready("app=wiki")?,
        "with the laptop gone, a treasure's claim that is made anew is refused, to its StatefulSet and to a person, and the message says what to do",
        message.rsplit(": ").next().unwrap_or_default(),
    );
    let (code, out, err) = castle(places, folder, &["restore", "wiki", "--again", "wiki"])?;
    let back = api.until(|api| api.pod_is_ready("app=wiki")).await?;
    if code != Some(0) {
        println!("{out}\n{err}");
    }
    verdicts.must(
        code == Some(0) && back,
        "`skykeep restore wiki --again wiki` brings it back, and its pod runs again",
        last(&out, &err),
    );
    Ok(())
}

/// Every backup can be restored outside the castle as well; then what the audit logs say of all that was done.
pub async fn drill_and_audit(lab: &Lab, places: &Places, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    let into = places.work.join("drill");
    let into = into.to_str().context("path")?;
    let (code, out, err) = castle(places, folder, &["drill", "-o", "json", "--into", into])?;
    let report = out
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str::<Value>(line).ok())
        .unwrap_or_default();
    let drilled = report["drill"].as_array().cloned().unwrap_or_default();
    let good = drilled.iter().filter(|d| d["good"] == true).count();
    let left = std::fs::read_dir(into).map_or(0, Iterator::count);
    let untried = drilled
        .iter()
        .any(|d| d["treasure"] == "db" && d["error"]["what"] == "`db` was not tried");
    verdicts.must(
        code == Some(1) && good == FILES && untried && left == 0,
        "the drill restores and verifies every backup of files in a folder of this machine, leaves nothing there, and calls the database untried",
        format!("{good} of {FILES}, {left} left; {}", last("", &err)),
    );
    let api = tokio::task::block_in_place(|| Kubernetes::of(lab))?;
    tokio::task::block_in_place(|| {
        let apps = "/api/v1/namespaces/web/pods?labelSelector=!skykeep.dev%2Frestore";
        let pods = api.list(apps)?;
        let mounts = |pod: &&Value| {
            let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
            volumes.iter().any(|v| v["persistentVolumeClaim"].is_object())
        };
        let name = |pod: &Value| format!("web/{}", pod["metadata"]["name"].as_str().unwrap_or_default());
        let mounting: Vec<String> = pods.iter().filter(mounts).map(name).collect();
        audit::verdict(lab, &mounting, TREASURES, verdicts)
    })
}
