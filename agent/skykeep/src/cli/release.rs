//! `skykeep release`: gives a castle that stands back to Git.

use std::process::ExitCode;

use skykeep_core::Trouble;
use skykeep_rebirth::{Released, Wish};

use super::{Owner, castle};
use crate::console::lines::Output;

#[derive(clap::Args)]
#[command(
    after_help = "Without --yes the castle is left as it is: what of ours stands between Git and it is shown, each as a diff that \
you can commit. With --yes patches go one by one, each verified, then the pin; at last Flux applies everything once more and nothing \
may change by that. When the branch's head does not come up, the pin is put back. Started again it goes on.\n\nExit codes: 0 done (or \
nothing to do), 1 failed, or Git alone does not give the same castle; 2 the command line was wrong; 3 there is something to give back."
)]
pub struct ReleaseArgs {
    /// Only these patches (`Deployment/web/ddns`); the pin stays
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Do it
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    owner: Owner,
}

pub async fn run(args: ReleaseArgs) -> Result<ExitCode, Trouble> {
    let wish = match (args.yes, args.names) {
        (false, _) => Wish::Look,
        (true, names) if names.is_empty() => Wish::Everything,
        (true, names) => Wish::These(names),
    };
    let estate = castle::open(&args.owner).await?;
    let (progress, printer) = castle::speak(&args.owner);
    let released = skykeep_rebirth::release(estate, &wish, progress).await?;
    let _ = printer.await;
    let Released { report, shown, given } = released;
    match args.owner.output {
        Output::Json => println!("{}", serde_json::json!({"v": 1, "shown": shown, "given": given})),
        Output::Text => match (&given, &shown) {
            (Some(given), _) => println!("{}", given.text()),
            (None, Some(shown)) if wish == Wish::Look => println!("{}", shown.text()),
            _ => {}
        },
    }
    if let Some((step, error)) = report.failure() {
        eprintln!("It stopped at `{step}`. What is given back stays so; a new start goes on from here.\n{error}");
        return Ok(ExitCode::FAILURE);
    }
    let left = |shown: &skykeep_rebirth::Shown| shown.pin.is_some() || !shown.pieces.is_empty();
    Ok(match (wish, given) {
        (Wish::Look, _) if shown.as_ref().is_some_and(left) => ExitCode::from(3),
        (Wish::Everything, given) if !given.as_ref().is_some_and(|g| g.is_git_alone()) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}
