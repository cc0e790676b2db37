"""Load balancers, target groups, listeners, targets."""

from lib import castle, check, client, lab, refused, same, seen, until

ec2, elb = client("ec2"), client("elbv2")
TAGS = [{"Key": "skykeep:castle", "Value": "rossi"}]


def wish(**more):
    maps = [{"SubnetId": s, "AllocationId": a} for s, (a, _) in zip(castle["subnets"], castle["eips"])]
    return {"Name": "rossi-entry", "Type": "network", "Scheme": "internet-facing", "SubnetMappings": maps, "SecurityGroups": [castle["entry"]], "Tags": TAGS, **more}


def state():
    return elb.describe_load_balancers(Names=["rossi-entry"])["LoadBalancers"][0]["State"]["Code"]


@check
def a_load_balancer_is_made_once_and_takes_its_time():
    refused("LoadBalancerNotFound", elb.describe_load_balancers, Names=["rossi-entry"])
    b = elb.create_load_balancer(**wish())["LoadBalancers"][0]
    castle["lb"] = b["LoadBalancerArn"]
    same((b["State"]["Code"], b["Type"], b["SecurityGroups"]), ("provisioning", "network", [castle["entry"]]))
    assert ":loadbalancer/net/rossi-entry/" in b["LoadBalancerArn"] and b["DNSName"].startswith("rossi-entry-")
    got = {a["LoadBalancerAddresses"][0]["AllocationId"]: a["LoadBalancerAddresses"][0]["IpAddress"] for a in b["AvailabilityZones"]}
    same(got, dict(castle["eips"]))
    same(elb.create_load_balancer(**wish())["LoadBalancers"][0]["LoadBalancerArn"], castle["lb"])
    refused("DuplicateLoadBalancerName", elb.create_load_balancer, **wish(Tags=[{"Key": "a", "Value": "b"}]), message="A load balancer with the same name 'rossi-entry' exists, but with different settings")
    refused("DuplicateLoadBalancerName", elb.create_load_balancer, **wish(SecurityGroups=[]))
    until("it is active", lambda: state() == "active")


@check
def wrong_load_balancers_are_refused():
    make = elb.create_load_balancer
    refused("AllocationIdNotFound", make, **wish(Name="b", SubnetMappings=[{"SubnetId": castle["subnets"][0], "AllocationId": "eipalloc-0"}]))
    refused("ResourceInUse", make, **wish(Name="b"))
    refused("SubnetNotFound", make, Name="b", Type="network", Subnets=["subnet-00000000"])
    refused("ValidationError", make, Name="x" * 33, Type="network", Subnets=castle["subnets"], message="cannot be longer than '32' characters")
    refused("InvalidSecurityGroup", make, Name="b", Type="network", Subnets=castle["subnets"], SecurityGroups=["sg-00000000"])
    bare = ec2.create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]
    s = ec2.create_subnet(VpcId=bare, CidrBlock="10.50.0.0/24")["Subnet"]["SubnetId"]
    refused("InvalidSubnet", make, Name="b", Type="network", Subnets=[s], message=f"VPC {bare} has no internet gateway")
    ec2.delete_subnet(SubnetId=s)
    ec2.delete_vpc(VpcId=bare)


@check
def a_load_balancers_addresses_are_bound():
    alloc, _ = castle["eips"][0]
    a = ec2.describe_addresses(AllocationIds=[alloc])["Addresses"][0]
    refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=alloc)
    refused("AuthFailure", ec2.disassociate_address, AssociationId=a["AssociationId"])
    e = ec2.describe_network_interfaces(NetworkInterfaceIds=[a["NetworkInterfaceId"]])["NetworkInterfaces"][0]
    same((e["RequesterManaged"], e["InterfaceType"], e["Description"].split("/")[1]), (True, "network_load_balancer", "rossi-entry"))
    refused("InvalidParameterValue", ec2.delete_network_interface, NetworkInterfaceId=e["NetworkInterfaceId"])
    refused("DependencyViolation", ec2.delete_security_group, GroupId=castle["entry"])


@check
def attributes_of_load_balancers_and_target_groups_change():
    cross = [{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}]
    got = elb.modify_load_balancer_attributes(LoadBalancerArn=castle["lb"], Attributes=cross)["Attributes"]
    assert cross[0] in got
    assert cross[0] in elb.describe_load_balancer_attributes(LoadBalancerArn=castle["lb"])["Attributes"]
    refused("ValidationError", elb.modify_load_balancer_attributes, LoadBalancerArn=castle["lb"], Attributes=[{"Key": "colour", "Value": "red"}])
    refused("ValidationError", elb.modify_load_balancer_attributes, LoadBalancerArn=castle["lb"], Attributes=[{"Key": "deletion_protection.enabled", "Value": "maybe"}])


def group(**more):
    return {
        "Name": "rossi-443", "Protocol": "TCP", "Port": 30443, "VpcId": castle["vpc"], "TargetType": "instance", "HealthCheckProtocol": "TCP",
        "HealthCheckIntervalSeconds": 5, "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 2, "Tags": TAGS, **more,
    }


