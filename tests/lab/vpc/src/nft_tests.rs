use super::*;

fn at(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 42, 1, last)
}

fn nets(list: &[&str]) -> Vec<Ipv4Net> {
    list.iter().map(|net| net.parse().unwrap()).collect()
}

fn policy(firewall: Vec<InstanceRules>) -> Policy {
    Policy {
        dns_inside: Ipv4Addr::new(10, 42, 0, 2),
        dns_outside: Ipv4Addr::new(203, 0, 113, 53),
        router: Ipv4Addr::new(203, 0, 113, 20),
        internet_gateway: true,
        firewall,
        public: vec![
            (Ipv4Addr::new(203, 0, 113, 160), at(10)),
            (Ipv4Addr::new(203, 0, 113, 161), at(11)),
        ],
        listeners: Vec::new(),
    }
}

fn chain<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let start = text.find(&format!("chain {name} {{")).unwrap();
    text[start..]
        .lines()
        .skip(1)
        .take_while(|line| line.trim() != "}")
        .map(str::trim)
        .collect()
}

fn one(protocol: Protocol, from_port: i32, to_port: i32, source: &[&str]) -> Vec<InstanceRules> {
    vec![InstanceRules {
        private_ip: at(10),
        ingress: vec![Rule {
            protocol,
            from_port,
            to_port,
            source: nets(source),
        }],
        source_dest_check: true,
    }]
}

#[test]
fn a_rule_lets_in_its_ports_from_its_sources_and_the_rest_is_dropped() {
    let text = render(&policy(one(Protocol::Tcp, 80, 81, &["10.42.1.0/24", "192.0.2.1/32"])));
    assert_eq!(
        chain(&text, "to_i0a2a010a"),
        [
            "ip daddr != 10.42.1.10 drop",
            "meta nfproto ipv6 drop",
            "ip saddr { 10.42.1.0/24, 192.0.2.1/32 } tcp dport 80-81 accept",
            "drop"
        ]
    );
}

#[test]
fn a_rule_without_sources_lets_nobody_in() {
    let text = render(&policy(one(Protocol::All, -1, -1, &[])));
    assert!(!chain(&text, "to_i0a2a010a").iter().any(|line| line.contains("accept")));
}

#[test]
fn overlapping_sources_become_one_because_nftables_refuses_overlaps() {
    let text = render(&policy(one(Protocol::Udp, 53, 53, &["10.42.0.0/16", "10.42.1.0/24"])));
    assert!(chain(&text, "to_i0a2a010a").contains(&"ip saddr { 10.42.0.0/16 } udp dport 53-53 accept"));
}

#[test]
fn everybody_is_every_ipv4_address() {
    let text = render(&policy(one(Protocol::Icmp, 8, -1, &["0.0.0.0/0"])));
    assert!(chain(&text, "to_i0a2a010a").contains(&"meta nfproto ipv4 icmp type 8 accept"));
}

#[test]
fn by_its_public_address_an_instance_is_reached_only_by_those_whose_public_address_is_allowed() {
    let private_range = render(&policy(one(Protocol::Tcp, 80, 80, &["10.42.0.0/16"])));
    assert!(
        !chain(&private_range, "around_i0a2a010a")
            .iter()
            .any(|line| line.contains("accept"))
    );
    let public_address = render(&policy(one(Protocol::Tcp, 80, 80, &["203.0.113.161/32"])));
    assert!(chain(&public_address, "around_i0a2a010a").contains(&"ip saddr { 10.42.1.11/32 } tcp dport 80-80 accept"));
}

#[test]
fn without_the_check_an_instance_may_forward_for_others() {
    let mut rules = one(Protocol::All, -1, -1, &["10.42.0.0/16"]);
    assert!(chain(&render(&policy(rules.clone())), "from_i0a2a010a").contains(&"ip saddr != 10.42.1.10 drop"));
    rules[0].source_dest_check = false;
    assert!(chain(&render(&policy(rules)), "from_i0a2a010a").is_empty());
}

#[test]
fn without_a_gateway_only_names_are_resolved() {
    let mut closed = policy(one(Protocol::Tcp, 80, 80, &["0.0.0.0/0"]));
    closed.internet_gateway = false;
    closed.listeners = vec![(Ipv4Addr::new(203, 0, 113, 170), 443)];
    let text = render(&closed);
    let outward: Vec<_> = chain(&text, "forward")
        .into_iter()
        .filter(|line| line.starts_with("oifname \"uplink\""))
        .collect();
    assert_eq!(
        outward,
        [
            "oifname \"uplink\" ct original ip daddr 10.42.0.2 accept",
            "oifname \"uplink\" drop"
        ]
    );
    assert!(!text.contains("@to_private") && !text.contains("203.0.113.170"));
}

#[test]
fn an_instance_in_no_security_group_is_cut_off() {
    let text = render(&policy(Vec::new()));
    assert_eq!(chain(&text, "forward")[1], "iifname \"i*\" drop");
    let text = render(&policy(one(Protocol::All, -1, -1, &["0.0.0.0/0"])));
    assert_eq!(
        chain(&text, "forward")[1],
        "iifname \"i*\" iifname != { \"i0a2a010a\" } drop"
    );
}
