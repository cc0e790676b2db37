"""Networks, subnets, gateways, routes, elastic addresses, interfaces."""

from lib import castle, check, client, refused, same, seen, until

ec2 = client("ec2")
ZONES = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]


def tags(kind, name):
    pairs = [{"Key": "Name", "Value": name}, {"Key": "skykeep:castle", "Value": "rossi"}]
    return [{"ResourceType": kind, "Tags": pairs}]


def tag(value, key="skykeep:castle"):
    return {"Name": f"tag:{key}", "Values": [value]}


@check
def the_region_has_its_zones_and_offers():
    same([z["ZoneName"] for z in ec2.describe_availability_zones()["AvailabilityZones"]], ZONES)
    only = ec2.describe_availability_zones(Filters=[{"Name": "zone-name", "Values": ["*b"]}])
    same(len(only["AvailabilityZones"]), 1)
    t = ec2.describe_instance_types(InstanceTypes=["t3.large"])["InstanceTypes"][0]
    same((t["VCpuInfo"]["DefaultVCpus"], t["MemoryInfo"]["SizeInMiB"]), (2, 8192))
    same(t["ProcessorInfo"]["SupportedArchitectures"], ["x86_64"])
    refused("InvalidInstanceType", ec2.describe_instance_types, InstanceTypes=["t9.huge"])
    o = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["t3.large"]}])
    same(sorted(x["Location"] for x in o["InstanceTypeOfferings"]), ZONES)
    same(ec2.describe_regions()["Regions"][0]["RegionName"], "eu-central-1")
    ec2.describe_account_attributes(AttributeNames=["vpc-max-elastic-ips"])


@check
def an_image_is_found_by_id_and_by_name():
    i = ec2.describe_images(ImageIds=["ami-0a1b2c3d4e5f60718"])["Images"][0]
    same((i["State"], i["RootDeviceName"], i["Architecture"]), ("available", "/dev/xvda", "x86_64"))
    found = ec2.describe_images(Owners=["136693071363"], Filters=[{"Name": "name", "Values": ["debian-12-amd64-*"]}])
    same(len(found["Images"]), 1)
    refused("InvalidAMIID.NotFound", ec2.describe_images, ImageIds=["ami-00000000000000000"], message="The image id '[ami-00000000000000000]' does not exist")
    refused("InvalidAMIID.Malformed", ec2.describe_images, ImageIds=["debian"])


