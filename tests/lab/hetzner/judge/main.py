"""Hetzner's own client (hcloud, PyPI) against the double on the given port. Each check reads the double's answers with that client's
types only; what the client does not show (machines, rules made real) is looked at behind the API."""

import json
import sys
import time
import traceback
import urllib.parse
import urllib.request
import warnings

from hcloud import APIException, Client
from hcloud.actions import ActionFailedException
from hcloud.firewalls import Firewall, FirewallRule
from hcloud.images import Image
from hcloud.load_balancer_types import LoadBalancerType
from hcloud.load_balancers import (
    LoadBalancerAlgorithm,
    LoadBalancerHealthCheck,
    LoadBalancerService,
    LoadBalancerTarget,
)
from hcloud.locations import Location
from hcloud.networks import Network, NetworkSubnet
from hcloud.placement_groups import PlacementGroup
from hcloud.server_types import ServerType
from hcloud.servers import ServerCreatePublicNetwork

warnings.simplefilter("ignore", DeprecationWarning)
port = int(sys.argv[1])
base = f"http://127.0.0.1:{port}"
LABELS = {"skykeep.dev/castle": "rossi", "skykeep.dev/generation": "01K5TQ97800000000000000007"}
SELECTOR = ",".join(f"{k}={v}" for k, v in LABELS.items())
checks = []
castle = {}


def check(f):
    checks.append(f)
    return f


def client(token="judge-token"):
    c = Client(token=token, api_endpoint=f"{base}/v1", poll_interval=0.05)
    c._client._retry_interval_func = lambda retries: 0.05
    return c


api = client()


def order(action, fault, kind=""):
    query = urllib.parse.urlencode({"action": action, "fault": fault, "kind": kind})
    urllib.request.urlopen(urllib.request.Request(f"{base}/lab/fault?{query}", method="POST")).read()


def seen():
    return json.load(urllib.request.urlopen(f"{base}/lab/seen"))


def refused(code, f, *args, **kwargs):
    try:
        f(*args, **kwargs)
    except APIException as e:
        assert e.code == code, f"{e.code} instead of {code}: {e.message}"
        return e
    raise AssertionError(f"not refused ({code})")


@check
def tokens_are_asked_for():
    refused("unauthorized", client("wrong").locations.get_all)
    assert client("reader-token").locations.get_all()
    refused("token_readonly", client("reader-token").placement_groups.create, name="x", type="spread")


@check
def the_catalog_is_read():
    zones = {l.name: l.network_zone for l in api.locations.get_all()}
    assert zones["fsn1"] == "eu-central" and zones["ash"] == "us-east", zones
    kind = api.server_types.get_by_name("cpx31")
    assert (kind.cores, kind.architecture, kind.cpu_type) == (4, "x86", "shared")
    offers = {o.location.name: o.available for o in kind.locations}
    assert offers["nbg1"] is True, offers
    assert api.server_types.get_by_id(kind.id).name == "cpx31"
    image = api.images.get_by_name_and_architecture("debian-12", "x86")
    assert image.os_flavor == "debian" and image.status == "available"
    assert api.images.get_by_name_and_architecture("debian-12", "arm") is None
    lb = api.load_balancer_types.get_by_name("lb11")
    assert (lb.max_services, lb.max_targets) == (5, 25)
    assert api.load_balancer_types.get_by_name("lb99") is None


