//! A network outside of the image, in a namespace of its own: DHCP or IPv6 alone, name servers, and the castle's hosts with certificates that are valid now.

use anyhow::{Context, Result, ensure};
use lab_laptop::{Network, run};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The hosts that tests/castle/castle.yaml names, as far as the clock asks them.
const HOSTS: &str = "DNS:eu.infisical.com,DNS:github.com,DNS:s3.eu-central-1.amazonaws.com,DNS:api.cloudflare.com";

/// What the network gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// IPv4 by DHCP.
    Dhcp,
    /// IPv6 alone, name servers in the router's announcements.
    SixAlone,
}

/// The VLAN of [`Outside::tagged_cable`].
pub const TAG: u16 = 30;

/// All of it is gone when this is dropped.
pub struct Outside {
    netns: String,
    running: Vec<Child>,
}

/// Makes an authority, and a certificate of it for the castle's hosts; `ca.pem`, `cert.pem` and `key.pem` in `folder`.
pub fn certificates(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let openssl = |words: &[&str]| {
        let key = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        run(Command::new("openssl").current_dir(folder).args(key).args(words))
    };
    openssl(&[
        "-days",
        "90",
        "-subj",
        "/CN=tests",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ])?;
    let names = format!("subjectAltName={HOSTS}");
    let leaf = [
        "-days",
        "30",
        "-subj",
        "/CN=castle",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
    ];
    openssl(
        &[
            leaf.as_slice(),
            &["-addext", "basicConstraints=critical,CA:FALSE", "-addext", &names],
        ]
        .concat(),
    )
}

impl Outside {
    /// Starts it; `certificates` is the folder of [`certificates`].
    pub fn start(gives: Gives, certificates: &Path, work: &Path) -> Result<Self> {
        fs::create_dir_all(work)?;
        let netns = format!("skboot-{}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &netns]))?;
        let mut outside = Outside {
            netns,
            running: Vec::new(),
        };
        let own = match gives {
            Gives::Dhcp => "10.9.0.1/24",
            Gives::SixAlone => "2001:db8:9::1/64",
        };
        outside.ip("link set lo up")?;
        outside.ip("link add br0 type bridge")?;
        // Not before the addresses are usable: a bridge without a port has no signal.
        outside.ip("link add port0 type veth peer name port1")?;
        outside.ip("link set port1 up")?;
        outside.ip("link set port0 master br0 up")?;
        outside.ip("link set br0 up")?;
        outside.ip(&format!("addr add {own} dev br0 nodad"))?;
        let file = |name: &str| work.join(name).display().to_string();
        let address = own.split('/').next().context("an address")?;
        let everything = format!("--address=/#/{address}");
        let leases = format!("--dhcp-leasefile={}", file("leases"));
        let mut names = vec![
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--log-facility=-",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--pid-file=",
            "--no-ping",
            everything.as_str(),
            leases.as_str(),
        ];
        if gives == Gives::Dhcp {
            names.push("--dhcp-range=10.9.0.50,10.9.0.99,1h");
        }
        outside.serve("dnsmasq", work, &names)?;
        let settings = format!(
            "daemon off; user root; worker_processes 1; error_log {log}; pid {pid}; events {{ }}\n\
             http {{ access_log off; client_body_temp_path {t}/1; proxy_temp_path {t}/2; fastcgi_temp_path {t}/3; uwsgi_temp_path {t}/4; scgi_temp_path {t}/5;\n\
             server {{ listen 443 ssl; listen [::]:443 ssl; ssl_certificate {c}/cert.pem; ssl_certificate_key {c}/key.pem; location / {{ return 200 castle; }} }} }}\n",
            log = file("nginx.error"),
            pid = file("nginx.pid"),
            t = work.display(),
            c = certificates.display()
        );
        fs::write(work.join("nginx.conf"), settings)?;
        outside.serve("nginx", work, &["nginx", "-c", &file("nginx.conf")])?;
        if gives == Gives::SixAlone {
            outside.exec(&["sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1"])?;
            let text = "interface br0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; prefix 2001:db8:9::/64 { }; RDNSS 2001:db8:9::1 { }; };\n";
            fs::write(work.join("radvd.conf"), text)?;
            let (settings, pid) = (file("radvd.conf"), file("radvd.pid"));
            outside.serve(
                "radvd",
                work,
                &[
                    "radvd",
                    "--nodaemon",
                    "--logmethod=stderr",
                    "--config",
                    &settings,
                    "--pidfile",
                    &pid,
                ],
            )?;
        }
        Ok(outside)
    }

    /// A laptop's cable to it.
    pub fn cable(&self) -> Network {
        Network::tap(&self.netns, "br0", "sk-boot0")
    }

    /// The same network behind a tag, and nothing without one: words for QEMU in place of a cable. `switch` is tests/boot/switch.
    pub fn tagged_cable(&mut self, switch: &Path, work: &Path) -> Result<Vec<String>> {
        self.ip("tuntap add dev tagged0 mode tap")?;
        self.ip("link set tagged0 master br0 up")?;
        let at = |name: &str| work.join(name).display().to_string();
        let (own, laptop, tag) = (at("switch.sock"), at("laptop.sock"), TAG.to_string());
        let switch = switch.display().to_string();
        self.serve("switch", work, &["python3", &switch, "tagged0", &tag, &own, &laptop])?;
        Ok([
            "-netdev",
            &format!("dgram,id=port0,local.type=unix,local.path={laptop},remote.type=unix,remote.path={own}"),
            "-device",
            "virtio-net-pci,netdev=port0,romfile=",
        ]
        .map(str::to_owned)
        .to_vec())
    }

    fn ip(&self, words: &str) -> Result<()> {
        run(Command::new("ip").args(["-n", &self.netns]).args(words.split(' ')))
    }

    fn exec(&self, words: &[&str]) -> Result<()> {
        run(Command::new("ip").args(["netns", "exec", &self.netns]).args(words))
    }

    fn serve(&mut self, name: &str, work: &Path, words: &[&str]) -> Result<()> {
        let log: PathBuf = work.join(format!("{name}.log"));
        let file = File::create(&log)?;
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.netns])
            .args(words)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| name.to_owned())?;
        // A server that can't start ends at once.
        std::thread::sleep(std::time::Duration::from_millis(500));
        let ended = child.try_wait()?;
        self.running.push(child);
        ensure!(ended.is_none(), "{name} ended: {}", fs::read_to_string(log)?);
        Ok(())
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.netns]).status();
    }
}