@check
def a_network_is_made_with_its_tags_and_belongings():
    refused("DryRunOperation", ec2.create_vpc, CidrBlock="10.42.0.0/16", DryRun=True, status=412, message="Request would have succeeded, but DryRun flag is set.")
    same(ec2.describe_vpcs()["Vpcs"], [])
    refused("InvalidVpc.Range", ec2.create_vpc, CidrBlock="10.0.0.0/8", message="The CIDR '10.0.0.0/8' is invalid.")
    refused("InvalidParameterValue", ec2.create_vpc, CidrBlock="ten")
    v = ec2.create_vpc(CidrBlock="10.42.0.0/16", TagSpecifications=tags("vpc", "rossi"))["Vpc"]
    same((v["State"], v["CidrBlock"]), ("pending", "10.42.0.0/16"))
    castle["vpc"] = v["VpcId"]
    found = ec2.describe_vpcs(Filters=[tag("rossi")])["Vpcs"]
    same([(x["VpcId"], x["State"]) for x in found], [(v["VpcId"], "available")])
    same(ec2.describe_vpcs(Filters=[tag("other")])["Vpcs"], [])
    same(len(ec2.describe_vpcs(Filters=[{"Name": "tag-key", "Values": ["skykeep:*"]}])["Vpcs"]), 1)
    same(seen()["vpcs"], 1)
    mine = [{"Name": "vpc-id", "Values": [v["VpcId"]]}]
    table = ec2.describe_route_tables(Filters=mine)["RouteTables"]
    same([(t["Associations"][0]["Main"], t["Routes"][0]["GatewayId"]) for t in table], [(True, "local")])
    castle["main"] = table[0]["RouteTableId"]
    groups = ec2.describe_security_groups(Filters=mine)["SecurityGroups"]
    same([g["GroupName"] for g in groups], ["default"])
    same(groups[0]["IpPermissionsEgress"][0]["IpProtocol"], "-1")
    refused("InvalidVpcID.NotFound", ec2.describe_vpcs, VpcIds=["vpc-00000000000000000"], message="The vpc ID 'vpc-00000000000000000' does not exist")
    refused("InvalidParameterValue", ec2.describe_vpcs, Filters=[{"Name": "colour", "Values": ["x"]}], message="The filter 'colour' is invalid")
    refused("InvalidParameterValue", ec2.create_vpc, CidrBlock="10.43.0.0/16", TagSpecifications=tags("subnet", "x"))
    refused("InvalidParameterValue", ec2.create_vpc, CidrBlock="10.43.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "aws:x", "Value": "y"}]}])


@check
def a_networks_attributes_change_one_at_a_time():
    vpc = castle["vpc"]
    ask = lambda n: ec2.describe_vpc_attribute(VpcId=vpc, Attribute=n)  # noqa: E731
    same(ask("enableDnsHostnames")["EnableDnsHostnames"]["Value"], False)
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    same(ask("enableDnsHostnames")["EnableDnsHostnames"]["Value"], True)
    same(ask("enableDnsSupport")["EnableDnsSupport"]["Value"], True)
    refused("InvalidParameterCombination", ec2.modify_vpc_attribute, VpcId=vpc, EnableDnsHostnames={"Value": True}, EnableDnsSupport={"Value": True})


@check
def subnets_lie_in_the_network_and_do_not_overlap():
    vpc, made = castle["vpc"], []
    for n, zone in enumerate(ZONES):
        s = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.42.{n}.0/24", AvailabilityZone=zone, TagSpecifications=tags("subnet", zone))["Subnet"]
        same((s["State"], s["AvailableIpAddressCount"], s["AvailabilityZone"]), ("available", 251, zone))
        made.append(s["SubnetId"])
    castle["subnets"] = made
    refused("InvalidSubnet.Conflict", ec2.create_subnet, VpcId=vpc, CidrBlock="10.42.1.128/25", message="The CIDR '10.42.1.128/25' conflicts with another subnet")
    refused("InvalidSubnet.Range", ec2.create_subnet, VpcId=vpc, CidrBlock="10.43.0.0/24")
    refused("InvalidParameterValue", ec2.create_subnet, VpcId=vpc, CidrBlock="10.42.9.0/24", AvailabilityZone="eu-central-1x")
    refused("InvalidVpcID.NotFound", ec2.create_subnet, VpcId="vpc-00000000", CidrBlock="10.42.9.0/24")
    same(len(ec2.describe_subnets(Filters=[tag("rossi"), {"Name": "availability-zone", "Values": ZONES[:2]}])["Subnets"]), 2)
    ec2.modify_subnet_attribute(SubnetId=made[0], MapPublicIpOnLaunch={"Value": True})
    same(ec2.describe_subnets(SubnetIds=[made[0]])["Subnets"][0]["MapPublicIpOnLaunch"], True)
    ec2.modify_subnet_attribute(SubnetId=made[0], MapPublicIpOnLaunch={"Value": False})
    refused("InvalidSubnetID.NotFound", ec2.describe_subnets, SubnetIds=["subnet-00000000"], message="The subnet ID 'subnet-00000000' does not exist")


@check
def a_gateway_is_attached_once():
    vpc = castle["vpc"]
    g = ec2.create_internet_gateway(TagSpecifications=tags("internet-gateway", "rossi"))["InternetGateway"]
    igw = castle["igw"] = g["InternetGatewayId"]
    refused("Gateway.NotAttached", ec2.detach_internet_gateway, InternetGatewayId=igw, VpcId=vpc, message=f"resource {igw} is not attached to network {vpc}")
    table = castle["main"]
    refused("InvalidParameterValue", ec2.create_route, RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
    ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    refused("Resource.AlreadyAssociated", ec2.attach_internet_gateway, InternetGatewayId=igw, VpcId=vpc)
    other = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    refused("InvalidParameterValue", ec2.attach_internet_gateway, InternetGatewayId=other, VpcId=vpc, message=f"Network {vpc} already has an internet gateway attached")
    ec2.delete_internet_gateway(InternetGatewayId=other)
    found = ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [vpc]}])["InternetGateways"]
    same([(x["InternetGatewayId"], x["Attachments"][0]["State"]) for x in found], [(igw, "available")])
    refused("DependencyViolation", ec2.delete_internet_gateway, InternetGatewayId=igw, message=f"The internetGateway '{igw}' has dependencies and cannot be deleted.")
    refused("InvalidInternetGatewayID.NotFound", ec2.delete_internet_gateway, InternetGatewayId="igw-00000000")


