//! Boots two real instances and tries every promise of the hypervisor on them. Needs root, the node image
//! (`tests/lab/node/build`) and SKYKEEP_CACHE. Makes its own "internet" if the laboratory's does not run.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lab_vpc::{
    Balancer, HealthCheck, Hypervisor, HypervisorConfig, InstanceRules, InstanceSpec, Internet, Listener, Protocol,
    Rule,
};

const VPC: &str = "vpc-smoke";
const A: (&str, Ipv4Addr, Ipv4Addr) = (
    "i-smoke-a",
    Ipv4Addr::new(10, 77, 1, 10),
    Ipv4Addr::new(203, 0, 113, 240),
);
const B: (&str, Ipv4Addr, Ipv4Addr) = (
    "i-smoke-b",
    Ipv4Addr::new(10, 77, 1, 11),
    Ipv4Addr::new(203, 0, 113, 241),
);
const ENTRY: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(203, 0, 113, 245), Ipv4Addr::new(10, 77, 1, 4));

const USER_DATA: &str = "#cloud-config
write_files:
  - {path: /srv/index.html, content: \"ran by cloud-init\\n\"}
runcmd:
  - [sh, -c, 'systemd-run --unit=web python3 -m http.server 8080 --directory /srv']
";

fn sh(line: &str) -> Result<String> {
    let output = Command::new("sh").args(["-c", line]).output()?;
    ensure!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn internet(url: &str) -> Result<String> {
    sh(&format!("ip netns exec sk-inet curl -sS --fail --max-time 3 {url}"))
}

fn eventually<T>(what: &str, seconds: u64, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => {
                println!("ok   {what} ({:.1} s)", start.elapsed().as_secs_f32());
                return Ok(value);
            }
            Err(error) if start.elapsed().as_secs() >= seconds => return Err(error.context(what.to_owned())),
            Err(_) => sleep(Duration::from_millis(300)),
        }
    }
}

fn check(what: &str, holds: bool) -> Result<()> {
    ensure!(holds, "NOT {what}");
    println!("ok   {what}");
    Ok(())
}

fn spec((id, private_ip, _): (&str, Ipv4Addr, Ipv4Addr), tokens_required: bool) -> InstanceSpec {
    let octets = private_ip.octets();
    InstanceSpec {
        supplier: lab_vpc::Supplier::Ec2,
        id: id.into(),
        vpc_id: VPC.into(),
        subnet_id: "subnet-smoke".into(),
        private_ip,
        subnet_cidr: "10.77.1.0/24".parse().expect("a constant"),
        hostname: format!("ip-{}-{}-{}-{}", octets[0], octets[1], octets[2], octets[3]),
        image_id: "ami-0a1b2c3d4e5f60718".into(),
        instance_type: "t3.large".into(),
        az: "eu-central-1a".into(),
        region: "eu-central-1".into(),
        account_id: "123456789012".into(),
        user_data: USER_DATA.into(),
        mac: format!(
            "02:00:{:02x}:{:02x}:{:02x}:{:02x}",
            octets[0], octets[1], octets[2], octets[3]
        ),
        imds_hop_limit: 1,
        imds_tokens_required: tokens_required,
    }
}

fn rules(web_from: &[&str]) -> Vec<InstanceRules> {
    let web = Rule {
        protocol: Protocol::Tcp,
        from_port: 8080,
        to_port: 8080,
        source: web_from.iter().filter_map(|net| net.parse().ok()).collect(),
    };
    [A, B]
        .map(|(_, private_ip, _)| InstanceRules {
            private_ip,
            ingress: vec![web.clone()],
            source_dest_check: true,
        })
        .to_vec()
}

fn main() -> Result<()> {
    let cache = PathBuf::from(env::var("SKYKEEP_CACHE").context("SKYKEEP_CACHE")?);
    let own_internet = !Path::new("/run/netns/sk-inet").exists();
    if own_internet {
        sh(
            "ip netns add sk-inet && ip -n sk-inet link set lo up && ip -n sk-inet link add br0 type bridge \
            && ip -n sk-inet addr add 203.0.113.1/24 dev br0 && ip -n sk-inet addr add 203.0.113.53/24 dev br0 && ip -n sk-inet link set br0 up",
        )?;
    }
    let result = smoke(&cache);
    if own_internet {
        sh("ip netns del sk-inet")?;
    }
    result
}