@check
def a_network_with_its_subnets():
    parts = [NetworkSubnet(type="cloud", ip_range=f"10.42.{16 * i}.0/20", network_zone="eu-central") for i in range(3)]
    net = api.networks.create(name="net", ip_range="10.42.0.0/16", subnets=parts, labels=LABELS)
    castle["net"] = net
    assert [s.ip_range for s in net.subnets] == [p.ip_range for p in parts] and net.subnets[1].gateway == "10.42.16.1"
    assert api.networks.get_by_name("net").id == net.id and net.labels == LABELS
    refused("uniqueness_error", api.networks.create, name="net", ip_range="10.43.0.0/16")
    refused("invalid_input", api.networks.create, name="other", ip_range="8.8.0.0/16")
    bad = [NetworkSubnet(type="cloud", ip_range="10.50.0.0/24", network_zone="eu-central")]
    refused("invalid_input", api.networks.create, name="other", ip_range="10.42.0.0/16", subnets=bad)
    twice = [parts[0], NetworkSubnet(type="cloud", ip_range="10.42.8.0/24", network_zone="eu-central")]
    refused("networks_overlap", api.networks.create, name="other", ip_range="10.42.0.0/16", subnets=twice)


@check
def a_firewall_and_its_rules():
    rule = FirewallRule(direction="in", protocol="tcp", port="6443", source_ips=["203.0.113.7/32"])
    made = api.firewalls.create(name="wall", labels=LABELS, rules=[rule])
    castle["wall"] = made.firewall
    assert made.firewall.rules[0].port == "6443" and made.firewall.rules[0].source_ips == ["203.0.113.7/32"]
    other = FirewallRule(direction="in", protocol="tcp", port="6443", source_ips=["198.51.100.9/32"])
    for action in made.firewall.set_rules([other]):
        action.wait_until_finished()
        assert action.command == "set_firewall_rules", action.command
    assert api.firewalls.get_by_name("wall").rules[0].source_ips == ["198.51.100.9/32"]
    none = FirewallRule(direction="in", protocol="tcp", source_ips=["0.0.0.0/0"])
    refused("invalid_input", made.firewall.set_rules, [none])
    bits = FirewallRule(direction="in", protocol="tcp", port="1", source_ips=["203.0.113.7/24"])
    refused("invalid_input", made.firewall.set_rules, [bits])
    nobody = FirewallRule(direction="in", protocol="tcp", port="1")
    refused("invalid_input", made.firewall.set_rules, [nobody])


@check
def a_placement_group():
    made = api.placement_groups.create(name="apart", type="spread", labels=LABELS)
    castle["apart"] = made.placement_group
    assert made.action is None and made.placement_group.type == "spread"
    refused("invalid_input", api.placement_groups.create, name="other", type="heap")


def server(name, **more):
    wish = dict(
        name=name,
        server_type=ServerType(name="cpx31"),
        image=Image(name="debian-12"),
        location=Location(name="fsn1"),
        start_after_create=False,
        labels=LABELS,
        firewalls=[castle["wall"]],
        user_data="#!/bin/sh\n",
        public_net=ServerCreatePublicNetwork(enable_ipv4=True, enable_ipv6=False),
    )
    return api.servers.create(**(wish | more))


@check
def a_server_is_made_joined_and_switched_on():
    made = server("cp1", placement_group=castle["apart"])
    assert made.server.status == "initializing" and made.root_password and not made.next_actions
    refused("locked", made.server.power_on)
    made.action.wait_until_finished()
    one = api.servers.get_by_name("cp1")
    assert one.status == "off" and one.private_net == [] and one.public_net.ipv4.ip, one.status
    assert one.public_net.firewalls[0].firewall.id == castle["wall"].id and one.placement_group.id == castle["apart"].id
    assert one.location.name == "fsn1" and one.server_type.name == "cpx31" and one.image.name == "debian-12"
    assert seen()["machines"] == [], "nothing runs yet"
    action = one.attach_to_network(castle["net"], ip="10.42.0.10")
    refused("locked", one.power_on)
    action.wait_until_finished()
    one.reload()
    assert [(n.network.id, n.ip) for n in one.private_net] == [(castle["net"].id, "10.42.0.10")]
    refused("server_already_attached", one.attach_to_network, castle["net"], ip="10.42.0.11")
    action = one.power_on()
    assert action.command == "start_server" and action.resources[0]["type"] == "server"
    action.wait_until_finished()
    one.reload()
    assert one.status == "running"
    assert seen()["machines"] == [["cp1", "10.42.0.10", "#!/bin/sh\n"]], seen()["machines"]
    castle["cp1"] = one


