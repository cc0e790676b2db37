//! What a crashed laboratory left on this host. Whatever a living process answers for is not touched.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::host::{netns_list, run};
use crate::registry::{self, Kind, owner_lives};
use crate::router::{erase, netns_of_instance, netns_of_vpc};
use crate::spec::Internet;
use crate::{cgroup, layer};

/// Removes it all.
pub fn clean(internet: &Internet) -> Result<()> {
    let dead = |kind| {
        registry::entries(kind)
            .into_iter()
            .filter(|entry| !owner_lives(entry))
            .collect::<Vec<_>>()
    };
    for instance in dead(Kind::Instance) {
        cgroup::destroy(&instance.name)?;
        let _ = run(&format!("ip netns del {}", netns_of_instance(&instance.name)));
        registry::release(Kind::Instance, &instance.name);
    }
    for vpc in dead(Kind::Vpc) {
        erase(
            &vpc.name,
            internet,
            vpc.note.parse().context("the router's address in the registry")?,
        );
    }
    for uplink in dead(Kind::Uplink) {
        registry::release(Kind::Uplink, &uplink.name);
    }
    for work in dead(Kind::Work) {
        layer::unmount_below(Path::new(&work.note));
        if Path::new(&work.note).exists() {
            fs::remove_dir_all(&work.note).with_context(|| format!("removing {}", work.note))?;
        }
        registry::release(Kind::Work, &work.name);
    }
    let living = |kind| {
        registry::entries(kind)
            .into_iter()
            .map(|entry| entry.name)
            .collect::<Vec<_>>()
    };
    let (instances, vpcs) = (living(Kind::Instance), living(Kind::Vpc));
    for id in cgroup::instances().iter().filter(|id| !instances.contains(id)) {
        cgroup::destroy(id)?;
    }
    for netns in netns_list() {
        let ours = netns.starts_with("sk-i-") || netns.starts_with("sk-vpc-");
        let known = instances.iter().any(|id| netns_of_instance(id) == netns)
            || vpcs.iter().any(|id| netns_of_vpc(id) == netns);
        if ours && !known {
            run(&format!("ip netns del {netns}"))?;
        }
    }
    registry::restore_inotify();
    Ok(())
}