fn smoke(cache: &Path) -> Result<()> {
    Hypervisor::clean_leftovers()?;
    let inotify = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances")?;
    let builder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/build");
    let image = sh(&format!("{}", builder.display()))?;
    let scratch = cache.join("smoke");
    fs::create_dir_all(&scratch)?;
    let ca = scratch.join("ca.pem");
    sh(&format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=Smoke CA' -keyout /dev/null -out {}",
        ca.display()
    ))?;
    let hv = Hypervisor::new(HypervisorConfig {
        image: image.trim().into(),
        work: scratch.clone(),
        ca,
        dns: Ipv4Addr::new(203, 0, 113, 53),
        internet: Internet::default(),
    })?;
    let tried = tries(&hv);
    if tried.is_err() && env::var_os("SMOKE_KEEP").is_some() {
        println!("{:?}\nkept for a look; Enter ends it", tried);
        println!("{}", hv.console(A.0));
        std::io::stdin().read_line(&mut String::new())?;
    }
    let ended = Instant::now();
    hv.shutdown_all()?;
    tried?;
    println!("ok   all ended in {:.1} s", ended.elapsed().as_secs_f32());
    check(
        "no process is left",
        sh("ps ax -o args | grep -F i-smoke | grep -v grep || true")?.is_empty(),
    )?;
    check("no namespace is left", !sh("ip netns list")?.contains("smoke"))?;
    check(
        "no mount is left",
        !fs::read_to_string("/proc/mounts")?.contains("/smoke/"),
    )?;
    check(
        "no cgroup is left",
        sh("find /sys/fs/cgroup -name 'i-smoke*'")?.is_empty(),
    )?;
    check("no file is left", fs::read_dir(&scratch)?.count() == 1)?;
    let others = fs::read_dir("/run/skylab/instance").map_or(0, Iterator::count);
    check(
        "the inotify limit is as before",
        others > 0 || inotify == fs::read_to_string("/proc/sys/fs/inotify/max_user_instances")?,
    )?;
    fs::remove_dir_all(&scratch)?;
    println!("smoke: all good");
    Ok(())
}

fn tries(hv: &Hypervisor) -> Result<()> {
    hv.create_vpc(VPC, "10.77.0.0/16".parse()?)?;
    hv.set_routes(VPC, &[], true)?;
    hv.set_public_addresses(VPC, &[(A.2, A.1), (B.2, B.1)])?;
    hv.set_firewall(VPC, &rules(&[]))?;
    let begun = Instant::now();
    hv.launch(spec(A, true))?;
    hv.launch(spec(B, false))?;
    println!("ok   two launches took {:.2} s", begun.elapsed().as_secs_f32());
    check(
        "an address is given once",
        hv.launch(InstanceSpec {
            supplier: lab_vpc::Supplier::Ec2,
            id: "i-smoke-c".into(),
            ..spec(A, true)
        })
        .is_err(),
    )?;
    check(
        "a failed launch harms no other",
        hv.alive(A.0) || Path::new("/run/netns/sk-i-i-smoke-a").exists(),
    )?;

    for id in [A.0, B.0] {
        eventually(&format!("{id}: cloud-init ran the user data"), 90, || {
            hv.run_in(id, &["curl", "-sSf", "localhost:8080"])
        })?;
    }
    let status = hv.run_in(A.0, &["cloud-init", "status", "--long", "--wait"])?;
    check(
        "cloud-init is content and used the Ec2 data source",
        status.contains("done") && status.contains("DataSourceEc2"),
    )?;
    check(
        "the hostname is as on EC2",
        hv.run_in(A.0, &["hostname"])?.trim() == "ip-10-77-1-10",
    )?;
    check("the console shows the boot", hv.console(A.0).contains("Cloud-init"))?;
    check(
        "systemd has no failed unit",
        hv.run_in(A.0, &["systemctl", "--failed", "--plain", "--no-legend"])?
            .trim()
            .is_empty(),
    )?;
    let store = "awk -v cmd='openssl x509 -noout -subject' '/BEGIN/{close(cmd)};{print | cmd}' /etc/ssl/certs/ca-certificates.crt";
    check(
        "the laboratory's CA is trusted",
        hv.run_in(A.0, &["sh", "-c", store])?.contains("Smoke CA"),
    )?;
    hv.run_in(A.0, &["modprobe", "-a", "overlay", "br_netfilter"])?;

    let a = format!("http://{}:8080/", A.2);
    let from_b = |to: Ipv4Addr| hv.run_in(B.0, &["curl", "-sSf", "--max-time", "2", &format!("http://{to}:8080/")]);
    check("security groups deny from outside", internet(&a).is_err())?;
    check("security groups deny inside one subnet", from_b(A.1).is_err())?;
    hv.set_firewall(VPC, &rules(&["10.77.1.11/32"]))?;
    check("a neighbour that is allowed gets in", from_b(A.1).is_ok())?;
    check("the world still does not", internet(&a).is_err())?;
    check(
        "by the public address the neighbour's private address counts for nothing",
        from_b(A.2).is_err(),
    )?;
    hv.set_firewall(VPC, &rules(&["203.0.113.241/32"]))?;
    check(
        "but its public address does",
        from_b(A.2).is_ok() && from_b(A.1).is_err(),
    )?;
    hv.set_firewall(VPC, &rules(&["0.0.0.0/0"]))?;
    check(
        "the world gets in when allowed",
        internet(&a)?.contains("ran by cloud-init"),
    )?;
    check(
        "instances reach the internet",
        hv.run_in(A.0, &["ping", "-c1", "-W2", "203.0.113.1"]).is_ok(),
    )?;
    hv.set_public_addresses(VPC, &[(A.2, A.1)])?;
    check(
        "without a public address they do not",
        hv.run_in(B.0, &["ping", "-c1", "-W2", "203.0.113.1"]).is_err(),
    )?;
    check(
        "a public address that was taken away answers no more",
        internet(&format!("http://{}:8080/", B.2)).is_err(),
    )?;

    names(hv)?;
    routes(hv)?;
    metadata(hv)?;
    balancer(hv)?;

    hv.terminate(B.0)?;
    check("a terminated instance is dead", !hv.alive(B.0) && hv.alive(A.0))?;
    check("its console remains", !hv.console(B.0).is_empty())?;
    hv.launch(spec(B, false))?;
    eventually("its address can be used again", 90, || {
        hv.run_in(B.0, &["curl", "-sSf", "localhost:8080"])
    })?;
    Ok(())
}

