//! Ordering a restore: the Job in the cluster that does it, followed until the data is verified, and only then the
//! ledger's word and the lifting of the gate. A second order of the same treasure finds the first one's work.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams},
};
use skykeep_core::{Deadline, Progress, Secret, Trouble, deadline::Look, poll};

use crate::{
    RestoreError,
    follow::{Verified, follow},
    gate::{self, GATE, core},
    job::{JobSpec, Outcome},
    jobs::{self, Target},
    ledger, longhorn, objects, owner,
};

/// One treasure to bring back.
pub struct Order<'a> {
    /// The treasure's name.
    pub name: &'a str,
    /// Namespace of its claim.
    pub namespace: &'a str,
    /// The claim.
    pub claim: &'a str,
    /// Where the backup is and what of it is wanted.
    pub source: Source<'a>,
    /// Access key id for the bucket.
    pub access_key_id: &'a Secret,
    /// Secret access key for the bucket.
    pub secret_access_key: &'a Secret,
    /// Extra CAs, PEM; may be empty.
    pub extra_ca_pem: &'a str,
    /// Our own image, pinned by digest.
    pub image: &'a str,
}

/// What kind of backup it is.
pub enum Source<'a> {
    /// A restic repository, and its password.
    Restic(&'a JobSpec, &'a Secret),
    /// A Longhorn backup.
    Longhorn(&'a longhorn::job::Spec),
}

impl<'a> Order<'a> {
    fn target(&self) -> Target<'a> {
        Target {
            treasure: self.name,
            namespace: self.namespace,
            claim: self.claim,
        }
    }
}

impl Verified for Outcome {
    fn text(&self) -> String {
        format!("{} files, {} bytes", self.files, self.bytes)
    }
}

/// How an order ended.
#[derive(Debug)]
pub enum Done {
    /// The ledger already said so: nothing was restored.
    Already,
    /// Restored and verified now.
    Now(Outcome),
}

/// Carries an order out.
pub async fn restore(
    client: &Client,
    order: &Order<'_>,
    deadline: Deadline,
    progress: &Progress,
) -> Result<Done, Trouble> {
    let (namespace, claim, target) = (order.namespace, order.claim, order.target());
    if ledger::is_done(client, namespace, claim).await? {
        gate::lift_for_good(client, namespace, claim, Deadline::after(Duration::from_secs(60))).await?;
        return Ok(Done::Already);
    }
    wait_for_claim(client, namespace, claim, deadline).await?;
    progress.note(format!("{namespace}/{claim} is there; the restore starts"));
    jobs::start(client, target, deadline, objects::objects(order, &target.job_name())?).await?;
    let outcome = follow(client, target, deadline, progress).await?;
    let lifted = let_go(client, target).await?;
    progress.note(format!("verified; the gate of {lifted} pods is lifted"));
    Ok(Done::Now(outcome))
}

/// The data is back: the ledger says so, the pods go, and the backup's keys do not stay in the cluster. Returns how many pods
/// were held.
pub(crate) async fn let_go(client: &Client, target: Target<'_>) -> Result<usize, Trouble> {
    let (namespace, claim) = (target.namespace, target.claim);
    ledger::mark_done(client, namespace, claim).await?;
    let lifted = gate::lift_for_good(client, namespace, claim, Deadline::after(Duration::from_secs(60))).await?;
    jobs::clean(client, target).await?;
    Ok(lifted)
}

/// The claim's uid; `None` when there is no such claim. A claim that was deleted and made anew has another one.
pub async fn claim_uid(client: &Client, namespace: &str, claim: &str) -> Result<Option<String>, RestoreError> {
    let claims: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        namespace,
        &core("PersistentVolumeClaim", "persistentvolumeclaims"),
    );
    let found = claims.get_opt(claim).await;
    let found = found.map_err(|e| RestoreError::kube("look for the claim", &e))?;
    Ok(found.and_then(|c| c.metadata.uid))
}

/// Makes a claim ready for a second restore: the ledger says `pending`, the first restore's job goes, and every pod that
/// mounts the claim is ended, so that whoever comes after it is held by the gate.
pub async fn again(
    client: &Client,
    treasure: &str,
    (namespace, claim): (&str, &str),
    deadline: Deadline,
    progress: &Progress,
) -> Result<(), Trouble> {
    let target = Target {
        treasure,
        namespace,
        claim,
    };
    ledger::reopen(client, namespace, claim).await?;
    gate::wait_closed(client, namespace, claim, deadline).await?;
    jobs::remove(client, target).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    poll(
        &format!("the pods that mount {namespace}/{claim} to end"),
        deadline,
        Duration::from_secs(1),
        || async {
            let all = pods.list(&ListParams::default()).await;
            let all = all.map_err(|e| RestoreError::kube("list pods", &e))?;
            let running: Vec<&Pod> = all.iter().filter(|p| mounts(p, claim) && !is_held(p)).collect();
            for pod in running.iter().filter(|p| p.metadata.deletion_timestamp.is_none()) {
                let name = pod.metadata.name.clone().unwrap_or_default();
                progress.note(format!("pod {name} is ended: its volume is restored again"));
                match pods.delete(&name, &DeleteParams::default()).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(e)) if e.code == 404 => {}
                    Err(e) => return Err(RestoreError::kube("end a pod", &e).into()),
                }
            }
            Ok(match running.len() {
                0 => Look::Ready(()),
                n => Look::NotYet(format!("{n} still run")),
            })
        },
    )
    .await?;
    Ok(owner::remind(client, namespace, claim).await?)
}

fn mounts(pod: &Pod, claim: &str) -> bool {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let mut claims = volumes.filter_map(|v| v.persistent_volume_claim.as_ref());
    claims.any(|c| c.claim_name == claim)
}

fn is_held(pod: &Pod) -> bool {
    let gates = pod.spec.iter().flat_map(|s| s.scheduling_gates.iter().flatten());
    gates.into_iter().any(|g| g.name == GATE)
}

pub(crate) async fn wait_for_claim(
    client: &Client,
    namespace: &str,
    claim: &str,
    deadline: Deadline,
) -> Result<(), Trouble> {
    let claims: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        namespace,
        &core("PersistentVolumeClaim", "persistentvolumeclaims"),
    );
    poll(
        &format!("the claim {namespace}/{claim} from the repository"),
        deadline,
        Duration::from_millis(500),
        || async {
            match claims.get_opt(claim).await {
                Ok(Some(_)) => Ok(Look::Ready(())),
                Ok(None) => Ok(Look::NotYet("Flux has not applied it yet".into())),
                Err(e) => Err(RestoreError::kube("look for the claim", &e).into()),
            }
        },
    )
    .await
}
