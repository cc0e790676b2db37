//! Network namespaces, cables between them, servers in them, and the laptop's own program in one.

use crate::laptop::Laptop;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// One test's network: namespaces with a folder for their servers' files. All of it is gone when this is dropped.
pub struct World {
    pub folder: PathBuf,
    name: String,
    spaces: Vec<String>,
    running: Vec<(String, Child)>,
}

impl World {
    /// With the namespaces `laptop` and `router` and a cable between them: `eth0` there, `lan0` (10.9.0.1/24) here.
    pub fn new() -> World {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("nettest-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir_all(&folder).expect("a folder");
        let mut world = World {
            folder,
            name,
            spaces: Vec::new(),
            running: Vec::new(),
        };
        world.space("laptop");
        world.space("router");
        // `ip netns exec` lays this over /etc/resolv.conf.
        let own = world.etc("laptop");
        fs::create_dir_all(&own).expect("a folder");
        fs::write(own.join("resolv.conf"), "").expect("a file");
        world.cable("laptop", "eth0", "router", "lan0");
        world.ip("router", "addr add 10.9.0.1/24 dev lan0");
        world
    }

    fn etc(&self, space: &str) -> PathBuf {
        Path::new("/etc/netns").join(self.full(space))
    }

    fn full(&self, space: &str) -> String {
        format!("{}-{space}", self.name)
    }

    pub fn space(&mut self, space: &str) {
        let full = self.full(space);
        ip(&["netns", "add", &full]);
        self.spaces.push(full);
        self.ip(space, "link set lo up");
    }

    /// A cable; the ends are on, but a laptop's card is switched on by the laptop.
    pub fn cable(&self, from: &str, card: &str, to: &str, end: &str) {
        let (from_full, to_full) = (self.full(from), self.full(to));
        ip(&[
            "link", "add", card, "netns", &from_full, "type", "veth", "peer", "name", end, "netns", &to_full,
        ]);
        self.ip(to, &format!("link set {end} up"));
        if from != "laptop" {
            self.ip(from, &format!("link set {card} up"));
        } else {
            self.card(card);
        }
    }

    /// Makes the end of a cable a card: only what has a device counts as one, and these have none.
    fn card(&self, name: &str) {
        let folder = self.cards().join(name);
        fs::create_dir_all(folder.join("device")).expect("a folder");
        for file in ["type", "ifindex", "address", "carrier"] {
            let real = Path::new("/sys/class/net").join(name).join(file);
            std::os::unix::fs::symlink(real, folder.join(file)).expect("a link");
        }
    }

    pub fn cards(&self) -> PathBuf {
        self.folder.join("cards")
    }

    pub fn ip(&self, space: &str, words: &str) {
        let full = self.full(space);
        let mut all = vec!["-n", full.as_str()];
        all.extend(words.split_whitespace());
        ip(&all);
    }

    pub fn run(&self, space: &str, words: &[&str]) -> String {
        let output = self.command(space, words).output().expect("a program");
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }

    fn command(&self, space: &str, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.full(space)]).args(words);
        command
    }

    /// A server in the foreground; what it says goes to a file of its name.
    pub fn serve(&mut self, name: &str, space: &str, words: &[&str]) {
        let log = fs::File::create(self.folder.join(format!("{name}.log"))).expect("a file");
        let mut command = self.command(space, words);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log);
        self.running.push((name.to_owned(), command.spawn().expect("a server")));
    }

    pub fn end(&mut self, name: &str) {
        let (ended, running) = self.running.drain(..).partition(|(own, _)| own == name);
        self.running = running;
        ended.into_iter().for_each(kill);
    }

    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default()
    }

    /// Waits until a server said so.
    pub fn said(&self, name: &str, what: &str) {
        let began = Instant::now();
        while !self.log(name).contains(what) {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{name} never said {what:?}:\n{}",
                self.log(name)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// dnsmasq on the router's side, which tells all that it sees.
    pub fn dnsmasq(&mut self, name: &str, space: &str, words: &[&str]) {
        let leases = format!(
            "--dhcp-leasefile={}",
            self.folder.join(format!("{name}.leases")).display()
        );
        let mut all = vec![
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--log-facility=-",
            "--log-dhcp",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--pid-file=",
            "--no-ping",
            &leases,
        ];
        all.extend(words);
        self.serve(name, space, &all);
        self.said(name, "started");
    }

    /// A namespace behind the router with nginx on 198.51.100.7 and 2001:db8:7::7, which answers for `a.castle.example` and `b.castle.example` with
    /// certificates of the authority in the file that is told. The router passes packets on when it is to.
    pub fn internet(&mut self, forward: bool) -> String {
        self.space("internet");
        self.cable("router", "wan0", "internet", "net0");
        for words in [
            "addr add 198.51.100.1/24 dev wan0",
            "addr add 2001:db8:7::1/64 dev wan0 nodad",
        ] {
            self.ip("router", words);
        }
        for words in [
            "addr add 198.51.100.7/24 dev net0",
            "addr add 2001:db8:7::7/64 dev net0 nodad",
            "route add default via 198.51.100.1",
            "-6 route add default via 2001:db8:7::1",
        ] {
            self.ip("internet", words);
        }
        if forward {
            self.run(
                "router",
                &[
                    "sysctl",
                    "-q",
                    "-w",
                    "net.ipv4.ip_forward=1",
                    "net.ipv6.conf.all.forwarding=1",
                ],
            );
        }
        self.names("router", "198.51.100.7 a.castle.example b.castle.example\n");
        crate::web::serve(self)
    }

    /// What a namespace's programs find in /etc/hosts.
    pub fn names(&self, space: &str, hosts: &str) {
        fs::create_dir_all(self.etc(space)).expect("a folder");
        fs::write(self.etc(space).join("hosts"), hosts).expect("a file");
    }

    /// The laptop's program.
    pub fn laptop(&self, words: &[&str]) -> Laptop {
        // Cargo builds examples before it runs the tests: beside the folder of this very program.
        let own = std::env::current_exe().expect("this program");
        let program = own
            .parent()
            .and_then(Path::parent)
            .expect("a folder")
            .join("examples/laptop");
        let cards = format!("cards={}", self.cards().display());
        let program = program.display().to_string();
        let mut all = vec![program.as_str(), cards.as_str()];
        all.extend(words);
        Laptop::start(self.command("laptop", &all))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.running.drain(..).for_each(kill);
        for space in &self.spaces {
            let _ = Command::new("ip").args(["netns", "del", space]).status();
            let _ = fs::remove_dir_all(Path::new("/etc/netns").join(space));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn kill((_, mut child): (String, Child)) {
    let _ = child.kill();
    let _ = child.wait();
}

fn ip(words: &[&str]) {
    let done = Command::new("ip").args(words).output().expect("ip");
    assert!(
        done.status.success(),
        "ip {words:?} (are you root?): {}",
        String::from_utf8_lossy(&done.stderr)
    );
}
