//! The restore job: runs in the cluster with the claim mounted, restores into it, and verifies what it wrote.

use std::{path::Path, sync::Arc, thread, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use skykeep_aws::{Credentials, S3};
use skykeep_core::{Explain, Secret, http::Trust};
use url::Url;

use crate::{
    RestoreError,
    behind::Behind,
    longhorn,
    older::{self, Look, newest_whole},
    patient::Patient,
    report::{self, Report, SoFar},
    repository::{Opened, blocking},
    store::{Bucket, Store},
    survey::survey,
    target, verify,
    write::write,
};

/// Where the claim is mounted.
pub const TARGET: &str = "/target";
/// Where the keys are mounted: `access-key-id`, `secret-access-key`, `password`.
pub const KEYS: &str = "/etc/skykeep/keys";
/// One request, and how long an answer may be silent.
const REQUEST_LIMIT: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(20));

/// Where a backup is and what of it is wanted. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Bucket.
    pub bucket: String,
    /// Key prefix of the repository; may be empty.
    #[serde(default)]
    pub prefix: String,
    /// AWS region.
    pub region: String,
    /// Endpoint when it is not AWS.
    #[serde(default)]
    pub endpoint: Option<Url>,
    /// `latest` or the beginning of a snapshot's id.
    pub snapshot: String,
    /// Path inside the snapshot that becomes the root of the claim.
    pub path: String,
    /// Whether what the claim holds goes first: a second restore that its owner asked for by name.
    #[serde(default)]
    pub replace: bool,
}

impl JobSpec {
    /// `bucket/prefix`, for messages.
    pub(crate) fn place(&self) -> String {
        format!("{}/{}", self.bucket, self.prefix.trim_matches('/'))
            .trim_end_matches('/')
            .to_owned()
    }
}

/// What came back, verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The snapshot's whole id.
    pub snapshot: String,
    /// When it was made, RFC 3339.
    #[serde(default)]
    pub time: String,
    /// Files whose content was read back and compared.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Folders.
    pub folders: u64,
    /// Symbolic links and other things without content.
    pub others: u64,
    /// Extended attributes of the old machine's security system that were left out on purpose.
    pub attributes_left_out: u64,
}

/// The last outcome in a job's log.
pub(crate) fn last_outcome_in<T: DeserializeOwned>(log: &str) -> Option<T> {
    serde_json::from_value(last(log, "outcome")?).ok()
}

/// The last progress in a job's log.
pub fn last_progress_in(log: &str) -> Option<SoFar> {
    serde_json::from_value(last(log, "progress")?).ok()
}

/// What a job waits for, when that is the last thing it said.
pub(crate) fn waits_in(log: &str) -> Option<String> {
    let last = log.lines().next_back()?;
    serde_json::from_value(serde_json::from_str::<Value>(last).ok()?.get_mut("waits")?.take()).ok()
}

fn last(log: &str, kind: &str) -> Option<Value> {
    log.lines()
        .rev()
        .find_map(|line| serde_json::from_str::<Value>(line).ok()?.get_mut(kind).map(Value::take))
}

/// Does the job that `spec` (a file) describes: restores into [`TARGET`], verifies, prints progress and the outcome.
/// The caller prints the error in its three parts on standard error and ends with 1.
pub async fn run(spec: &Path) -> Result<(), RestoreError> {
    run_into(spec, Path::new(KEYS), Path::new(TARGET)).await
}

/// The same, with the keys and the target elsewhere.
pub async fn run_into(spec: &Path, keys: &Path, target: &Path) -> Result<(), RestoreError> {
    let job: JobSpec = parsed(spec)?;
    let password = Secret::new(read(&keys.join("password"))?);
    let s3 = bucket(spec, keys, (&job.region, job.endpoint.as_ref(), &job.bucket))?;
    let outcome = here(s3, &password, &job, target, Report::lines()).await;
    report::line(&json!({"outcome": outcome?}));
    Ok(())
}

