//! `skykeep node`: turns a fresh cloud machine into a node of the castle, by the sealed plan that its user data points to.
//!
//! It decides nothing: it fetches the plan, opens it, downloads what is pinned, writes files, runs the steps, and says on the console
//! what it does. Started again after a crash or a reboot it goes on from where things stand; on a node that has joined it ends at once.

mod error;
mod etcd;
mod fetch;
mod files;
mod images;
mod run;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use skykeep_cluster::{Cry, NodePlan, cry::mark, plan::Own, seal};
use skykeep_core::{Deadline, Trouble};

use error::NodeError;

/// Where the machine remembers that it has joined, and what it has unpacked.
const STATE: &str = "/var/lib/skykeep";
/// The plan must have been fetched by then.
const FETCH_PLAN: Duration = Duration::from_secs(300);
/// How long a machine goes on trying: its plan can be fetched for an hour.
const PATIENCE: Duration = Duration::from_secs(55 * 60);
/// Between two tries: long enough for the agent to read what the first one died of.
const PAUSE: Duration = Duration::from_secs(20);

/// Says one line with the time since the start.
#[derive(Clone, Copy)]
pub(crate) struct Say(Instant);

impl Say {
    fn line(&self, text: &str) {
        println!("skykeep: {:6.1} s  {text}", self.0.elapsed().as_secs_f32());
    }
}

/// Joins this machine to its castle.
pub async fn run(config_path: &Path) -> Result<(), Trouble> {
    let say = Say(Instant::now());
    let joined = Path::new(STATE).join("joined");
    if joined.exists() {
        say.line("this machine has joined its castle already");
        files::wipe(config_path)?;
        return Ok(());
    }
    let text = zeroize::Zeroizing::new(std::fs::read(config_path).map_err(|e| NodeError::file(config_path, e))?);
    let config: seal::NodeConfig = serde_json::from_slice(&text).map_err(|e| NodeError::File {
        path: config_path.to_path_buf(),
        why: e.to_string(),
    })?;
    say.line(&format!(
        "node {} of castle {}, generation {}, attempt {}",
        config.id.node, config.id.castle, config.id.generation, config.id.attempt
    ));

    let client = fetch::client()?;
    let plan = patiently(&config, &client, say).await?;
    for path in &plan.wipe {
        files::wipe(Path::new(path))?;
    }
    files::write(&joined, 0o644, plan.generation.as_bytes())?;
    forget(config_path)?;
    say.line("joined");
    Ok(())
}

/// Fetches the plan and carries it out. A failure is cried out on the console; then the plan is fetched anew, because its owner may have
/// mended it meanwhile: the same machine goes on, nobody has to replace it.
async fn patiently(config: &seal::NodeConfig, client: &reqwest::Client, say: Say) -> Result<NodePlan, NodeError> {
    let whole = Deadline::after(PATIENCE);
    let mut tries = 0;
    loop {
        let mut tried = None;
        let error = match once(config, client, say, &mut tried).await {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        tries += 1;
        println!("{}", Cry::of(&error, tries, tried).line());
        if whole.remaining() < PAUSE {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
        say.line("trying again, with the plan as it stands now");
    }
}

async fn once(
    config: &seal::NodeConfig,
    client: &reqwest::Client,
    say: Say,
    tried: &mut Option<String>,
) -> Result<NodePlan, NodeError> {
    let blob = fetch::plan(client, config.blob_url.expose(), Deadline::after(FETCH_PLAN), say).await?;
    *tried = Some(mark(&blob));
    let plan = seal::open(&blob, config).map_err(|e| NodeError::Core(Trouble::from(e).explained()))?;
    say.line("the plan is open");
    let limit = Duration::from_secs(plan.deadline_s);
    tokio::time::timeout(limit, follow(&plan, client, say))
        .await
        .map_err(|_| NodeError::Late {
            what: "this machine's whole plan".into(),
            limit,
            last: String::new(),
        })??;
    Ok(plan)
}

async fn follow(plan: &NodePlan, client: &reqwest::Client, say: Say) -> Result<(), NodeError> {
    let deadline = Deadline::after(Duration::from_secs(plan.deadline_s));
    fetch::artifacts(
        client,
        (&plan.artifacts, &plan.copies),
        &PathBuf::from(STATE).join("unpacked"),
        deadline,
        say,
    )
    .await?;
    files::hosts(Path::new("/etc/hosts"), &plan.hosts)?;
    for file in &plan.files {
        files::write_planned(file)?;
    }
    say.line("files are written");
    for step in &plan.steps {
        match step.own {
            Some(Own::EtcdJoin | Own::EtcdVote) => etcd::step(plan, step, say).await?,
            Some(Own::Images) => images::bring(client, plan, step, say).await?,
            None => run::step(step, say).await?,
        }
    }
    for path in &plan.done_when {
        run::wait_for(path, deadline).await?;
    }
    Ok(())
}

/// What user data left for a second try is not needed any more.
fn forget(config_path: &Path) -> Result<(), NodeError> {
    files::wipe(config_path)?;
    files::wipe(&Path::new(STATE).join("join"))?;
    for path in ["multi-user.target.wants/skykeep-join.service", "skykeep-join.service"] {
        files::remove(&Path::new("/etc/systemd/system").join(path))?;
    }
    Ok(())
}