/// Names are asked at the network's base address plus two, by an instance that has no public address too.
fn names(hv: &Hypervisor) -> Result<()> {
    if internet("https://github.com").is_ok()
        || sh("ip netns exec sk-inet ss -Hlun src 203.0.113.53:53")?.contains(":53")
    {
        let found = hv.run_in(B.0, &["getent", "hosts", "github.com"])?;
        return check("names resolve", found.contains("203.0.113.10"));
    }
    // Without the laboratory's resolver an echo in its place shows that the packets get there and back.
    let mut echo = Command::new("ip")
        .args([
            "netns",
            "exec",
            "sk-inet",
            "socat",
            "UDP-RECVFROM:53,bind=203.0.113.53,fork",
            "EXEC:cat",
        ])
        .spawn()?;
    let asked = eventually("names are asked at base plus two", 10, || {
        let said = hv.run_in(B.0, &["sh", "-c", "echo hello | socat -t2 - UDP:10.77.0.2:53"])?;
        ensure!(said.contains("hello"), "the resolver's place said {said:?}");
        Ok(())
    });
    echo.kill()?;
    echo.wait()?;
    asked
}

fn routes(hv: &Hypervisor) -> Result<()> {
    hv.run_in(A.0, &["ip", "addr", "add", "10.244.1.1/32", "dev", "lo"])?;
    let ping = || hv.run_in(B.0, &["ping", "-c1", "-W1", "10.244.1.1"]);
    let mut open = rules(&["0.0.0.0/0"]);
    for rule in open.iter_mut().flat_map(|instance| &mut instance.ingress) {
        *rule = Rule {
            protocol: Protocol::All,
            from_port: -1,
            to_port: -1,
            ..rule.clone()
        };
    }
    hv.set_firewall(VPC, &open)?;
    check("an address of nobody is nowhere", ping().is_err())?;
    hv.set_routes(VPC, &[("10.244.1.0/24".parse()?, A.1)], true)?;
    check(
        "a route to an instance counts only without the source/destination check",
        ping().is_err(),
    )?;
    open[0].source_dest_check = false;
    hv.set_firewall(VPC, &open)?;
    check("then it does", ping().is_ok())?;
    hv.set_routes(VPC, &[], true)?;
    check("a deleted route is gone", ping().is_err())?;
    hv.set_firewall(VPC, &rules(&["0.0.0.0/0"]))
}

