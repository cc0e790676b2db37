//! One Wi-Fi card, driven through Debian's wpa_supplicant.

use super::choice::{Choice, settings};
use super::control::{Control, silent};
use super::event::{Event, Joining, Refusal};
use super::scan::{self, Network};
use crate::card::{self, Card};
use crate::disguise::Disguise;
use crate::error::NetError;
use crate::kernel::Kernel;
use skykeep_core::{Deadline, Progress};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// The program. Only images with Wi-Fi have it.
const PROGRAM: &str = "/usr/sbin/wpa_supplicant";
/// Its sockets and its empty configuration, in RAM.
const FOLDER: &str = "/run/skykeep-wifi";
/// How long the program may take until it answers.
const START: Duration = Duration::from_secs(10);
/// How long one scan may take: all channels of three bands, on a slow radio.
const SCAN: Duration = Duration::from_secs(15);
/// How long joining may take. A WPA3 exchange with a far access point needs several tries.
const JOIN: Duration = Duration::from_secs(40);
/// More access points than this are not asked about.
const MOST: usize = 400;

/// The name of the first Wi-Fi card, when the image can drive one.
pub fn card() -> Option<String> {
    let card = card::wireless(Path::new("/sys/class/net")).into_iter().next()?;
    Path::new(PROGRAM).exists().then_some(card.name)
}

/// Whether this machine has Wi-Fi hardware that this image may drive, even when its driver is not ready yet.
pub fn may_come() -> bool {
    const WIRELESS: &str = "0x0280";
    let functions = std::fs::read_dir("/sys/bus/pci/devices")
        .into_iter()
        .flatten()
        .flatten();
    let mut classes = functions.filter_map(|function| std::fs::read_to_string(function.path().join("class")).ok());
    Path::new(PROGRAM).exists() && (card().is_some() || classes.any(|class| class.starts_with(WIRELESS)))
}

/// A Wi-Fi card in use. The program behind it ends with it.
pub struct Radio {
    /// The card's name.
    pub name: String,
    control: Control,
    news: Control,
    _program: Child,
}

impl Radio {
    /// Gives the card a hardware address (another device's, else its disguise, else its own), switches it on and starts the program. `country` (two letters) binds the radio to that country's rules
    /// from the start; without it the rules that hold everywhere are kept until the access point names its country.
    pub async fn start(
        country: Option<&str>,
        mac: Option<[u8; 6]>,
        disguise: Option<&Disguise>,
        progress: &Progress,
    ) -> Result<Self, NetError> {
        let card = card::wireless(Path::new("/sys/class/net"))
            .into_iter()
            .next()
            .ok_or(NetError::NoCard)?;
        let kernel = Kernel::connect()?;
        let wanted = mac.or_else(|| disguise.map(|disguise| disguise.mac(&card.name)));
        if let Some(wanted) = wanted
            && let Err(refused) = kernel.set_mac(&card, wanted).await
        {
            progress.note(format!("{} keeps its own hardware address: {refused}", card.name));
        }
        let program = spawn(&card, country)?;
        let server = Path::new(FOLDER).join(&card.name);
        let control = answering(&server).await?;
        let news = Control::open(&server, own("news"))?;
        news.listen().await?;
        Ok(Radio {
            name: card.name,
            control,
            news,
            _program: program,
        })
    }

    /// What is in the air, the strongest first. An empty list is no error: the radio may need another try.
    pub async fn scan(&self) -> Result<Vec<Network>, NetError> {
        // Busy with a scan of its own: its results come just as well.
        let _ = self.control.ask("SCAN").await?;
        let deadline = Deadline::after(SCAN);
        while let Some(event) = self.news.news(deadline.remaining()).await? {
            match event {
                Event::Scanned => break,
                Event::ScanFailed => tokio::time::sleep(Duration::from_secs(1)).await,
                _ => {}
            }
        }
        let mut found = Vec::new();
        let mut question = "BSS FIRST MASK=0x1887".to_owned();
        while let Some((number, network)) = scan::access_point(&self.control.ask(&question).await?) {
            found.extend(network);
            if found.len() >= MOST {
                break;
            }
            question = format!("BSS NEXT-{number} MASK=0x1887");
        }
        Ok(scan::networks(found))
    }

    /// Joins a network: until the keys are agreed on, or it is clear why not. Afterwards the program keeps the connection, and comes back when the access
    /// point does.
    pub async fn join(&self, choice: &Choice, progress: &Progress) -> Result<Result<(), Refusal>, NetError> {
        self.control.order("REMOVE_NETWORK all").await?;
        let number = self.control.ask("ADD_NETWORK").await?.trim().to_owned();
        for (name, value) in settings(choice) {
            self.control.set(&number, name, &value).await?;
        }
        // Old news is about another network.
        while self.news.news(Duration::ZERO).await?.is_some() {}
        self.control.order(&format!("SELECT_NETWORK {number}")).await?;
        let deadline = Deadline::after(JOIN);
        let mut joining = Joining::default();
        while let Some(event) = self.news.news(deadline.remaining()).await? {
            if let Event::Country(country) = &event {
                progress.note(format!("{} keeps the radio rules of {country}", self.name));
            }
            if let Some(outcome) = joining.after(&event) {
                if outcome.is_err() {
                    // Or it tries the wrong password for ever.
                    self.control.order("REMOVE_NETWORK all").await?;
                }
                return Ok(outcome);
            }
        }
        self.control.order("REMOVE_NETWORK all").await?;
        Ok(Err(Refusal::Silence))
    }

    /// Says when the access point goes away and comes back, as long as this is awaited.
    pub async fn watch(&self, progress: &Progress) -> NetError {
        let mut away = false;
        loop {
            match self.news.news(Duration::from_secs(3600)).await {
                Ok(Some(Event::Disconnected)) if !away => {
                    away = true;
                    progress.note("the Wi-Fi connection is lost: waiting for the access point to come back");
                }
                Ok(Some(Event::Connected)) if away => {
                    away = false;
                    progress.note("the Wi-Fi connection is back");
                }
                Ok(Some(Event::Ending)) => return silent("it ended by itself"),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }
}

fn own(what: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("skykeep-{what}"))
}

/// The program, with nothing to read but where its socket goes. It prints nothing: its messages come over the socket.
fn spawn(card: &Card, country: Option<&str>) -> Result<Child, NetError> {
    let configuration = Path::new(FOLDER).join("configuration");
    let country = country
        .map(|country| format!("country={country}\n"))
        .unwrap_or_default();
    std::fs::create_dir_all(FOLDER).map_err(silent)?;
    // The old socket would answer for nobody.
    let _ = std::fs::remove_file(Path::new(FOLDER).join(&card.name));
    let text = format!("ctrl_interface={FOLDER}\nupdate_config=0\np2p_disabled=1\nsae_pwe=2\n{country}");
    std::fs::write(&configuration, text).map_err(silent)?;
    Command::new(PROGRAM)
        .args(["-D", "nl80211", "-i", &card.name, "-c"])
        .arg(&configuration)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| silent(format!("{PROGRAM} can't be started: {e}")))
}

async fn answering(server: &Path) -> Result<Control, NetError> {
    let deadline = Deadline::after(START);
    loop {
        let control = Control::open(server, own("control"));
        if let Ok(control) = control
            && control.ask("PING").await.is_ok()
        {
            return Ok(control);
        }
        if deadline.passed() {
            return Err(silent(format!("it does not answer within {} s", START.as_secs())));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
