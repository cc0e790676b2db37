//! The router's rules as one nftables text, replaced in a single transaction. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::spec::{InstanceRules, Protocol, Rule};

/// The metadata service's address.
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The router's interface to the internet.
pub const UPLINK: &str = "uplink";

/// Everything that decides what the router lets through.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Where instances send DNS.
    pub dns_inside: Ipv4Addr,
    /// Where it goes.
    pub dns_outside: Ipv4Addr,
    /// The router's own address on the internet.
    pub router: Ipv4Addr,
    /// Whether anything else goes in or out.
    pub internet_gateway: bool,
    /// Security groups, by address.
    pub firewall: Vec<InstanceRules>,
    /// (public, private)
    pub public: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Addresses and ports on which balancers listen.
    pub listeners: Vec<(Ipv4Addr, u16)>,
}

/// The name of the router's interface to an instance, known before the instance exists.
pub fn interface(private: Ipv4Addr) -> String {
    format!("i{:08x}", u32::from(private))
}

/// The router's ruleset.
pub fn render(policy: &Policy) -> String {
    let mut text = String::from("table inet skykeep\ndelete table inet skykeep\ntable inet skykeep {\n");
    addresses(&mut text, policy);
    for instance in &policy.firewall {
        instance_chains(&mut text, instance, &policy.public);
    }
    nat(&mut text, policy);
    filter(&mut text, policy);
    text.push_str("}\n");
    text
}

fn addresses(text: &mut String, policy: &Policy) {
    let map = |pairs: Vec<(Ipv4Addr, Ipv4Addr)>| {
        let pairs: BTreeMap<_, _> = pairs.into_iter().collect();
        let list: Vec<_> = pairs.iter().map(|(from, to)| format!("{from} : {to}")).collect();
        if list.is_empty() {
            String::new()
        } else {
            format!(" elements = {{ {} }};", list.join(", "))
        }
    };
    let inward = map(policy.public.clone());
    let outward = map(policy
        .public
        .iter()
        .map(|(public, private)| (*private, *public))
        .collect());
    let _ = writeln!(text, "  map to_private {{ type ipv4_addr : ipv4_addr;{inward} }}");
    let _ = writeln!(text, "  map to_public {{ type ipv4_addr : ipv4_addr;{outward} }}");
}

/// Three chains per instance: what it may send, what it may receive, and what it may receive by way of its public address
/// from inside the network (on a cloud that arrives from the sender's public address).
fn instance_chains(text: &mut String, instance: &InstanceRules, public: &[(Ipv4Addr, Ipv4Addr)]) {
    let name = interface(instance.private_ip);
    let check = |direction: &str| {
        if instance.source_dest_check {
            format!(
                "    ip {direction} != {} drop\n    meta nfproto ipv6 drop\n",
                instance.private_ip
            )
        } else {
            String::new()
        }
    };
    let _ = write!(text, "  chain from_{name} {{\n{}  }}\n", check("saddr"));
    let _ = write!(text, "  chain to_{name} {{\n{}", check("daddr"));
    for rule in &instance.ingress {
        allow(text, rule, &rule.source);
    }
    text.push_str("    drop\n  }\n");
    let _ = write!(text, "  chain around_{name} {{\n{}", check("daddr"));
    for rule in &instance.ingress {
        let senders: Vec<_> = public
            .iter()
            .filter(|(public, _)| rule.source.iter().any(|net| net.contains(public)))
            .map(|(_, private)| Ipv4Net::from(*private))
            .collect();
        allow(text, rule, &senders);
    }
    text.push_str("    drop\n  }\n");
}

fn allow(text: &mut String, rule: &Rule, source: &[Ipv4Net]) {
    if source.is_empty() {
        return;
    }
    let source = Ipv4Net::aggregate(&source.to_vec());
    let from = if source.iter().any(|net| net.prefix_len() == 0) {
        "meta nfproto ipv4".to_owned()
    } else {
        let list: Vec<_> = source.iter().map(ToString::to_string).collect();
        format!("ip saddr {{ {} }}", list.join(", "))
    };
    let _ = writeln!(text, "    {from}{} accept", what(rule));
}

