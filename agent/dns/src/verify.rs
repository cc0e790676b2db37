//! Does the world see the change? Asks every authoritative server and some recursive resolvers, directly.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use hickory_resolver::{
    Resolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    proto::rr::{RData, RecordType},
};
use skykeep_core::{Deadline, Progress, Trouble, deadline::Look, poll};

use crate::error::DnsError;

type Dns = Resolver<TokioRuntimeProvider>;

/// What the world should see.
pub struct Expected<'a> {
    /// The zone.
    pub zone: &'a str,
    /// The names; leave out those behind the supplier's proxies ([`crate::Change::proxied`]).
    pub names: &'a [String],
    /// The addresses that each name must have: these and no others.
    pub addresses: &'a [Ipv4Addr],
}

/// Waits until every authoritative server of the zone, and every resolver given, answers with exactly the expected
/// addresses. `resolvers` are recursive servers (of this network, or public ones); at least one is needed to find the zone's own servers.
pub async fn verify(
    expected: &Expected<'_>,
    resolvers: &[IpAddr],
    deadline: Deadline,
    progress: &Progress,
) -> Result<(), Trouble> {
    let wanted: BTreeSet<Ipv4Addr> = expected.addresses.iter().copied().collect();
    let recursive = server(resolvers, true)?;
    let authorities = poll(
        "the name servers of the zone",
        deadline,
        Duration::from_secs(2),
        || async {
            match authorities(&recursive, expected.zone).await {
                Ok(found) => Ok(Look::Ready(found)),
                Err(why) => Ok(Look::NotYet(why)),
            }
        },
    )
    .await?;
    let mut ask = Vec::new();
    for address in &authorities {
        ask.push((format!("authoritative server {address}"), server(&[*address], false)?));
    }
    for address in resolvers {
        ask.push((format!("resolver {address}"), server(&[*address], true)?));
    }
    for (who, dns) in &ask {
        for name in expected.names {
            let what = format!("{who} to answer for {name}");
            poll(&what, deadline, Duration::from_secs(1), || async {
                match addresses(dns, name).await {
                    Ok(seen) if seen == wanted => Ok(Look::Ready(())),
                    Ok(seen) if seen.is_empty() => Ok(Look::NotYet("no address".into())),
                    Ok(seen) => {
                        let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
                        Ok(Look::NotYet(seen.join(", ")))
                    }
                    Err(why) => Ok(Look::NotYet(why)),
                }
            })
            .await?;
        }
        progress.note(format!("{who}: all names there"));
    }
    Ok(())
}

/// A client of these servers alone: no system file, no cache.
fn server(addresses: &[IpAddr], recursive: bool) -> Result<Dns, DnsError> {
    let servers = addresses
        .iter()
        .map(|address| NameServerConfig::udp_and_tcp(*address))
        .collect();
    let mut options = ResolverOpts::default();
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = Duration::from_secs(3);
    options.attempts = 1;
    options.recursion_desired = recursive;
    Resolver::builder_with_config(
        ResolverConfig::from_parts(None, vec![], servers),
        TokioRuntimeProvider::default(),
    )
    .with_options(options)
    .build()
    .map_err(|e| DnsError::Servers(e.to_string()))
}

/// IPv4 addresses of a name; empty when there are none.
async fn addresses(dns: &Dns, name: &str) -> Result<BTreeSet<Ipv4Addr>, String> {
    let full = format!("{}.", name.trim_end_matches('.'));
    match dns.lookup(full, RecordType::A).await {
        Ok(found) => Ok(found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(a) => Some(a.0),
                _ => None,
            })
            .collect()),
        Err(e) if e.is_no_records_found() => Ok(BTreeSet::new()),
        Err(e) => Err(e.to_string()),
    }
}

/// Addresses of the zone's own name servers.
async fn authorities(dns: &Dns, zone: &str) -> Result<BTreeSet<IpAddr>, String> {
    let full = format!("{}.", zone.trim_end_matches('.'));
    let found = dns
        .lookup(full, RecordType::NS)
        .await
        .map_err(|e| format!("no NS records: {e}"))?;
    let mut servers = BTreeSet::new();
    for record in found.answers() {
        if let RData::NS(name) = &record.data {
            servers.extend(addresses(dns, &name.0.to_utf8()).await?.into_iter().map(IpAddr::V4));
        }
    }
    if servers.is_empty() {
        Err("its name servers have no IPv4 address".into())
    } else {
        Ok(servers)
    }
}
