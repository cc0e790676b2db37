//! Looks into a living castle with the laboratory's own eyes: what a stranger reaches, what lies on the disks, how it is hardened.

use anyhow::{Context, Result};

use crate::{
    cis,
    lab::{Lab, Machine},
    verdicts::Verdicts,
};

/// What a machine is looked for from outside: SSH, and everything that Kubernetes opens. The node ports are the entry's.
const PORTS: [std::ops::RangeInclusive<u16>; 5] = [1..=1024, 2379..=2381, 6443..=6443, 10247..=10260, 30000..=32767];

/// All machines of the castle.
pub fn machines(lab: &Lab) -> Vec<Machine> {
    lab.instances()
}

/// All of it.
pub async fn look(lab: &Lab, verdicts: &mut Verdicts) -> Result<()> {
    let machines = machines(lab);
    strangers(lab, verdicts).await?;
    tokio::task::block_in_place(|| {
        no_login(lab, &machines, verdicts)?;
        disks(lab, &machines, verdicts)?;
        cis::judge(lab, &machines, verdicts)
    })
}

/// A scan of every public address of the machines.
async fn strangers(lab: &Lab, verdicts: &mut Verdicts) -> Result<()> {
    let addresses = lab.public_addresses();
    let (mut open, mut probed) = (Vec::new(), 0);
    for ports in PORTS {
        probed += ports.clone().count() * addresses.len();
        let scans = addresses
            .iter()
            .map(|address| lab.world.port_scan((*address).into(), ports.clone()));
        for (address, seen) in addresses.iter().zip(futures::future::join_all(scans).await) {
            open.extend(seen?.open_tcp.iter().map(|port| format!("{address}:{port}")));
        }
    }
    verdicts.must(
        addresses.len() == 5 && open.is_empty(),
        "a stranger on the internet reaches no port of any machine: no SSH, no API, no node port",
        if open.is_empty() {
            format!("{probed} probes at {} addresses", addresses.len())
        } else {
            open.join(", ")
        },
    );
    Ok(())
}

/// Nothing on a machine listens for logins, whoever may reach it.
fn no_login(lab: &Lab, machines: &[Machine], verdicts: &mut Verdicts) -> Result<()> {
    let mut found = Vec::new();
    let mut sockets = 0;
    for machine in machines {
        let listening = lab.machines.run_in(&machine.id, &["ss", "-Htlnp"])?;
        sockets += listening.lines().count();
        let login = |line: &&str| {
            let port = line
                .split_whitespace()
                .nth(3)
                .and_then(|local| local.rsplit(':').next());
            port == Some("22") || line.contains("\"sshd\"") || line.contains("\"telnetd\"")
        };
        found.extend(
            listening
                .lines()
                .filter(login)
                .map(|line| format!("{}: {line}", machine.name)),
        );
    }
    verdicts.must(
        sockets > 5 && found.is_empty(),
        "no machine takes logins, not even from its neighbours",
        format!("{sockets} listening sockets looked at{}", found.join("; ")),
    );
    Ok(())
}

/// etcd's files hold no secret in the clear; that the search works is shown by a config map.
fn disks(lab: &Lab, machines: &[Machine], verdicts: &mut Verdicts) -> Result<()> {
    let secret = &lab.world.credentials().github_token;
    let count = |machine: &Machine, needle: &str| -> Result<usize> {
        let script = format!(
            "cat /var/lib/etcd/member/snap/db /var/lib/etcd/member/wal/*.wal | grep -aoF -- '{needle}' | wc -l"
        );
        let said = lab.machines.run_in(&machine.id, &["sh", "-c", &script])?;
        said.trim().parse().with_context(|| format!("{}: {said}", machine.name))
    };
    let (mut secrets, mut plain) = (0, 0);
    for machine in machines.iter().filter(|m| m.name.starts_with("cp")) {
        secrets += count(machine, secret)?;
        plain += usize::from(count(machine, "cluster_name")? > 0);
    }
    verdicts.must(
        secrets == 0 && plain == 3,
        "the Git token, a Secret of this cluster, is nowhere in etcd's files",
        format!("{secrets} hits; a ConfigMap is found on {plain} of 3"),
    );
    Ok(())
}
