//! A database's rebirth outside a cluster, along its lineage, for `agent/restore/tests/postgres.sh`:
//! `database CASTLE.yaml TREASURE KEYS LINEAGE.json GENERATION CLAIM RUN CA.pem [again]`. KEYS is a folder with a file for each
//! secret, called like the castle file's reference behind its colon.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use skykeep_core::{
    Secret, Trouble,
    castle::{Castle, SecretRef},
    http::Trust,
};
use skykeep_rebirth::lineage::{Lineage, Link, Next};
use skykeep_restore::postgres::{
    Spec,
    conf::{AUTHORITIES, FILE, Repository},
    inspect::{Wanted, inspect},
    job::{self, Folders},
};

fn text(trouble: impl Into<Trouble>) -> String {
    trouble.into().to_string()
}

async fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [castle, treasure, keys, kept, generation, claim, run, ca, rest @ ..] = args else {
        return Err("usage: database CASTLE TREASURE KEYS LINEAGE GENERATION CLAIM RUN CA [again]".into());
    };
    let castle = Castle::parse(&fs::read_to_string(castle)?).map_err(|e| e.to_string())?;
    let found = castle.treasures.iter().find(|t| t.name == *treasure);
    let postgres = found.and_then(|t| t.postgres.as_ref()).ok_or("no such database")?;
    let secret = |reference: &SecretRef| {
        let name = reference.to_string();
        let name = name.split_once(':').map_or("", |(_, name)| name).replace('/', "-");
        fs::read(Path::new(keys).join(name)).map(Secret::new)
    };
    let (id, key) = (secret(&postgres.access_key_id)?, secret(&postgres.secret_access_key)?);
    let cipher = postgres.cipher_pass.as_ref().map(secret).transpose()?;
    let mut lineage: Lineage = match fs::read(kept) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => Lineage::default(),
    };
    let again = rest.iter().any(|word| word == "again");
    let Next::Restore { source, archive } = lineage.next(&postgres.prefix, generation, None, again) else {
        return Err("nothing to do".into());
    };
    let authorities = fs::read(ca)?;
    let http = Trust::with_extra_pem(&authorities).and_then(|t| t.http(Duration::from_secs(60)));
    let http = http.map_err(|e| e.to_string())?;
    let id_text = id.expose_str().ok_or("a key is no text")?.to_owned();
    let credentials = skykeep_aws::Credentials::new(id_text, key.duplicate());
    let endpoint = postgres.endpoint.clone();
    let s3 = skykeep_aws::S3::new(
        http,
        Arc::new(credentials),
        &postgres.region,
        endpoint,
        &postgres.bucket,
    )
    .map_err(text)?;
    let wanted = Wanted {
        path: &source,
        stanza: &postgres.stanza,
        image: &postgres.image,
        until: postgres
            .point()
            .map_err(|e| e.to_string())?
            .map(jiff::Timestamp::as_second),
    };
    let seen = inspect(&s3, &wanted).await.map_err(text)?;
    eprintln!("{source}: {seen:?}");

    let folder = |name: &str| -> std::io::Result<PathBuf> {
        let folder = Path::new(run).join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    };
    let folders = Folders {
        claim: claim.into(),
        source: folder("source")?,
        archive: folder("archive")?,
        roles: folder("roles")?,
        run: run.into(),
    };
    for (path, folder) in [(&source, &folders.source), (&archive, &folders.archive)] {
        let repository = Repository {
            bucket: &postgres.bucket,
            path,
            region: &postgres.region,
            endpoint: postgres.endpoint.as_ref(),
            access_key_id: &id,
            secret_access_key: &key,
            cipher_pass: cipher.as_ref(),
            own_authorities: true,
        };
        let configuration = repository.configuration(folder.to_str().ok_or("path")?).map_err(text)?;
        fs::write(folder.join(FILE), configuration.expose())?;
        fs::write(folder.join(AUTHORITIES), &authorities)?;
    }
    for (i, reference) in postgres.roles.values().enumerate() {
        fs::write(folders.roles.join(format!("role-{i}")), secret(reference)?.expose())?;
    }
    let spec = Spec {
        attempt: archive.clone(),
        stanza: postgres.stanza.clone(),
        version: seen.version,
        image: postgres.image.clone(),
        folder: postgres.data_path.clone(),
        target: postgres
            .point()
            .map_err(|e| e.to_string())?
            .map(|p| p.to_string().replace('T', " ").replace('Z', "+00")),
        checks: postgres.checks.clone(),
        roles: postgres.roles.keys().cloned().collect(),
        replace: again,
        limit: 300,
    };
    let told = Path::new(run).join("spec.json");
    fs::write(&told, serde_json::to_vec(&spec)?)?;
    job::run(&told, folders).await.map_err(text)?;
    lineage.links.push(Link {
        generation: generation.clone(),
        path: archive,
        uid: "none".into(),
        backup: String::new(),
        last_wal: String::new(),
        at: String::new(),
    });
    fs::write(kept, serde_json::to_vec(&lineage)?)?;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(1)
        }
    }
}