@check
def a_route_table_is_made_once_per_token():
    vpc = castle["vpc"]
    args = dict(VpcId=vpc, ClientToken="table-1", TagSpecifications=tags("route-table", "rossi"))
    first = ec2.create_route_table(**args)["RouteTable"]["RouteTableId"]
    same(ec2.create_route_table(**args)["RouteTable"]["RouteTableId"], first)
    refused("IdempotentParameterMismatch", ec2.create_route_table, VpcId=vpc, ClientToken="table-1")
    castle["table"] = first
    same(len(ec2.describe_route_tables(Filters=[tag("rossi")])["RouteTables"]), 1)


@check
def routes_and_associations_are_strict():
    table, igw = castle["table"], castle["igw"]
    route = dict(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    ec2.create_route(GatewayId=igw, **route)
    ec2.create_route(GatewayId=igw, **route)
    e = ec2.create_network_interface(SubnetId=castle["subnets"][0])["NetworkInterface"]["NetworkInterfaceId"]
    refused("RouteAlreadyExists", ec2.create_route, NetworkInterfaceId=e, **route, message="The route identified by 0.0.0.0/0 already exists.")
    refused("InvalidParameterCombination", ec2.create_route, RouteTableId=table, DestinationCidrBlock="10.9.0.0/16", GatewayId=igw, NetworkInterfaceId=e)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.244.9.0/24", NetworkInterfaceId=e)
    routes = {r["DestinationCidrBlock"]: r for r in ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]}
    same((routes["0.0.0.0/0"]["State"], routes["10.244.9.0/24"]["State"]), ("active", "blackhole"))
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="10.244.9.0/24")
    refused("InvalidRoute.NotFound", ec2.delete_route, RouteTableId=table, DestinationCidrBlock="10.244.9.0/24")
    refused("InvalidParameterValue", ec2.delete_route, RouteTableId=table, DestinationCidrBlock="10.42.0.0/16", message="cannot remove local route")
    ec2.delete_network_interface(NetworkInterfaceId=e)
    ids = [ec2.associate_route_table(RouteTableId=table, SubnetId=s)["AssociationId"] for s in castle["subnets"]]
    same(ec2.associate_route_table(RouteTableId=table, SubnetId=castle["subnets"][0])["AssociationId"], ids[0])
    refused("Resource.AlreadyAssociated", ec2.associate_route_table, RouteTableId=castle["main"], SubnetId=castle["subnets"][0])
    refused("DependencyViolation", ec2.delete_route_table, RouteTableId=table, message=f"The routeTable '{table}' has dependencies and cannot be deleted.")
    refused("DependencyViolation", ec2.delete_route_table, RouteTableId=castle["main"])
    refused("InvalidAssociationID.NotFound", ec2.disassociate_route_table, AssociationId="rtbassoc-00000000")
    until("the backend has the gateway", lambda: "true" in seen()["routes"])


