//! Boots instances with a user data file and leaves them running until standard input ends: to look at nodes by hand.
//! `boot USER_DATA CA COUNT [hetzner]`; addresses 10.77.1.10 and on, public 203.0.113.230 and on, every port open. Needs sk-inet.

use std::env;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lab_vpc::{Hypervisor, HypervisorConfig, InstanceRules, InstanceSpec, Internet, Protocol, Rule, Supplier};

fn main() -> Result<()> {
    let args: Vec<String> = env::args().collect();
    let [_, user_data, ca, count, more @ ..] = args.as_slice() else {
        anyhow::bail!("boot USER_DATA CA COUNT [hetzner]")
    };
    let supplier = match more {
        [] => Supplier::Ec2,
        [word] if word == "hetzner" => Supplier::Hetzner,
        _ => anyhow::bail!("the only other supplier is hetzner"),
    };
    let user_data = fs::read(user_data)?;
    let count: u8 = count.parse()?;
    ensure!(count <= 10, "at most ten");
    let builder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/build");
    let image = String::from_utf8(Command::new(builder).output()?.stdout)?;
    Hypervisor::clean_leftovers()?;
    let hv = Hypervisor::new(HypervisorConfig {
        image: image.trim().into(),
        work: PathBuf::from(env::var("SKYKEEP_CACHE").context("SKYKEEP_CACHE")?).join("boot"),
        ca: ca.into(),
        dns: Ipv4Addr::new(203, 0, 113, 53),
        internet: Internet::default(),
    })?;
    let vpc = "vpc-boot";
    let nodes: Vec<(String, Ipv4Addr, Ipv4Addr)> = (0..count)
        .map(|n| {
            (
                match supplier {
                    Supplier::Ec2 => format!("i-boot-{n}"),
                    Supplier::Hetzner => format!("hz-471100{n}"),
                },
                Ipv4Addr::new(10, 77, 1, 10 + n),
                Ipv4Addr::new(203, 0, 113, 230 + n),
            )
        })
        .collect();
    hv.create_vpc(vpc, "10.77.0.0/16".parse()?)?;
    hv.set_routes(vpc, &[], true)?;
    hv.set_public_addresses(
        vpc,
        &nodes
            .iter()
            .map(|(_, private, public)| (*public, *private))
            .collect::<Vec<_>>(),
    )?;
    let open = Rule {
        protocol: Protocol::All,
        from_port: -1,
        to_port: -1,
        source: vec!["0.0.0.0/0".parse()?],
    };
    let rules: Vec<_> = nodes
        .iter()
        .map(|(_, private_ip, _)| InstanceRules {
            private_ip: *private_ip,
            ingress: vec![open.clone()],
            source_dest_check: true,
        })
        .collect();
    hv.set_firewall(vpc, &rules)?;
    let begun = Instant::now();
    for (n, (id, private_ip, _)) in nodes.iter().enumerate() {
        hv.launch(InstanceSpec {
            supplier,
            id: id.clone(),
            vpc_id: vpc.into(),
            subnet_id: "subnet-boot".into(),
            private_ip: *private_ip,
            subnet_cidr: "10.77.1.0/24".parse()?,
            hostname: format!("ip-10-77-1-{}", 10 + n),
            image_id: "ami-0a1b2c3d4e5f60718".into(),
            instance_type: "t3.large".into(),
            az: "eu-central-1a".into(),
            region: "eu-central-1".into(),
            account_id: "123456789012".into(),
            user_data: user_data.clone(),
            mac: format!("02:00:0a:4d:01:{:02x}", 10 + n),
            imds_hop_limit: 1,
            imds_tokens_required: true,
        })?;
    }
    for (id, ..) in &nodes {
        while hv
            .run_in(id, &["test", "-e", "/var/lib/cloud/instance/boot-finished"])
            .is_err()
        {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        println!(
            "{id} has run its user data {:.1} s after the first launch",
            begun.elapsed().as_secs_f32()
        );
    }
    println!("running; end of input ends it");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    hv.shutdown_all()
}
