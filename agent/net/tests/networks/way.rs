//! Ways out that are not straight: a proxy, a translator to IPv4, half a network that is broken, a hole that swallows large packets, and a network that is away.

use crate::laptop::Laptop;
use crate::six::router;
use crate::space::World;

const HOSTS: &str = "hosts=a.castle.example,b.castle.example";
const RANGE: &str = "--dhcp-range=10.9.0.100,10.9.0.150,255.255.255.0,1h";
const NAMES: &str = "--address=/castle.example/198.51.100.7";

fn started(world: &World, ca: &str, words: &[&str]) -> Laptop {
    let ca = format!("ca={ca}");
    let mut all = vec![HOSTS, ca.as_str()];
    all.extend(words);
    world.laptop(&all)
}

#[test]
fn where_only_a_proxy_leads_out_everything_goes_through_it_and_it_learns_nothing() {
    let mut world = World::new();
    let ca = world.internet(false);
    world.dnsmasq(
        "dhcp",
        "router",
        &["--port=0", RANGE, "--dhcp-option=option:dns-server,10.9.0.1"],
    );
    let settings = world.folder.join("tinyproxy.conf");
    std::fs::write(
        &settings,
        "Port 8888\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nConnectPort 443\n",
    )
    .expect("a file");
    world.serve(
        "tinyproxy",
        "router",
        &["tinyproxy", "-d", "-c", settings.to_str().expect("a path")],
    );
    // All that the laptop says to the proxy is kept.
    let heard = world.folder.join("heard");
    let listen = "TCP-LISTEN:3128,fork,reuseaddr";
    world.serve(
        "ear",
        "router",
        &[
            "socat",
            "-r",
            heard.to_str().expect("a path"),
            listen,
            "TCP:127.0.0.1:8888",
        ],
    );
    let mut laptop = started(&world, &ca, &["proxy=http://10.9.0.1:3128"]);
    let up = laptop.says("up ", 30);
    assert!(up.contains("3128"), "the proxy is the way: {up}");
    let got = laptop.told("get https://a.castle.example/big?secret-path secret-word", 20);
    assert_eq!(got, "get: 200 1048576");
    assert_eq!(
        laptop.told("pinned 198.51.100.7:443 https://b.castle.example/", 20),
        "pinned: 200 6"
    );
    let heard = String::from_utf8_lossy(&std::fs::read(&heard).expect("what was heard")).into_owned();
    assert!(
        heard.contains("CONNECT a.castle.example:443 HTTP/1.1") && heard.contains("CONNECT 198.51.100.7:443 HTTP/1.1"),
        "tunnels"
    );
    for secret in ["secret-word", "secret-path", "Bearer", "authorization"] {
        assert!(!heard.contains(secret), "{secret} was told to the proxy");
    }
    // Nothing else came out of the laptop: the router passes no packet on.
    assert!(
        laptop
            .told("dial 198.51.100.7:80", 20)
            .contains("the proxy refuses with status 403"),
        "its own rules are said"
    );
}

#[test]
fn a_proxy_that_leads_nowhere_is_named_on_the_page() {
    let mut world = World::new();
    let ca = world.internet(false);
    world.dnsmasq(
        "dhcp",
        "router",
        &["--port=0", RANGE, "--dhcp-option=option:dns-server,10.9.0.1"],
    );
    let failed = started(&world, &ca, &["proxy=10.9.0.1:3128"]).says("failed ", 60);
    assert!(
        failed.contains("!!  proxy     http://10.9.0.1:3128 does not answer, or refuses"),
        "{failed}"
    );
    assert!(
        failed.contains("The proxy http://10.9.0.1:3128 does not lead out"),
        "{failed}"
    );
}

#[test]
fn where_both_lead_out_the_proxy_is_left_alone() {
    let mut world = World::new();
    let ca = world.internet(true);
    world.dnsmasq("dhcp", "router", &[RANGE, NAMES]);
    let up = started(&world, &ca, &["proxy=http://10.9.0.1:3128"]).says("up ", 30);
    assert!(up.contains("proxy: None"), "{up}");
}

