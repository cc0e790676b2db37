//! The restore job outside a cluster: `restore-job SPEC.json KEYS-FOLDER TARGET` (ca.pem beside SPEC.json), or
//! `restore-job longhorn SPEC.json KEYS-FOLDER TARGET` for a Longhorn backup, or `restore-job inspect SPEC.json KEYS-FOLDER` for what the laptop asks first.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use skykeep_core::{Secret, Trouble, http::Trust};
use skykeep_restore::{job, repository};

async fn inspect(spec: &Path, keys: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let job: job::JobSpec = serde_json::from_slice(&std::fs::read(spec)?)?;
    let trust = Trust::with_extra_pem(&std::fs::read(spec.with_file_name("ca.pem"))?).map_err(|e| e.to_string())?;
    let http = trust.http(Duration::from_secs(60)).map_err(|e| e.to_string())?;
    let secret = |name: &str| std::fs::read(keys.join(name)).map(Secret::new);
    let id = std::fs::read_to_string(keys.join("access-key-id"))?;
    let credentials = skykeep_aws::Credentials::new(id, secret("secret-access-key")?);
    let s3 = skykeep_aws::S3::new(
        http,
        Arc::new(credentials),
        &job.region,
        job.endpoint.clone(),
        &job.bucket,
    )?;
    let backup = repository::inspect(Arc::new(s3), &secret("password")?, vec![job]).await;
    println!("{:?}", backup.map_err(|e| Trouble::from(e).to_string())?);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["inspect", spec, keys] => inspect(Path::new(spec), Path::new(keys))
            .await
            .map_err(|e| e.to_string()),
        ["longhorn", spec, keys, target] => job::run_longhorn_into(Path::new(spec), Path::new(keys), Path::new(target))
            .await
            .map_err(|e| Trouble::from(e).to_string()),
        [spec, keys, target] => job::run_into(Path::new(spec), Path::new(keys), Path::new(target))
            .await
            .map_err(|e| Trouble::from(e).to_string()),
        _ => Err("usage: restore-job [longhorn] SPEC.json KEYS TARGET | restore-job inspect SPEC.json KEYS".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::from(1)
        }
    }
}