@check
def a_target_group_is_made_once():
    g = elb.create_target_group(**group())["TargetGroups"][0]
    castle["tg"] = g["TargetGroupArn"]
    same((g["HealthCheckPort"], g["HealthCheckIntervalSeconds"], g["LoadBalancerArns"]), ("traffic-port", 5, []))
    same(elb.create_target_group(**group())["TargetGroups"][0]["TargetGroupArn"], castle["tg"])
    refused("DuplicateTargetGroupName", elb.create_target_group, **group(Port=30444))
    refused("ValidationError", client("elbv2", validate=False).create_target_group, **group(Name="other", HealthCheckIntervalSeconds=4))
    refused("TargetGroupNotFound", elb.describe_target_groups, Names=["none"], message="One or more target groups not found")
    keep = [{"Key": "preserve_client_ip.enabled", "Value": "false"}, {"Key": "deregistration_delay.timeout_seconds", "Value": "0"}]
    got = elb.modify_target_group_attributes(TargetGroupArn=castle["tg"], Attributes=keep)["Attributes"]
    assert all(k in got for k in keep)


def forward(arn):
    return [{"Type": "forward", "TargetGroupArn": arn}]


@check
def a_listener_forwards_to_the_group():
    args = dict(LoadBalancerArn=castle["lb"], Protocol="TCP", Port=443, DefaultActions=forward(castle["tg"]))
    l = elb.create_listener(**args, Tags=TAGS)["Listeners"][0]
    castle["listener"] = l["ListenerArn"]
    other = elb.create_target_group(**group(Name="rossi-80", Port=30080))["TargetGroups"][0]["TargetGroupArn"]
    refused("DuplicateListener", elb.create_listener, **{**args, "DefaultActions": forward(other)}, message="A listener already exists on this port for this load balancer")
    castle["tg80"] = other
    castle["listener80"] = elb.create_listener(**{**args, "Port": 80, "DefaultActions": forward(other)})["Listeners"][0]["ListenerArn"]
    found = elb.describe_listeners(LoadBalancerArn=castle["lb"])["Listeners"]
    same(sorted((x["Port"], x["DefaultActions"][0]["TargetGroupArn"]) for x in found), [(80, other), (443, castle["tg"])])
    same(elb.describe_target_groups(LoadBalancerArn=castle["lb"])["TargetGroups"][0]["LoadBalancerArns"], [castle["lb"]])
    refused("ResourceInUse", elb.delete_target_group, TargetGroupArn=castle["tg"], message="is currently in use by a listener or a rule")
    refused("ListenerNotFound", elb.describe_listeners, ListenerArns=[castle["listener"] + "0"])


def health():
    out = elb.describe_target_health(TargetGroupArn=castle["tg"])["TargetHealthDescriptions"]
    return {t["Target"]["Id"]: (t["TargetHealth"]["State"], t["TargetHealth"].get("Reason")) for t in out}


@check
def targets_have_the_health_that_the_backend_sees():
    a, b = castle["cp"][0], castle["worker"]
    refused("InvalidTarget", elb.register_targets, TargetGroupArn=castle["tg"], Targets=[{"Id": "i-00000000000000000"}])
    elb.register_targets(TargetGroupArn=castle["tg"], Targets=[{"Id": a}, {"Id": b, "Port": 30443}])
    elb.register_targets(TargetGroupArn=castle["tg"], Targets=[{"Id": a}])
    until("both are healthy", lambda: health() == {a: ("healthy", None), b: ("healthy", None)})
    assert "10.42.0.10:30443" in seen()["balancers"], seen()["balancers"]
    lab("machine", ill="10.42.1.20:30443")
    same(health()[b], ("unhealthy", "Target.FailedHealthChecks"))
    elb.deregister_targets(TargetGroupArn=castle["tg"], Targets=[{"Id": b}])
    same(health()[b], ("draining", "Target.DeregistrationInProgress"))
    until("it is gone", lambda: b not in health())
    asked = elb.describe_target_health(TargetGroupArn=castle["tg"], Targets=[{"Id": b}])["TargetHealthDescriptions"]
    same(asked[0]["TargetHealth"]["Reason"], "Target.NotRegistered")


@check
def the_groups_rule_for_the_entry_becomes_the_balancers_addresses():
    private = [e["PrivateIpAddress"] for e in ec2.describe_network_interfaces(Filters=[{"Name": "requester-managed", "Values": ["true"]}])["NetworkInterfaces"]]
    same(len(private), 3)
    rules = seen()["firewall"].split("InstanceRules")
    node = next(r for r in rules if "private_ip: 10.42.0.10," in r)
    rule = next(r for r in node.split("Rule {") if "from_port: 30443" in r)
    assert all(f"{ip}/32" in rule for ip in private), rule


@check
def balancers_tags_are_read_and_written():
    elb.add_tags(ResourceArns=[castle["lb"], castle["tg"]], Tags=[{"Key": "x", "Value": "1"}])
    got = {d["ResourceArn"]: {t["Key"]: t["Value"] for t in d["Tags"]} for d in elb.describe_tags(ResourceArns=[castle["lb"], castle["tg"], castle["listener"]])["TagDescriptions"]}
    same(got[castle["lb"]], {"skykeep:castle": "rossi", "x": "1"})
    same(got[castle["listener"]], {"skykeep:castle": "rossi"})
    elb.remove_tags(ResourceArns=[castle["lb"], castle["tg"]], TagKeys=["x"])
    refused("LoadBalancerNotFound", elb.describe_tags, ResourceArns=[castle["lb"] + "0"])


@check
def balancers_come_in_pages():
    first = elb.describe_target_groups(PageSize=1)
    same(len(first["TargetGroups"]), 1)
    rest = elb.describe_target_groups(PageSize=1, Marker=first["NextMarker"])
    same((len(rest["TargetGroups"]), rest.get("NextMarker")), (1, None))
