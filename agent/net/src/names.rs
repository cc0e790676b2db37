//! Whether this network's name servers answer, and honestly.

use hickory_resolver::Resolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError as DnsError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::net::IpAddr;
use std::time::Duration;

/// What asking showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// A name that exists has an address, and one that can't exist has none.
    Work,
    /// A name that can't exist has this address: somebody answers for every name.
    Lie(IpAddr),
    /// They answer, but do not know this name of the castle.
    Unknown(String),
    /// No name server answers.
    Silent,
}

/// Asks for `name` (one of the castle's hosts) and for a name that can't exist (IANA keeps `example.com` with two names in it).
pub(crate) async fn look(servers: &[IpAddr], name: &str) -> Names {
    let Ok(resolver) = resolver(servers) else {
        return Names::Silent;
    };
    let mut letters = [0; 8];
    // Without random bytes it is the same name each time, which a liar could learn; nobody does.
    let _ = getrandom::fill(&mut letters);
    let nobody: String = letters.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    let (nobody, real) = tokio::join!(
        resolver.lookup_ip(format!("{nobody}.example.com.")),
        resolver.lookup_ip(format!("{name}."))
    );
    let lie = nobody.ok().and_then(|answer| answer.iter().next());
    match (lie, real) {
        (Some(address), _) => Names::Lie(address),
        (None, Ok(_)) => Names::Work,
        (None, Err(error)) if error.is_no_records_found() => Names::Unknown(name.to_owned()),
        (None, Err(_)) => Names::Silent,
    }
}

fn resolver(servers: &[IpAddr]) -> Result<Resolver<TokioRuntimeProvider>, DnsError> {
    let servers = servers
        .iter()
        .map(|server| NameServerConfig::udp_and_tcp(*server))
        .collect();
    let mut options = ResolverOpts::default();
    options.timeout = Duration::from_secs(3);
    options.attempts = 1;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    Resolver::builder_with_config(
        ResolverConfig::from_parts(None, Vec::new(), servers),
        TokioRuntimeProvider::default(),
    )
    .with_options(options)
    .build()
}
