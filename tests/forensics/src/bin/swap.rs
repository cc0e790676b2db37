//! `swap SYSTEM PROGRAM WORK`: host mode on a Debian guest whose memory runs short; then its disk and its swap device are searched. SYSTEM is a folder
//! made by debootstrap. Once as any user may lock memory (a little), once with the right to lock all of it.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use forensics::{
    Needles,
    owner::{self, NAME_ROOT, NAME_SLOT_KEY, PASSPHRASE},
    search,
};
use rustls::{
    KeyLog, ServerConfig, ServerConnection, Stream,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// How long one guest may take.
const LONG: Duration = Duration::from_secs(600);
/// How the guest sees us.
const US: &str = "10.0.2.2";
/// What may not get to a disk, whoever the user is. What requests and sessions work with may, where memory can't be locked: the prompt says so.
const OURS: [&str; 5] = ["passphrase", NAME_SLOT_KEY, NAME_ROOT, "data key", "journal key"];

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let mut path = |what: &str| arguments.next().context(what.to_owned());
    let (system, program) = (path("first argument: a system")?, path("second argument: a binary")?);
    let work = path("third argument: a folder")?;
    let mut held = true;
    for locked in [false, true] {
        println!(
            "\nan ordinary user {}",
            if locked {
                "who may lock all memory"
            } else {
                "as Debian makes one"
            }
        );
        let work = work.join(if locked { "locked" } else { "ordinary" });
        fs::create_dir_all(&work)?;
        held &= run(&system, &program, &work, locked)?;
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(system: &Path, program: &Path, work: &Path, locked: bool) -> Result<bool> {
    let tree = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let owner = owner::make(&tree, work.join("part"), false)?;
    let server = Server::start(&owner.folder)?;
    let castle = owner.folder.join("castle.yaml");
    let text =
        fs::read_to_string(&castle)?.replace("https://eu.infisical.com", &format!("https://{US}:{}", server.port));
    fs::write(&castle, text)?;
    // The control text of the boots from a stick is public, and here it is served.
    fs::write(owner.folder.join("ca.pem"), &server.certificate)?;

    let root = work.join("root");
    let sh = |script: &str, args: &[&Path]| -> Result<()> {
        let done = Command::new("sh").args(["-ec", script, "sh"]).args(args).status()?;
        ensure!(done.success(), "{script}");
        Ok(())
    };
    sh("cp -a \"$1\" \"$2\"", &[system, &root])?;
    let here = root.join("skykeep");
    fs::copy(program, here.join("skykeep"))?;
    fs::copy(tree.join("tests/forensics/guest"), here.join("guest"))?;
    fs::copy(owner.folder.join("vault.skv"), here.join("vault.skv"))?;
    fs::write(here.join("server.pem"), &server.certificate)?;
    let settings = format!(
        "FROM=https://{US}:{}/part\nLOCKED={}\n",
        server.port,
        if locked { "yes" } else { "no" }
    );
    fs::write(here.join("settings"), settings)?;
    let (disk, swap) = (work.join("disk.img"), work.join("swap.img"));
    sh(
        "truncate -s 1500M \"$2\"; mke2fs -q -t ext4 -d \"$1\" \"$2\"; truncate -s 1G \"$3\"; chmod 0600 \"$3\"; mkswap \"$3\" >/dev/null 2>&1",
        &[&root, &disk, &swap],
    )?;

    let mut guest = Guest::start(&root, &disk, &swap)?;
    guest.wait_for("Passphrase: ")?;
    guest.keys.write_all(format!("{PASSPHRASE}\r").as_bytes())?;
    guest.wait_for_end()?;
    let said = guest.said()?;
    let mut verdicts = Vec::new();
    let mut say = |held: bool, text: &str| {
        println!("  {} {text}", if held { "ok  " } else { "FAIL" });
        verdicts.push(held);
    };
    say(
        said.contains("this system has swap"),
        "`vault edit` is refused, because swap is on",
    );
    let swapped = said.lines().find_map(|line| line.trim().strip_prefix("VmSwap:"));
    let swapped = swapped.and_then(|rest| rest.split_whitespace().next()?.parse::<u32>().ok());
    // Of a process whose memory is all locked nothing is swapped.
    say(
        swapped.is_some_and(|kib| (kib == 0) == locked),
        "control: memory ran short while the vault was open, and took pages of Skykeep where it could",
    );
    say(
        said.contains("can't be reached"),
        "the work went on until its server did not answer",
    );
    say(
        said.contains("GUEST no file was changed"),
        "no file was changed (names, sizes, owners, modes, times)",
    );
    say(
        said.contains("GUEST a new file is seen"),
        "control: the comparison sees a new file",
    );
    let promised = "none of its memory is written to swap";
    say(
        said.contains(promised) == locked,
        "the prompt says what is promised about swap",
    );
    for line in said
        .lines()
        .filter(|line| ["VmLck", "VmSwap", "/dev/vdb"].iter().any(|word| line.contains(word)))
    {
        println!("       {line}");
    }

    let mut needles = owner.needles;
    for (_, secret) in server.logged.0.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.iter() {
        needles.add_session("TLS sessions", secret);
    }
    let mut control = Needles::default();
    control.add("control", b"control of the swap device 5000")?;
    let found = search(&swap, &control)?;
    say(
        found.of("control") > 0,
        "control: another program's memory is found on the swap device",
    );
    for (name, image) in [("disk", &disk), ("swap device", &swap)] {
        let found = search(image, &needles)?;
        let ours = OURS.iter().map(|secret| found.of(secret)).sum::<u64>();
        say(
            ours == 0,
            &format!(
                "{name}: 0 hits of passphrase, its key, castle root and what is derived ({} MB in use searched)",
                found.looked_at >> 20
            ),
        );
        if locked {
            say(found.hits.is_empty(), &format!("{name}: 0 hits of anything"));
        }
        print!("{found}");
    }
    if verdicts.contains(&false) {
        println!("{said}");
    }
    fs::remove_dir_all(work)?;
    Ok(!verdicts.contains(&false))
}

struct Guest {
    child: Child,
    keys: std::process::ChildStdin,
    console: PathBuf,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Guest {
    fn start(root: &Path, disk: &Path, swap: &Path) -> Result<Self> {
        let console = disk.with_file_name("console");
        let drive = |file: &Path| format!("file={},format=raw,if=virtio,cache=unsafe", file.display());
        let boot = |name: &str| root.join(name);
        let mut child = Command::new("qemu-system-x86_64")
            .args([
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                "max",
                "-m",
                "512",
                "-smp",
                "2",
                "-nographic",
                "-no-reboot",
            ])
            .args([
                "-monitor",
                "none",
                "-serial",
                "stdio",
                "-nic",
                "user,model=virtio-net-pci",
            ])
            .args(["-drive", &drive(disk), "-drive", &drive(swap)])
            .arg("-kernel")
            .arg(boot("vmlinuz"))
            .arg("-initrd")
            .arg(boot("initrd.img"))
            .args([
                "-append",
                "root=/dev/vda rw net.ifnames=0 console=ttyS0 init=/skykeep/guest no_timer_check quiet panic=-1",
            ])
            .stdin(Stdio::piped())
            .stdout(File::create(&console)?)
            .spawn()
            .context("qemu-system-x86_64")?;
        let keys = child.stdin.take().context("no serial line")?;
        Ok(Guest { child, keys, console })
    }

    fn said(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.console)?).into_owned())
    }

    fn wait_for(&mut self, text: &str) -> Result<()> {
        let begin = Instant::now();
        while !self.said()?.contains(text) {
            let gone = self.child.try_wait()?.is_some();
            if gone || begin.elapsed() > LONG {
                bail!("{text:?} did not come:\n{}", self.said()?);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn wait_for_end(&mut self) -> Result<()> {
        let begin = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(begin.elapsed() < LONG, "the guest does not end:\n{}", self.said()?);
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Logged(Mutex<Vec<(String, Vec<u8>)>>);

impl KeyLog for Logged {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if let Ok(mut all) = self.0.lock() {
            all.push((label.to_owned(), secret.to_vec()));
        }
    }
}

/// Gives the owner's part; whoever asks for anything else waits.
struct Server {
    port: u16,
    certificate: String,
    logged: Arc<Logged>,
}

impl Server {
    fn start(folder: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec![US.into()])?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let logged = Arc::new(Logged::default());
        config.key_log = logged.clone();
        let (config, folder) = (Arc::new(config), folder.to_owned());
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, folder) = (Arc::clone(&config), folder.clone());
                // What goes wrong is seen at the guest's side.
                std::thread::spawn(move || drop(answer(stream, config, &folder)));
            }
        });
        Ok(Server {
            port,
            certificate: made.cert.pem(),
            logged,
        })
    }
}

fn answer(mut tcp: TcpStream, config: Arc<ServerConfig>, folder: &Path) -> Result<()> {
    let mut tls = ServerConnection::new(config)?;
    let mut stream = Stream::new(&mut tls, &mut tcp);
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let Some(name) = path.strip_prefix("/part/") else {
        std::thread::sleep(LONG);
        return Ok(());
    };
    let (status, body) = match fs::read(folder.join(name)) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    tls.send_close_notify();
    tls.complete_io(&mut tcp)?;
    Ok(())
}