@check
def elastic_addresses_come_from_the_pool_up_to_the_quota():
    made = [ec2.allocate_address(Domain="vpc", TagSpecifications=tags("elastic-ip", f"entry-{n}")) for n in range(5)]
    refused("AddressLimitExceeded", ec2.allocate_address, Domain="vpc", message="The maximum number of addresses has been reached.")
    assert all(a["PublicIp"].startswith("203.0.113.") and 160 <= int(a["PublicIp"].split(".")[3]) <= 250 for a in made)
    same(len({a["PublicIp"] for a in made}), 5)
    for a in made[3:]:
        ec2.release_address(AllocationId=a["AllocationId"])
    refused("InvalidAllocationID.NotFound", ec2.release_address, AllocationId=made[4]["AllocationId"])
    castle["eips"] = [(a["AllocationId"], a["PublicIp"]) for a in made[:3]]
    same(len(ec2.describe_addresses(Filters=[tag("rossi")])["Addresses"]), 3)
    refused("InvalidAddress.NotFound", ec2.describe_addresses, PublicIps=["203.0.113.9"])


@check
def an_interface_has_the_address_asked_for_and_one_per_token():
    s = castle["subnets"][1]
    make = ec2.create_network_interface
    args = dict(SubnetId=s, PrivateIpAddress="10.42.1.20", Description="worker", ClientToken="eni-1", TagSpecifications=tags("network-interface", "w1"))
    first = make(**args)["NetworkInterface"]
    same((first["PrivateIpAddress"], first["Status"], first["SourceDestCheck"]), ("10.42.1.20", "available", True))
    same(make(**args)["NetworkInterface"]["NetworkInterfaceId"], first["NetworkInterfaceId"])
    refused("IdempotentParameterMismatch", make, **{**args, "PrivateIpAddress": "10.42.1.21"}, message="Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
    refused("InvalidIPAddress.InUse", make, SubnetId=s, PrivateIpAddress="10.42.1.20", message="Address 10.42.1.20 is in use.")
    refused("InvalidParameterValue", make, SubnetId=s, PrivateIpAddress="10.42.2.20", message="does not fall within the subnet's address range")
    refused("InvalidParameterValue", make, SubnetId=s, PrivateIpAddress="10.42.1.3", message="reserved address range")
    castle["eni"] = first["NetworkInterfaceId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=castle["eni"], SourceDestCheck={"Value": False})
    found = ec2.describe_network_interfaces(Filters=[tag("rossi"), {"Name": "subnet-id", "Values": [s]}])["NetworkInterfaces"]
    same([(e["Description"], e["SourceDestCheck"]) for e in found], [("worker", False)])
    refused("DependencyViolation", ec2.delete_subnet, SubnetId=s, message=f"The subnet '{s}' has dependencies and cannot be deleted.")
    refused("InvalidNetworkInterfaceID.NotFound", ec2.describe_network_interfaces, NetworkInterfaceIds=["eni-00000000"])
    refused("InvalidParameterValue", ec2.create_network_interface, SubnetId=s, ClientToken="x" * 65)


@check
def tags_are_added_changed_and_removed():
    vpc = castle["vpc"]
    ec2.create_tags(Resources=[vpc, castle["igw"]], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "a", "Value": "2"}])
    mine = {"Name": "resource-id", "Values": [vpc]}
    got = {t["Key"]: t["Value"] for t in ec2.describe_tags(Filters=[mine])["Tags"]}
    same((got["a"], got["b"], got["skykeep:castle"]), ("2", "", "rossi"))
    ec2.delete_tags(Resources=[vpc, castle["igw"]], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b"}])
    got = {t["Key"]: t["Value"] for t in ec2.describe_tags(Filters=[mine, {"Name": "key", "Values": ["a", "b"]}])["Tags"]}
    same(got, {"a": "2"})
    ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "a"}])
    same({t["ResourceType"] for t in ec2.describe_tags(Filters=[tag("rossi")])["Tags"]}, {"vpc", "subnet", "internet-gateway", "route-table", "elastic-ip", "network-interface"})
    refused("InvalidVpcID.NotFound", ec2.create_tags, Resources=["vpc-00000000"], Tags=[{"Key": "a", "Value": "1"}])
