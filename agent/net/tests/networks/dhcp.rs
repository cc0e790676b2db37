//! DHCP as it is met: servers that forget, refuse, vanish, give nothing or not enough, and two of them.

use crate::space::World;

const RANGE: &str = "--dhcp-range=10.9.0.100,10.9.0.150,255.255.255.0,1h";
const DNS: &str = "--dhcp-option=option:dns-server,10.9.0.53";
const ONLY_DHCP: &str = "--port=0";

#[test]
fn an_address_is_taken_and_no_name_of_ours_is_told() {
    let mut world = World::new();
    world.dnsmasq(
        "dhcp",
        "router",
        &[ONLY_DHCP, RANGE, "--dhcp-option=option:dns-server,10.9.0.53"],
    );
    let mut laptop = world.laptop(&[]);
    let up = laptop.says("up ", 10);
    assert!(
        up.contains(" 10.9.0.1") && up.contains("/24") && up.contains("10.9.0.53"),
        "{up}"
    );
    let routes = world.run("laptop", &["ip", "route"]);
    assert!(routes.contains("default via 10.9.0.1 dev eth0"), "{routes}");
    let names = world.run("laptop", &["cat", "/etc/resolv.conf"]);
    assert!(names.contains("nameserver 10.9.0.53"), "{names}");
    let log = world.log("dhcp");
    assert!(
        log.contains("DHCPACK") && !log.contains("client provides name") && !log.contains("vendor class"),
        "{log}"
    );
    // Between its questions the laptop listens to nothing.
    let ports = world.run("laptop", &["ss", "-Hlntu"]);
    assert_eq!(ports.trim(), "", "open ports");
}

#[test]
fn it_is_renewed_at_the_servers_own_times_and_a_new_name_server_is_followed() {
    let mut world = World::new();
    let times = ["--dhcp-option=option:T1,3", "--dhcp-option=option:T2,600"];
    world.dnsmasq(
        "dhcp",
        "router",
        &[
            ONLY_DHCP,
            RANGE,
            times[0],
            times[1],
            "--dhcp-option=option:dns-server,10.9.0.53",
        ],
    );
    let mut laptop = world.laptop(&[]);
    laptop.says("up ", 10);
    world.end("dhcp");
    // The same lease file: the server was only told another name server.
    world.dnsmasq(
        "again",
        "router",
        &[
            ONLY_DHCP,
            RANGE,
            times[0],
            times[1],
            "--dhcp-option=option:dns-server,10.9.0.54",
            "--dhcp-authoritative",
        ],
    );
    laptop.says("has 10.9.0.", 15);
    let names = world.run("laptop", &["cat", "/etc/resolv.conf"]);
    assert!(names.contains("nameserver 10.9.0.54"), "{names}");
    assert!(
        !world.log("again").contains("DHCPDISCOVER"),
        "renewed, not asked anew:\n{}",
        world.log("again")
    );
}

#[test]
fn a_server_that_forgot_the_lease_gives_another_address() {
    let mut world = World::new();
    let times = ["--dhcp-option=option:T1,3", "--dhcp-option=option:T2,6"];
    world.dnsmasq("dhcp", "router", &[ONLY_DHCP, RANGE, times[0], times[1], DNS]);
    let mut laptop = world.laptop(&[]);
    laptop.says("up ", 10);
    world.end("dhcp");
    world.ip("router", "addr add 10.8.0.1/24 dev lan0");
    world.ip("router", "addr del 10.9.0.1/24 dev lan0");
    world.dnsmasq(
        "new",
        "router",
        &[
            ONLY_DHCP,
            "--dhcp-authoritative",
            "--dhcp-range=10.8.0.100,10.8.0.150,255.255.255.0,1h",
            DNS,
        ],
    );
    laptop.says("is no longer ours: the DHCP server refuses to renew it", 15);
    laptop.says("has 10.8.0.", 10);
    assert!(world.log("new").contains("DHCPNAK"), "{}", world.log("new"));
    let addresses = world.run("laptop", &["ip", "-4", "addr", "show", "eth0"]);
    assert!(
        addresses.contains("10.8.0.") && !addresses.contains("10.9.0."),
        "{addresses}"
    );
    let routes = world.run("laptop", &["ip", "route"]);
    assert!(
        routes.contains("default via 10.8.0.1") && !routes.contains("10.9.0.1"),
        "{routes}"
    );
}

