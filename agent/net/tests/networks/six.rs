//! IPv6: addresses from the router's announcements, name servers from them or from a server, and a network that has nothing else.

use crate::space::World;

/// A router that announces 2001:db8:9::/64, with these lines beside.
pub fn router(world: &mut World, lines: &str) {
    world.ip("router", "addr add 2001:db8:9::1/64 dev lan0 nodad");
    world.run("router", &["sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1"]);
    let settings = world.folder.join("radvd.conf");
    let text = format!(
        "interface lan0 {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; prefix 2001:db8:9::/64 {{ }}; {lines} }};\n"
    );
    std::fs::write(&settings, text).expect("a file");
    let pid = world.folder.join("radvd.pid");
    let words = [
        "radvd",
        "--nodaemon",
        "--logmethod=stderr",
        "--config",
        settings.to_str().expect("a path"),
        "--pidfile",
        pid.to_str().expect("a path"),
    ];
    world.serve("radvd", "router", &words);
}

#[test]
fn a_network_with_ipv6_alone_is_enough() {
    let mut world = World::new();
    router(&mut world, "RDNSS 2001:db8:9::53 { AdvRDNSSLifetime 600; };");
    let mut laptop = world.laptop(&[]);
    let up = laptop.says("up ", 15);
    assert!(
        up.contains("eth0 2001:db8:9:0:") && up.contains("/64 fe80::") && up.contains("[2001:db8:9::53]"),
        "{up}"
    );
    let names = world.run("laptop", &["cat", "/etc/resolv.conf"]);
    assert!(names.contains("nameserver 2001:db8:9::53"), "{names}");
    // The address is not made of the card's own (ff:fe in the middle).
    assert!(!up.split(' ').nth(2).is_some_and(|own| own.contains("ff:fe")), "{up}");
    let pinged = world.run("laptop", &["busybox", "ping", "-c1", "-w5", "2001:db8:9::1"]);
    assert!(pinged.contains(" 0% packet loss"), "{pinged}");
    // DHCP is asked for all the time, but nothing listens between the questions of a network that has it; nothing accepts a connection.
    let ports = world.run("laptop", &["ss", "-Hlnt"]);
    assert_eq!(ports.trim(), "", "open ports");
}

/// One announcement with a router's lifetime, a prefix for addresses, a name server, and 64:ff9b::/96 for IPv4 (RFC 8781), as radvd of Debian 12 can't say it.
const WITH_TRANSLATOR: &str = r#"
import socket, struct, time
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
a = lambda text: socket.inet_pton(socket.AF_INET6, text)
card = socket.if_nametoindex("lan0")
packet = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 600, 0, 0)
packet += struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 3600, 3600, 0) + a("2001:db8:9::")
packet += struct.pack("!BBHI", 25, 3, 0, 600) + a("2001:db8:9::53")
packet += struct.pack("!BBH", 38, 2, 600) + a("64:ff9b::")[:12]
while True:
    try:
        s.sendto(packet, ("ff02::1", 0, 0, card))
    except OSError:
        pass
    time.sleep(1)
"#;

#[test]
fn the_prefix_of_a_translator_comes_with_the_announcement() {
    let mut world = World::new();
    world.serve("announcer", "router", &["python3", "-c", WITH_TRANSLATOR]);
    let mut laptop = world.laptop(&[]);
    let up = laptop.says("up ", 20);
    assert!(up.contains("[2001:db8:9::53]") && up.contains("nat64: Some("), "{up}");
}

#[test]
fn a_name_server_that_is_taken_back_is_forgotten() {
    let mut world = World::new();
    router(&mut world, "RDNSS 2001:db8:9::53 { AdvRDNSSLifetime 8; };");
    let mut laptop = world.laptop(&[]);
    laptop.says("up ", 15);
    world.end("radvd");
    router_again(&mut world, "RDNSS 2001:db8:9::54 { AdvRDNSSLifetime 600; };");
    let began = std::time::Instant::now();
    loop {
        let names = world.run("laptop", &["cat", "/etc/resolv.conf"]);
        if names.contains("2001:db8:9::54") && !names.contains("2001:db8:9::53") {
            break;
        }
        assert!(began.elapsed().as_secs() < 25, "{names}");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

fn router_again(world: &mut World, lines: &str) {
    world.ip("router", "addr del 2001:db8:9::1/64 dev lan0");
    router(world, lines);
}

#[test]
fn without_name_servers_in_the_announcement_a_dhcpv6_server_is_asked() {
    let mut world = World::new();
    router(&mut world, "AdvOtherConfigFlag on;");
    world.dnsmasq(
        "dhcp6",
        "router",
        &[
            "--port=0",
            "--dhcp-range=2001:db8:9::,static,64",
            "--dhcp-option=option6:dns-server,[2001:db8:9::55]",
        ],
    );
    let mut laptop = world.laptop(&[]);
    let up = laptop.says("up ", 15);
    assert!(up.contains("[2001:db8:9::55]"), "{up}");
    let log = world.log("dhcp6");
    assert!(
        log.contains("DHCPINFORMATION-REQUEST(lan0) <null>"),
        "asked without an identifier: {log}"
    );
}

#[test]
fn both_halves_of_a_network_are_used() {
    let mut world = World::new();
    router(&mut world, "RDNSS 2001:db8:9::53 { AdvRDNSSLifetime 600; };");
    world.dnsmasq(
        "dhcp",
        "router",
        &[
            "--port=0",
            "--dhcp-range=10.9.0.100,10.9.0.150,255.255.255.0,1h",
            "--dhcp-option=option:dns-server,10.9.0.53",
        ],
    );
    let mut laptop = world.laptop(&[]);
    let up = laptop.says("up ", 15);
    assert!(up.contains(" 10.9.0.1"), "{up}");
    let began = std::time::Instant::now();
    loop {
        let names = world.run("laptop", &["cat", "/etc/resolv.conf"]);
        if names.starts_with("nameserver 10.9.0.53\nnameserver 2001:db8:9::53\n") {
            break;
        }
        assert!(began.elapsed().as_secs() < 15, "{names}");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

#[test]
fn typed_addresses_work_without_any_server_for_either_kind() {
    let world = World::new();
    world.ip("router", "addr add 2001:db8:9::1/64 dev lan0 nodad");
    for (typed, shown, router) in [
        ("10.9.0.77/24 10.9.0.1 9.9.9.9", "10.9.0.77/24 10.9.0.1", "10.9.0.1"),
        (
            "2001:db8:9::77/64 2001:db8:9::1",
            "2001:db8:9::77/64 2001:db8:9::1",
            "2001:db8:9::1",
        ),
    ] {
        let mut laptop = world.laptop(&[&format!("fixed={typed}")]);
        let up = laptop.says("up ", 10);
        assert!(up.contains(shown), "{up}");
        let pinged = world.run("laptop", &["busybox", "ping", "-c1", "-w5", router]);
        assert!(pinged.contains(" 0% packet loss"), "{pinged}");
    }
}
