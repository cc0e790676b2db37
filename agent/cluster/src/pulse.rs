//! The pulse: the job that tells the state bucket once a minute that this castle lives. This is its manifest, for a castle of
//! ours and, printed, for one that its owner built otherwise; the program is `skykeep pulse run`.

use kube::{Client, api::DynamicObject};
use skykeep_core::{Secret, lock::Lock};

use crate::{ClusterError, manifest};

/// What the job reads and the keys that it gets.
pub struct Job<'a> {
    /// Its description, JSON.
    pub spec: &'a str,
    /// Extra CAs, PEM; may be empty.
    pub extra_ca_pem: &'a str,
    /// Access key id for the state bucket.
    pub access_key_id: &'a Secret,
    /// Secret access key for the state bucket.
    pub secret_access_key: &'a Secret,
    /// The key that seals pulses, hexadecimal.
    pub seal: &'a Secret,
}

/// The job's manifest as YAML. Its Secret is in it.
pub fn manifest(lock: &Lock, job: &Job<'_>) -> Result<Secret, ClusterError> {
    let quoted = |text: &str| serde_json::to_string(text).map_err(|e| ClusterError::Plan(e.to_string()));
    let secret = |value: &Secret| {
        let text = value.expose_str().map(str::trim);
        quoted(text.ok_or_else(|| ClusterError::Plan("a key of the pulse is no text".into()))?)
    };
    // As quoted YAML texts, which JSON's own quoting is.
    let text = include_str!("pulse.yaml")
        .replace("{image}", &lock.image("ghcr.io/skykeep/skykeep")?.pinned())
        .replace("{spec}", &quoted(job.spec)?)
        .replace("{ca}", &quoted(job.extra_ca_pem)?)
        .replace("{id}", &secret(job.access_key_id)?)
        .replace("{secret}", &secret(job.secret_access_key)?)
        .replace("{seal}", &secret(job.seal)?);
    Ok(Secret::from_string(text))
}

/// Applies the job. Safe to repeat.
pub async fn apply(client: &Client, lock: &Lock, job: &Job<'_>) -> Result<(), ClusterError> {
    let text = manifest(lock, job)?;
    let objects: Vec<DynamicObject> = manifest::parse(text.expose_str().unwrap_or_default())?;
    manifest::apply(client, &objects).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_manifest_carries_what_it_needs_and_no_right_to_everything() {
        let lock = format!(
            r#"{{"version":1,"kubernetes":"v1","artifacts":[],"images":[{{"name":"ghcr.io/skykeep/skykeep:v0.1.0","digest":"sha256:{}"}}]}}"#,
            "d".repeat(64)
        );
        let secret = |text: &str| Secret::from_string(text.to_owned());
        let job = Job {
            spec: r#"{"castle":"rossi"}"#,
            extra_ca_pem: "-----BEGIN\n\"x\"\n",
            access_key_id: &secret("AKIA\n"),
            secret_access_key: &secret("s/+=: k"),
            seal: &secret("0123"),
        };
        let text = manifest(&Lock::parse(&lock).unwrap(), &job).unwrap();
        let objects = manifest::parse(text.expose_str().unwrap()).unwrap();
        let of = |kind: &str| objects.iter().find(|o| o.types.as_ref().unwrap().kind == kind).unwrap();
        assert_eq!(of("ConfigMap").data["data"]["pulse.json"], job.spec);
        assert_eq!(of("ConfigMap").data["data"]["ca.pem"], job.extra_ca_pem);
        assert_eq!(of("Secret").data["stringData"]["access-key-id"], "AKIA");
        assert_eq!(of("Secret").data["stringData"]["secret-access-key"], "s/+=: k");
        let container = &of("Deployment").data["spec"]["template"]["spec"]["containers"][0];
        assert!(container["image"].as_str().unwrap().contains("@sha256:dddd"));
        let rights = of("ClusterRole").data["rules"].to_string();
        assert!(!rights.contains("\"*\"") && !rights.contains("secrets"), "{rights}");
    }
}
