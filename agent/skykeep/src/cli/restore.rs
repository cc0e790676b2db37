//! `skykeep restore`: what came back of a treasure, and bringing it back once more on purpose.

use std::process::ExitCode;

use skykeep_core::{Explained, Trouble};

use super::{Owner, castle};

#[derive(clap::Args)]
#[command(
    after_help = "A treasure is restored once by `apply` and then left alone: what was written since is newer than the \
backup.\n--again ends the pods that mount its claim, DELETES what the claim holds, and restores the backup in its place."
)]
pub struct RestoreArgs {
    /// The treasure
    #[arg(value_name = "TREASURE")]
    treasure: String,
    /// Restore it once more over newer data: type the treasure's name again
    #[arg(long, value_name = "TREASURE")]
    again: Option<String>,
    #[command(flatten)]
    owner: Owner,
}

pub async fn run(args: RestoreArgs) -> Result<ExitCode, Trouble> {
    let name = &args.treasure;
    if let Some(typed) = args.again.as_ref().filter(|typed| *typed != name) {
        return Err(Explained {
            what: "Nothing was restored".into(),
            why: format!("`{typed}` was typed to confirm that `{name}` is replaced"),
            remedy: format!("Type the same name twice: skykeep restore {name} --again {name}"),
        }
        .into());
    }
    let estate = castle::open(&args.owner).await?;
    if args.again.is_none() {
        match skykeep_rebirth::restored(&estate, name).await? {
            Some(r) => println!(
                "`{name}` came back into {}/{} at {}: {}.",
                r.namespace, r.claim, r.at, r.what
            ),
            None => println!("`{name}` has not come back in this generation; `skykeep apply` restores it."),
        }
        println!("To replace what is there now by the backup: skykeep restore {name} --again {name}");
        return Ok(ExitCode::SUCCESS);
    }
    let (progress, printer) = castle::speak(&args.owner);
    let report = skykeep_rebirth::restore_again(estate, name, progress).await?;
    let _ = printer.await;
    match report.failure() {
        Some((step, error)) => {
            eprintln!("It ended at `{step}`.\n{error}");
            Ok(ExitCode::FAILURE)
        }
        None => {
            println!("`{name}` is back, verified, and its pods may start.");
            Ok(ExitCode::SUCCESS)
        }
    }
}