@check
def the_firewall_guards_the_public_side_only():
    rules = seen()["firewall"]
    assert "198.51.100.9/32" in rules and "10.42.0.0/16" in rules and "0.0.0.0/0" not in rules, rules


@check
def what_is_wrong_with_a_server_is_said():
    refused("uniqueness_error", server, "cp1")
    refused("invalid_input", server, "not a host name")
    refused("invalid_input", server, "w9", user_data="x" * 33000)
    refused("invalid_input", server, "w9", server_type=ServerType(name="nothing"))
    refused("invalid_input", server, "w9", server_type=ServerType(name="cax21"))
    refused("invalid_input", server, "w9", labels={"a b": "c"})
    refused("not_found", server, "w9", firewalls=[Firewall(id=1)])
    refused("not_found", server, "w9", placement_group=PlacementGroup(id=1))
    order("fsn1", "full", "cpx31")
    refused("resource_unavailable", server, "w9")
    offers = {o.location.name: o.available for o in api.server_types.get_by_name("cpx31").locations}
    assert offers["fsn1"] is False and offers["nbg1"] is True
    order("", "clear")
    assert api.servers.get_by_name("w9") is None


@check
def an_address_in_the_network_is_given_once():
    made = server("w1")
    made.action.wait_until_finished()
    one = made.server
    refused("ip_not_available", one.attach_to_network, castle["net"], ip="10.42.0.10")
    refused("ip_not_available", one.attach_to_network, castle["net"], ip="10.99.0.10")
    refused("not_found", one.attach_to_network, Network(id=1), ip="10.42.0.20")
    one.attach_to_network(castle["net"], ip="10.42.0.20").wait_until_finished()
    one.power_on().wait_until_finished()
    castle["w1"] = api.servers.get_by_id(one.id)
    abroad = server("abroad", location=Location(name="ash"))
    abroad.action.wait_until_finished()
    refused("no_subnet_available", abroad.server.attach_to_network, castle["net"])
    abroad.server.delete().wait_until_finished()


@check
def an_action_that_fails_says_so():
    order("POST servers", "fails")
    made = server("doomed")
    try:
        made.action.wait_until_finished()
        raise AssertionError("it did not fail")
    except ActionFailedException as e:
        assert e.action.error["code"] == "action_failed", e.action.error
    assert api.servers.get_by_name("doomed") is None


@check
def lists_have_pages_names_and_selectors():
    assert {s.name for s in api.servers.get_all(label_selector=SELECTOR)} == {"cp1", "w1"}
    assert api.servers.get_all(label_selector="skykeep.dev/castle!=rossi") == []
    assert api.servers.get_all(label_selector="skykeep.dev/castle in (rossi,verdi),!other")
    assert api.servers.get_all(label_selector="skykeep.dev/castle notin (rossi)") == []
    refused("invalid_input", api.servers.get_all, label_selector="a b c")
    page = api.servers.get_list(page=1, per_page=1)
    assert len(page.servers) == 1 and page.meta.pagination.next_page == 2 and page.meta.pagination.total_entries == 2
    assert api.servers.get_list(page=2, per_page=1).meta.pagination.next_page is None
    refused("invalid_input", api.servers.get_list, per_page=51)
    assert {s.name for s in api.servers.get_all(status=["running"])} == {"cp1", "w1"}


@check
def labels_can_be_changed():
    one = castle["w1"].update(labels={**LABELS, "more": ""})
    assert one.labels["more"] == ""
    refused("invalid_input", castle["w1"].update, labels={"more": "two words"})
    refused("uniqueness_error", castle["w1"].update, name="cp1")