/// The same for a Longhorn backup.
pub async fn run_longhorn(spec: &Path) -> Result<(), RestoreError> {
    run_longhorn_into(spec, Path::new(KEYS), Path::new(TARGET)).await
}

/// The same, with the keys and the target elsewhere.
pub async fn run_longhorn_into(spec: &Path, keys: &Path, target: &Path) -> Result<(), RestoreError> {
    let job: longhorn::job::Spec = parsed(spec)?;
    let place = (job.region.as_str(), job.endpoint.as_ref(), job.bucket.as_str());
    let s3 = bucket(spec, keys, place)?;
    let outcome = longhorn::job::here(s3, &job, target, Report::lines()).await;
    report::line(&json!({"outcome": outcome?}));
    Ok(())
}

fn parsed<T: DeserializeOwned>(spec: &Path) -> Result<T, RestoreError> {
    serde_json::from_slice(&read(spec)?).map_err(|e| RestoreError::Internal(format!("spec.json: {e}")))
}

/// A client for the bucket: region, endpoint, name.
fn bucket(spec: &Path, keys: &Path, place: (&str, Option<&Url>, &str)) -> Result<Arc<S3>, RestoreError> {
    let authorities = read(&spec.with_file_name("ca.pem"))?;
    let explained = |e: skykeep_core::Explained| RestoreError::Internal(format!("{}: {}", e.what(), e.why()));
    let trust = match authorities.is_empty() {
        true => Trust::public(),
        false => Trust::with_extra_pem(&authorities).map_err(explained)?,
    };
    let http = trust
        .http_for_much(REQUEST_LIMIT.0, REQUEST_LIMIT.1)
        .map_err(explained)?;
    let id = Secret::new(read(&keys.join("access-key-id"))?);
    let id = id
        .expose_str()
        .ok_or_else(|| RestoreError::Internal("the access key id is no text".into()))?
        .to_owned();
    let credentials = Credentials::new(id, Secret::new(read(&keys.join("secret-access-key"))?));
    let (region, endpoint, name) = place;
    Ok(Arc::new(S3::new(
        http,
        Arc::new(credentials),
        region,
        endpoint.cloned(),
        name,
    )?))
}

/// Restores and verifies in this process.
pub(crate) async fn here(
    s3: Arc<S3>,
    password: &Secret,
    spec: &JobSpec,
    target: &Path,
    report: Report,
) -> Result<Outcome, RestoreError> {
    let store = Box::new(Patient::new(Bucket::new(s3), report.clone()));
    let target = target.to_owned();
    let (password, spec) = (password.duplicate(), spec.clone());
    blocking(move || restore_in(store, &password, &spec, &target, &report)).await
}

fn read(path: &Path) -> Result<Vec<u8>, RestoreError> {
    std::fs::read(path).map_err(|e| RestoreError::Internal(format!("{} can't be read: {e}", path.display())))
}

/// Restores and verifies. What a former attempt wrote is checked and kept; what is not of the backup is refused.
pub(crate) fn restore_in(
    store: Box<dyn Store>,
    password: &Secret,
    spec: &JobSpec,
    target: &Path,
    report: &Report,
) -> Result<Outcome, RestoreError> {
    let opened = Opened::new(store, password, spec)?;
    let back = opened.find(spec).and_then(|found| {
        let seen = survey(&found)?;
        if spec.replace {
            target::empty(target)?;
        }
        target::make_ready(target, &seen)?;
        let behind = Behind::default();
        let good = thread::scope(|scope| {
            let follower = scope.spawn(|| behind.follow(&found, &seen, target));
            let written = write(&found, &seen, target, &behind, report);
            behind.over();
            let good = follower.join();
            written?;
            good.map_err(|_| RestoreError::Internal("reading back broke off".into()))?
        })?;
        verify::verify(&found, &seen, target, &good, report)
    });
    back.map_err(|e| e.or_else_whole(|| newest_whole(&opened, spec, Look::Content, older::PATIENCE)))
}