fn what(rule: &Rule) -> String {
    let ports = |name: &str| {
        if rule.from_port < 0 || (rule.from_port == 0 && rule.to_port == 65535) {
            format!(" meta l4proto {name}")
        } else {
            format!(" {name} dport {}-{}", rule.from_port, rule.to_port.max(rule.from_port))
        }
    };
    match rule.protocol {
        Protocol::All => String::new(),
        Protocol::Tcp => ports("tcp"),
        Protocol::Udp => ports("udp"),
        Protocol::Icmp if rule.from_port < 0 => " meta l4proto icmp".into(),
        Protocol::Icmp if rule.to_port < 0 => format!(" icmp type {}", rule.from_port),
        Protocol::Icmp => format!(" icmp type {} icmp code {}", rule.from_port, rule.to_port),
    }
}

fn nat(text: &mut String, policy: &Policy) {
    let Policy {
        dns_inside,
        dns_outside,
        router,
        ..
    } = policy;
    let (dnat, snat) = if policy.internet_gateway {
        (
            "    dnat ip to ip daddr map @to_private\n",
            "    oifname \"uplink\" snat ip to ip saddr map @to_public\n",
        )
    } else {
        ("", "")
    };
    let _ = write!(
        text,
        "  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname \"i*\" ip daddr {dns_inside} meta l4proto {{ tcp, udp }} th dport 53 dnat ip to {dns_outside}
{dnat}  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname \"{UPLINK}\" ct original ip daddr {dns_inside} snat ip to {router}
{snat}    iifname \"i*\" oifname \"i*\" ct status dnat snat ip to ip saddr map @to_public
  }}
"
    );
}

fn filter(text: &mut String, policy: &Policy) {
    let to_chain = |prefix: &str| {
        let list: Vec<_> = policy
            .firewall
            .iter()
            .map(|instance| interface(instance.private_ip))
            .map(|name| format!("\"{name}\" : jump {prefix}_{name}"))
            .collect();
        list.join(", ")
    };
    // An empty verdict map is a syntax error.
    let dispatch = |key: &str, condition: &str, prefix: &str| {
        if policy.firewall.is_empty() {
            String::new()
        } else {
            format!("    {condition}{key} vmap {{ {} }}\n", to_chain(prefix))
        }
    };
    let listeners: Vec<_> = policy
        .listeners
        .iter()
        .map(|(address, port)| format!("{address} . {port}"))
        .collect();
    let accept_listeners = if listeners.is_empty() || !policy.internet_gateway {
        String::new()
    } else {
        format!("    ip daddr . tcp dport {{ {} }} accept\n", listeners.join(", "))
    };
    let known: Vec<_> = policy
        .firewall
        .iter()
        .map(|instance| format!("\"{}\"", interface(instance.private_ip)))
        .collect();
    let unknown = if known.is_empty() {
        "    iifname \"i*\" drop\n".into()
    } else {
        format!("    iifname \"i*\" iifname != {{ {} }} drop\n", known.join(", "))
    };
    let egress = if policy.internet_gateway && !policy.public.is_empty() {
        let private: Vec<_> = policy.public.iter().map(|(_, private)| private.to_string()).collect();
        format!(
            "    oifname \"{UPLINK}\" ip saddr {{ {} }} accept\n",
            private.join(", ")
        )
    } else {
        String::new()
    };
    let _ = write!(
        text,
        "  chain input {{
    type filter hook input priority filter; policy drop;
    iifname \"lo\" accept
{from}    ct state established,related accept
    iifname \"i*\" ip daddr {METADATA} tcp dport 80 accept
{accept_listeners}  }}
  chain output {{
    type filter hook output priority filter; policy accept;
    ct state established,related accept
{to_from_router}    oifname \"i*\" drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
{unknown}{from}    ct state established,related accept
    oifname \"{UPLINK}\" ct original ip daddr {dns} accept
{egress}    oifname \"{UPLINK}\" drop
    iifname \"{UPLINK}\" ct status dnat jump inbound
    iifname \"{UPLINK}\" drop
{around}{to}  }}
  chain inbound {{
{to}    drop
  }}
",
        from = dispatch("iifname", "", "from"),
        to = dispatch("oifname", "", "to"),
        around = dispatch("oifname", "ct status dnat ", "around"),
        to_from_router = dispatch("oifname", "", "to"),
        dns = policy.dns_inside,
    );
}

#[cfg(test)]
#[path = "nft_tests.rs"]
mod tests;