#[test]
fn a_lease_that_nobody_renews_is_given_up_and_another_one_taken_when_the_server_is_back() {
    let mut world = World::new();
    let settings = world.folder.join("udhcpd.conf");
    let text = format!(
        "start 10.9.0.100\nend 10.9.0.110\ninterface lan0\nmin_lease 5\noption subnet 255.255.255.0\noption router 10.9.0.1\noption dns 10.9.0.53\noption lease 10\n\
         lease_file {0}/udhcpd.leases\npidfile {0}/udhcpd.pid\n",
        world.folder.display()
    );
    std::fs::write(&settings, text).expect("a file");
    std::fs::write(world.folder.join("udhcpd.leases"), "").expect("a file");
    let words = ["busybox", "udhcpd", "-f", settings.to_str().expect("a path")];
    world.serve("dhcp", "router", &words);
    let mut laptop = world.laptop(&[]);
    laptop.says("up ", 10);
    world.end("dhcp");
    laptop.says("is no longer ours: its time ran out without an answer", 15);
    let addresses = world.run("laptop", &["ip", "-4", "addr", "show", "eth0"]);
    assert!(!addresses.contains("inet "), "given up: {addresses}");
    world.serve("dhcp", "router", &words);
    laptop.says("has 10.9.0.", 15);
}

#[test]
fn a_server_that_gives_nothing_is_a_clear_page_in_time() {
    let mut world = World::new();
    world.dnsmasq("dhcp", "router", &[ONLY_DHCP, RANGE, "--dhcp-ignore=tag:!known"]);
    let mut laptop = world.laptop(&["address=3"]);
    let failed = laptop.says("failed ", 8);
    assert!(
        failed.contains("Nobody gave this machine a network address in 3 s")
            && failed.contains("eth0: no answer at all"),
        "{failed}"
    );
    assert!(world.log("dhcp").contains("DHCPDISCOVER"), "it was asked");
}

#[test]
fn an_offer_without_a_way_out_is_said_plainly_and_a_better_one_is_preferred() {
    let mut world = World::new();
    let bare = ["--dhcp-option=option:router", "--dhcp-option=option:dns-server"];
    world.dnsmasq("bare", "router", &[ONLY_DHCP, RANGE, bare[0], bare[1]]);
    let mut laptop = world.laptop(&[]);
    let failed = laptop.says("failed ", 15);
    assert!(failed.contains("gave an address without router"), "{failed}");
    drop(laptop);
    // A second server on the same wire, behind a switch, and slower.
    world.space("second");
    world.ip("router", "link add sw0 type bridge");
    world.cable("second", "lan0", "router", "lan1");
    world.ip("second", "addr add 10.9.0.2/24 dev lan0");
    for words in [
        "link set sw0 up",
        "link set lan0 master sw0",
        "link set lan1 master sw0",
        "addr del 10.9.0.1/24 dev lan0",
        "addr add 10.9.0.1/24 dev sw0",
    ] {
        world.ip("router", words);
    }
    world.dnsmasq(
        "whole",
        "second",
        &[
            ONLY_DHCP,
            "--dhcp-range=10.9.0.200,10.9.0.210,255.255.255.0,1h",
            "--dhcp-reply-delay=0",
            "--dhcp-option=option:dns-server,10.9.0.2",
        ],
    );
    let mut laptop = world.laptop(&[]);
    let up = laptop.says("up ", 10);
    assert!(up.contains("10.9.0.2") && up.contains(" 10.9.0.2 "), "{up}");
}

#[test]
fn a_card_hides_its_makers_address_and_keeps_it_for_the_run() {
    let mut world = World::new();
    world.ip("laptop", "link set eth0 address 00:1b:21:01:02:03");
    world.dnsmasq("dhcp", "router", &[ONLY_DHCP, RANGE, DNS]);
    let mut laptop = world.laptop(&["disguise=yes"]);
    laptop.says("up ", 10);
    let log = world.log("dhcp");
    assert!(log.contains("DHCPACK") && !log.contains("00:1b:21"), "{log}");
    drop(laptop);
    world.ip("laptop", "link set eth0 address 00:1b:21:01:02:03");
    let mut laptop = world.laptop(&[]);
    laptop.says("up ", 10);
    assert!(
        world.log("dhcp").contains("00:1b:21:01:02:03"),
        "kept when that is wished"
    );
}

#[test]
fn a_card_whose_cable_is_out_is_given_up_and_a_short_gap_is_survived() {
    let mut world = World::new();
    world.dnsmasq("dhcp", "router", &[ONLY_DHCP, RANGE, DNS]);
    let mut laptop = world.laptop(&[]);
    laptop.says("up ", 10);
    world.ip("router", "link set lan0 down");
    std::thread::sleep(std::time::Duration::from_secs(5));
    world.ip("router", "link set lan0 up");
    let routes = world.run("laptop", &["ip", "route"]);
    assert!(routes.contains("default via 10.9.0.1"), "{routes}");
    world.ip("router", "link set lan0 down");
    laptop.says("lost eth0", 25);
    let routes = world.run("laptop", &["ip", "route"]);
    assert_eq!(routes.trim(), "", "nothing leads there any more");
}