def service(port, to):
    health = LoadBalancerHealthCheck(protocol="tcp", port=to, interval=5, timeout=3, retries=2)
    return LoadBalancerService(
        protocol="tcp", listen_port=port, destination_port=to, proxyprotocol=False, health_check=health
    )


@check
def a_load_balancer_over_the_private_network():
    wish = dict(
        name="entry",
        load_balancer_type=LoadBalancerType(name="lb11"),
        algorithm=LoadBalancerAlgorithm(type="round_robin"),
        location=Location(name="fsn1"),
        network=castle["net"],
        public_interface=True,
        labels=LABELS,
        services=[service(80, 30080)],
    )
    made = api.load_balancers.create(**wish)
    lb = made.load_balancer
    made.action.wait_until_finished()
    assert lb.public_net.ipv4.ip and lb.private_net[0].ip.startswith("10.42."), lb.private_net[0].ip
    assert lb.services[0].health_check.interval == 5
    refused("uniqueness_error", api.load_balancers.create, **wish)
    lb.add_service(service(443, 30443)).wait_until_finished()
    refused("source_port_already_used", lb.add_service, service(443, 30444))
    lb.update_service(service(443, 30444)).wait_until_finished()
    lb.update_service(service(443, 30443)).wait_until_finished()
    target = LoadBalancerTarget(type="server", server=castle["w1"], use_private_ip=True)
    lb.add_target(target).wait_until_finished()
    refused("target_already_defined", lb.add_target, target)
    time.sleep(0.1)
    lb = api.load_balancers.get_by_name("entry")
    assert [(s.listen_port, s.destination_port) for s in lb.services] == [(80, 30080), (443, 30443)]
    health = [(h.listen_port, h.status) for h in lb.targets[0].health_status]
    assert health == [(80, "healthy"), (443, "healthy")], health
    assert "10.42.0.20:30443" in seen()["balancers"], seen()["balancers"]
    castle["lb"] = lb


@check
def a_target_that_is_in_no_network_is_refused():
    made = server("alone")
    made.action.wait_until_finished()
    target = LoadBalancerTarget(type="server", server=made.server, use_private_ip=True)
    refused("server_not_attached_to_network", castle["lb"].add_target, target)
    made.server.delete().wait_until_finished()


@check
def the_clients_own_patience_is_enough_for_what_passes():
    for fault in ("rate-limit", "conflict"):
        order("GET servers", fault)
        assert api.servers.get_by_name("cp1")
    order("GET servers", "unavailable")
    refused("unavailable", api.servers.get_all)


@check
def actions_are_listed_by_thing_and_by_id():
    commands = [a.command for a in castle["cp1"].get_actions()]
    assert commands == ["create_server", "attach_to_network", "start_server"], commands
    one = castle["cp1"].get_actions()[0]
    assert api.actions.get_by_id(one.id).status == "success" and one.progress == 100 and one.finished >= one.started


@check
def what_is_in_use_stays():
    refused("resource_in_use", castle["wall"].delete)
    refused("resource_in_use", castle["net"].delete)


@check
def everything_goes_in_the_right_order():
    castle["lb"].delete().action.wait_until_finished()
    for one in (castle["cp1"], castle["w1"]):
        action = one.delete()
        refused("locked", one.delete)
        action.wait_until_finished()
    refused("not_found", api.servers.get_by_id, castle["cp1"].id)
    castle["wall"].delete()
    castle["apart"].delete()
    castle["net"].delete()
    refused("not_found", castle["net"].delete)
    assert seen()["inventory"] == [] and seen()["machines"] == [] and seen()["events"] == [], seen()


passed = failed = 0
for one in checks:
    try:
        one()
        passed += 1
    except Exception:  # noqa: BLE001  (a judge counts whatever goes wrong)
        failed += 1
        print(f"FAILED {one.__name__}")
        traceback.print_exc(limit=-2, file=sys.stdout)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