fn metadata(hv: &Hypervisor) -> Result<()> {
    let base = "http://169.254.169.254/latest";
    let id = |token: &str| {
        let header = format!("X-aws-ec2-metadata-token: {token}");
        hv.run_in(
            A.0,
            &[
                "curl",
                "-sSf",
                "--max-time",
                "3",
                "-H",
                &header,
                &format!("{base}/meta-data/instance-id"),
            ],
        )
    };
    check("IMDSv1 is refused where tokens are required", id("").is_err())?;
    check(
        "and works where they are not",
        hv.run_in(B.0, &["curl", "-sSf", &format!("{base}/meta-data/instance-id")])? == B.0,
    )?;
    let ask = format!("curl -sSf --max-time 3 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {base}/api/token");
    let token = hv.run_in(A.0, &["sh", "-c", &ask])?;
    check("IMDSv2 gives a token that opens", id(&token)? == A.0)?;
    // A pod is one hop further away than the instance: with a limit of one hop it gets no token.
    let pod = "ip netns add pod; ip link add pod0 type veth peer name eth0 netns pod; ip addr add 10.99.0.1/24 dev pod0; \
        ip link set pod0 up; ip -n pod addr add 10.99.0.2/24 dev eth0; ip -n pod link set eth0 up; \
        ip -n pod route add default via 10.99.0.1; echo 1 > /proc/sys/net/ipv4/ip_forward; \
        iptables -t nat -A POSTROUTING -s 10.99.0.0/24 -j MASQUERADE";
    hv.run_in(A.0, &["sh", "-c", pod])?;
    let in_pod = |line: &str| hv.run_in(A.0, &["sh", "-c", &format!("ip netns exec pod {line}")]);
    check(
        "a pod reaches the metadata service",
        in_pod(&format!("curl -s --max-time 3 -o /dev/null {base}/meta-data/")).is_ok(),
    )?;
    check("but the hop limit keeps the token from it", in_pod(&ask).is_err())?;
    hv.run_in(A.0, &["sh", "-c", "ip netns del pod"])?;
    Ok(())
}

fn balancer(hv: &Hypervisor) -> Result<()> {
    let targets = [A.1, B.1].map(|address| SocketAddrV4::new(address, 8080)).to_vec();
    let health = HealthCheck {
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        ..HealthCheck::default()
    };
    let wanted = Balancer {
        id: "entry".into(),
        addresses: vec![ENTRY],
        listeners: vec![Listener {
            port: 80,
            targets: targets.clone(),
            health,
        }],
    };
    let healthy = |wanted: &[bool]| -> Result<()> {
        let health: Vec<bool> = hv
            .target_health("entry", 80)
            .into_iter()
            .map(|(_, healthy)| healthy)
            .collect();
        if health != wanted {
            bail!("the targets' health is {health:?}");
        }
        Ok(())
    };
    hv.set_firewall(VPC, &rules(&[&format!("{}/32", ENTRY.1)]))?;
    hv.set_balancers(VPC, &[wanted])?;
    eventually(
        "both targets become healthy, seen by the balancer's private address",
        15,
        || healthy(&[true, true]),
    )?;
    let url = format!("http://{}/", ENTRY.0);
    check("the balancer answers", internet(&url)?.contains("ran by cloud-init"))?;
    check(
        "also from inside the network",
        hv.run_in(A.0, &["curl", "-sSf", "--max-time", "3", &url]).is_ok(),
    )?;
    hv.run_in(B.0, &["systemctl", "stop", "web"])?;
    eventually("a dead target becomes unhealthy", 15, || healthy(&[true, false]))?;
    for _ in 0..4 {
        internet(&url)?;
    }
    check("and gets no connections", true)?;
    hv.set_firewall(VPC, &rules(&[]))?;
    eventually("the security group counts for health checks", 15, || {
        healthy(&[false, false])
    })?;
    hv.set_balancers(VPC, &[])?;
    check("a deleted balancer answers no more", internet(&url).is_err())?;
    hv.set_firewall(VPC, &rules(&["0.0.0.0/0"]))?;
    Ok(())
}
