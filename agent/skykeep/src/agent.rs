//! The agent inside the image: link, clock, passphrase, rebirth, report. Its end is PID 1's to carry out.

use std::{
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use skykeep_core::{Explain, Explained, Progress, Secret, Trouble, owner::OwnersPart};
use skykeep_net::Need;
use skykeep_rebirth::{Applied, Estate};
use skykeep_vault::{Vault, VaultError};
use tokio::sync::watch;

use crate::{
    console::{
        board::Board,
        keyboard, keys,
        lines::{self, Output},
        prompt::{self, Answer},
        rail::{self, View},
    },
    init,
    network::{Network, Next},
    usage,
};

/// Where the second initrd puts the owner's part.
const OWNER: &str = "/skykeep";
/// How long the question about the old castle stands.
const ANSWER_WITHIN: Duration = Duration::from_secs(240);
/// When the image was built, seconds since 1970.
const BUILT: &str = "/etc/skykeep-build-epoch";

/// From a bare machine to a living castle.
pub async fn run() -> Result<ExitCode, Trouble> {
    any_panic_ends_this_process();
    init::offer_this_process();
    println!(
        "\nSkykeep {}: your castle, from one passphrase. Nothing is written to this computer.",
        env!("CARGO_PKG_VERSION")
    );
    println!("{}", crate::code::running(Path::new(OWNER)));
    refuse_when_open(&init::gaps())?;
    if crate::check::is_wanted() {
        println!("{}", crate::check::image()?);
    }
    let (progress, events) = Progress::channel("agent");
    let printer = tokio::spawn(lines::print(events, Output::Text));
    let mut owner = OwnersPart::read(Path::new(OWNER))?;
    println!("The castle is called {}.", owner.castle.name);
    let patience = Duration::from_secs(u64::from(owner.castle.laptop.idle_minutes) * 60);
    if let Err(e) = keyboard::set(owner.castle.laptop.keyboard) {
        println!("The keyboard's layout can't be set: {e}");
    }
    if owner.castle.laptop.vlan.is_some() {
        init::load_tagging();
    }
    // The network comes up while the passphrase is being typed.
    let mut network = Network::begin(
        need(&owner),
        &owner.castle.laptop,
        patience,
        progress.for_step("network"),
    );
    if network.choose_wifi_without_a_cable().await? == Next::Off {
        println!("Powering off.");
        return Ok(ExitCode::from(init::END_NOW));
    }
    let Some(vault) = ask(&owner, patience).await? else {
        return Ok(ExitCode::from(init::END_NOW));
    };
    init::network_drivers_then_seal().map_err(drivers_open)?;
    let (view, seen) = watch::channel(View::default());
    let keys = keys::listen(view, || std::process::exit(init::END_NOW.into()));
    println!("[q] aborts, wipes and powers off. [r] shows the rebirth on one page.");
    match network.settle(&keys).await? {
        Next::GoOn => {}
        Next::Lock => return Ok(ExitCode::FAILURE),
        Next::Off => return Ok(ExitCode::from(init::END_NOW)),
    }
    owner.trust = owner.trust.by(network.way());
    let newest = skykeep_rebirth::vaults::newest(&owner, vault).await;
    for line in newest.said {
        progress.note(line);
    }
    let estate = Arc::new(Estate::open(owner, newest.vault).await?);
    let keys = Arc::new(keys);
    ask_about_the_old_castle(estate.clone(), keys.clone());
    let board = Board::new(skykeep_rebirth::graph(&estate.castle)?.outline());
    printer.abort();
    let name = estate.castle.name.clone();
    let printer = tokio::spawn(rail::show(progress.listen(), board, name, seen));
    let mut applied = skykeep_rebirth::apply(estate.clone(), progress.clone()).await?;
    // Asked only of whoever would otherwise stand before a stopped rebirth, of which nothing was made yet.
    if estate.lost_its_revision() && wants_head(applied.failure(), keys).await {
        estate.take_head();
        applied = skykeep_rebirth::apply(estate.clone(), progress.clone()).await?;
    }
    drop((progress, estate));
    // The estate, and with it every secret, is gone from here on.
    drop(network);
    let code = conclude(&applied);
    let _ = tokio::time::timeout(Duration::from_secs(2), printer).await;
    Ok(code)
}

/// Prints how it ended, for people.
pub fn conclude(applied: &Applied) -> ExitCode {
    match applied {
        Applied::NothingToDo(status) => {
            let nodes = status.things.iter().filter(|t| t.is_machine()).count();
            println!("The castle stands: {nodes} nodes, healthy, DNS points to it. Nothing to do.");
            ExitCode::SUCCESS
        }
        Applied::Ran(report) => {
            println!("{}{}", report.text(), usage::line());
            match report.failure() {
                None => {
                    println!("The castle is alive.");
                    ExitCode::SUCCESS
                }
                Some((step, error)) => {
                    eprintln!(
                        "The rebirth stopped at `{step}`. What stands is kept; a new start goes on from here.\n{error}"
                    );
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// Asks, beside the work, whether the old castle is dead, when only a person can know that. No answer is a no: then the names stay.
fn ask_about_the_old_castle(estate: Arc<Estate>, keys: Arc<keys::Keys>) {
    tokio::spawn(async move {
        // What fails here is told by the checks of the rebirth, which ask the same servers.
        let Ok(Some(doubt)) = skykeep_rebirth::doubt_about_the_old_castle(&estate).await else {
            return;
        };
        let question = move || {
            let _questions = keys.for_questions();
            println!("\nBefore the names move: is the old castle dead? {doubt}.");
            println!("The rebirth goes on meanwhile. If you KNOW that it is dead, type the castle's name.");
            loop {
                let typed = prompt::shown_line_within("Castle (or Enter: the names stay): ", Some(ANSWER_WITHIN));
                let Ok(Answer::Line(line)) = typed else { break };
                let Some(typed) = line.expose_str().filter(|name| !name.trim().is_empty()) else {
                    break;
                };
                match estate.old_castle_is_dead(typed) {
                    Ok(()) => return println!("The old castle counts as dead."),
                    Err(e) => println!("{}: {}. {}", e.what(), e.why(), e.remedy()),
                }
            }
            println!("The names stay where they are.");
        };
        // A thread of its own: the machine's end must not wait for an answer. Without it the names stay.
        let _ = std::thread::Builder::new().name("question".into()).spawn(question);
    });
}

/// Asks whether the branch's head will do when the commit to be reborn from is gone. No answer is a no.
async fn wants_head(failure: Option<(&str, &Explained)>, keys: Arc<keys::Keys>) -> bool {
    let Some((_, error)) = failure else { return false };
    let gone = format!("{}: {}", error.what, error.why);
    let question = move || {
        let _questions = keys.for_questions();
        println!("\n{gone}.");
        println!(
            "Nothing was made yet. Type `head` to be reborn from the branch as it is now, which no castle has run yet."
        );
        let typed = prompt::shown_line_within("head (or Enter: stop here): ", Some(ANSWER_WITHIN));
        matches!(typed, Ok(Answer::Line(line)) if line.expose_str().is_some_and(|t| t.trim() == "head"))
    };
    tokio::task::spawn_blocking(question).await.unwrap_or(false)
}

/// Asks until the passphrase fits; anything else that is wrong with the vault ends it. `None` when the machine is to go off.
async fn ask(owner: &OwnersPart, patience: Duration) -> Result<Option<Vault>, Trouble> {
    let laptop = &owner.castle.laptop;
    if laptop.wipe_when_stick_is_removed {
        init::stick_wipes().map_err(|e| stick_not_watched(&e))?;
        println!("Pulling the stick out wipes this computer's memory and switches it off.");
    }
    println!(
        "Ctrl-D wipes and powers off; so does nobody typing for {} minutes.",
        laptop.idle_minutes
    );
    println!("{}", keyboard::line());
    usage::prompt_stands();
    loop {
        let passphrase = match prompt::secret_line_within("Passphrase: ", Some(patience))? {
            Answer::Line(passphrase) => passphrase,
            Answer::Cancelled => {
                println!("What was typed is thrown away.");
                continue;
            }
            Answer::End => {
                println!("Powering off.");
                return Ok(None);
            }
            Answer::TimeUp => {
                println!("Nobody typed for {} minutes: powering off.", laptop.idle_minutes);
                return Ok(None);
            }
        };
        match open(owner.vault.clone(), passphrase).await? {
            Ok(vault) => {
                usage::vault_is_open();
                println!("The vault is open (version {}).", vault.counter());
                return Ok(Some(vault));
            }
            Err(error @ (VaultError::WrongPassphrase | VaultError::Recovery | VaultError::Passphrase(_))) => {
                println!(
                    "{}: {}. {}\n{}",
                    error.what(),
                    error.why(),
                    error.remedy(),
                    keyboard::line()
                );
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens on a thread of its own, which ends with it: what is left on its stack is overwritten, its registers are the kernel's to clear.
async fn open(sealed: Vec<u8>, passphrase: Secret) -> Result<Result<Vault, VaultError>, Trouble> {
    let (tell, hear) = tokio::sync::oneshot::channel();
    let work = move || {
        let opened = Vault::open(&sealed, &passphrase);
        drop(passphrase);
        skykeep_sys::wipe_stack();
        // Nobody listens any more: the agent is ending.
        let _ = tell.send(opened);
    };
    let thread = std::thread::Builder::new()
        .name("unlock".into())
        .spawn(work)
        .map_err(|_| broken_off())?;
    let opened = hear.await;
    thread.join().map_err(|_| broken_off())?;
    Ok(opened.map_err(|_| broken_off())?)
}

/// A panic in any thread ends the whole agent at once, with no text of the panic's own: it could hold a secret. PID 1 wipes.
fn any_panic_ends_this_process() {
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            eprintln!("Skykeep: a fault at {place}");
        }
        std::process::exit(init::PANICKED.into());
    }));
}

fn refuse_when_open(gaps: &[&str]) -> Result<(), Explained> {
    if gaps.is_empty() {
        return Ok(());
    }
    Err(Explained {
        what: "Your passphrase is not safe on this computer as it was started, so it is not asked for".into(),
        why: gaps.join("; "),
        remedy: "Start from an unchanged stick, with the boot options that Skykeep's image has.".into(),
    })
}

fn drivers_open(why: String) -> Explained {
    Explained {
        what: "Drivers could still be loaded into the kernel, so nothing is unlocked".into(),
        why,
        remedy: "Start again from an unchanged stick.".into(),
    }
}

fn stick_not_watched(e: &std::io::Error) -> Explained {
    Explained {
        what: "The stick can't be watched".into(),
        why: e.to_string(),
        remedy: "Start again, or set `laptop.wipeWhenStickIsRemoved: false` in castle.yaml.".into(),
    }
}

/// Hosts whose word about the time counts: the castle's own suppliers.
fn hosts(owner: &OwnersPart) -> Vec<String> {
    let castle = &owner.castle;
    let mut hosts: Vec<String> = Vec::new();
    if let Some(infisical) = &castle.secrets.infisical {
        hosts.extend(infisical.url.host_str().map(str::to_owned));
    }
    hosts.extend(castle.gitops.url.host_str().map(str::to_owned));
    hosts.push(format!("s3.{}.amazonaws.com", castle.state.region));
    if castle.dns.as_ref().is_some_and(|dns| dns.cloudflare.is_some()) {
        hosts.push("api.cloudflare.com".into());
    }
    hosts
}

/// What the network must lead to.
fn need(owner: &OwnersPart) -> Need {
    let built = std::fs::read_to_string(BUILT);
    let built = built.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0u64);
    Need {
        hosts: hosts(owner),
        trust: owner.trust.clone(),
        not_before: SystemTime::UNIX_EPOCH + Duration::from_secs(built),
    }
}

fn broken_off() -> Explained {
    Explained {
        what: "A part of the agent broke off".into(),
        why: "a fault of the program".into(),
        remedy: "Start again. Please report it with what stands above.".into(),
    }
}