#[test]
fn ipv4_hosts_are_reached_from_a_network_that_has_only_ipv6() {
    let mut world = World::new();
    let ca = world.internet(true);
    router(&mut world, "RDNSS 2001:db8:9::1 { AdvRDNSSLifetime 600; };");
    let known = [
        "--host-record=ipv4only.arpa,192.0.0.170",
        "--host-record=ipv4only.arpa,192.0.0.171",
    ];
    world.dnsmasq(
        "names",
        "router",
        &[
            "--port=5353",
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            NAMES,
            known[0],
            known[1],
        ],
    );
    let folder = world.folder.display().to_string();
    let unbound = format!(
        "server:\n  interface: 2001:db8:9::1\n  access-control: ::/0 allow\n  module-config: \"dns64 iterator\"\n  dns64-prefix: 2001:db8:64::/96\n  \
         do-not-query-localhost: no\n  username: \"\"\n  chroot: \"\"\n  directory: \"{folder}\"\n  pidfile: \"{folder}/unbound.pid\"\n  use-syslog: no\n\
         forward-zone:\n  name: \".\"\n  forward-addr: 127.0.0.1@5353\nremote-control:\n  control-enable: no\n"
    );
    let settings = format!("{folder}/unbound.conf");
    std::fs::write(&settings, unbound).expect("a file");
    world.serve("dns64", "router", &["unbound", "-d", "-c", &settings]);
    let tayga = format!(
        "tun-device nat64\nipv4-addr 192.168.255.1\nipv6-addr 2001:db8:9::64\nprefix 2001:db8:64::/96\ndynamic-pool 192.168.255.0/24\ndata-dir {folder}\n"
    );
    let settings = format!("{folder}/tayga.conf");
    std::fs::write(&settings, tayga).expect("a file");
    world.run("router", &["tayga", "-c", &settings, "--mktun"]);
    for words in [
        "link set nat64 up",
        "route add 192.168.255.0/24 dev nat64",
        "-6 route add 2001:db8:64::/96 dev nat64",
    ] {
        world.ip("router", words);
    }
    let nft = "add table ip n; add chain ip n p { type nat hook postrouting priority 100; }; add rule ip n p oifname wan0 masquerade";
    world.run("router", &["nft", nft]);
    world.serve("nat64", "router", &["tayga", "-c", &settings, "--nodetach"]);
    let mut laptop = started(&world, &ca, &[]);
    let up = laptop.says("up ", 30);
    assert!(
        up.contains("eth0 2001:db8:9:") && up.contains("nat64: Some") && up.contains("2001:db8:64::"),
        "{up}"
    );
    assert_eq!(
        laptop.told("get https://a.castle.example/big -", 20),
        "get: 200 1048576"
    );
    // Where the cloud tells an address and no name: nodes, and the castle's entry.
    assert_eq!(laptop.told("dial 198.51.100.7:443", 20), "dial: connected");
    assert_eq!(
        laptop.told("pinned 198.51.100.7:443 https://b.castle.example/", 20),
        "pinned: 200 6"
    );
}

#[test]
fn a_broken_half_of_a_network_does_not_stop_the_other() {
    let mut world = World::new();
    let ca = world.internet(true);
    router(&mut world, "RDNSS 2001:db8:9::1 { AdvRDNSSLifetime 600; };");
    world.dnsmasq(
        "both",
        "router",
        &[RANGE, NAMES, "--address=/castle.example/2001:db8:7::7"],
    );
    world.run("router", &["nft", "add table inet t; add chain inet t c { type filter hook forward priority 0; }; add rule inet t c meta nfproto ipv6 drop"]);
    let mut laptop = started(&world, &ca, &[]);
    laptop.says("up ", 20);
    assert_eq!(
        laptop.told("get https://a.castle.example/big -", 20),
        "get: 200 1048576"
    );
}

#[test]
fn a_hole_that_swallows_large_packets_does_not_matter() {
    let mut world = World::new();
    let ca = world.internet(true);
    world.dnsmasq("dhcp", "router", &[RANGE, NAMES]);
    for card in ["lan0", "wan0"] {
        world.ip("router", &format!("link set {card} mtu 1280"));
    }
    world.run("router", &["nft", "add table inet t; add chain inet t o { type filter hook output priority 0; }; add rule inet t o icmp type destination-unreachable drop"]);
    let mut laptop = started(&world, &ca, &[]);
    laptop.says("up ", 20);
    assert_eq!(
        laptop.told("get https://a.castle.example/big -", 30),
        "get: 200 1048576"
    );
    assert_eq!(
        laptop.told("send https://a.castle.example/upload 1048576", 30),
        "send: 200"
    );
    // It is there: what a machine with packets of the usual size meets.
    let curl = || {
        let url = "https://a.castle.example/big";
        world.run(
            "laptop",
            &[
                "curl",
                "-sk",
                "-m",
                "5",
                "-o",
                "/dev/null",
                "-w",
                "%{size_download}",
                url,
            ],
        )
    };
    assert_eq!(curl().trim(), "1048576");
    world.ip("laptop", "route replace default via 10.9.0.1 dev eth0 mtu 1500");
    world.run("laptop", &["sysctl", "-q", "-w", "net.ipv4.tcp_mtu_probing=0"]);
    assert_ne!(curl().trim(), "1048576", "no hole");
}

#[test]
fn a_network_that_is_away_for_a_while_is_waited_for_in_the_middle_of_a_transfer() {
    let mut world = World::new();
    let ca = world.internet(true);
    world.dnsmasq("dhcp", "router", &[RANGE, NAMES]);
    let mut laptop = started(&world, &ca, &[]);
    laptop.says("up ", 20);
    // Slowly enough that the gap falls into it.
    world.run("router", &["nft", "add table inet t; add chain inet t c { type filter hook forward priority 0; }; add rule inet t c limit rate over 300 kbytes/second burst 20 kbytes drop"]);
    laptop.order("send https://a.castle.example/upload 1500000");
    laptop.is_silent(2);
    world.run("router", &["nft", "add rule inet t c drop"]);
    laptop.is_silent(10);
    world.run("router", &["nft", "flush ruleset"]);
    assert_eq!(laptop.says("send: ", 40), "send: 200");
}
