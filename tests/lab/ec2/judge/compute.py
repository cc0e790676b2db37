"""Instances from launch to console."""

import base64

from lib import IMAGE, castle, check, client, lab, refused, same, seen, until
from network import tag, tags

ec2 = client("ec2")


def wish(ip="10.42.0.10", token="cp-1", **more):
    """RunInstances as the product sends it."""
    nic = {"DeviceIndex": 0, "SubnetId": castle["subnets"][0], "PrivateIpAddress": ip, "AssociatePublicIpAddress": True, "Groups": [castle["nodes"]]}
    return {
        "ImageId": IMAGE, "InstanceType": "t3.large", "MinCount": 1, "MaxCount": 1, "ClientToken": token, "UserData": "#cloud-config\n",
        "NetworkInterfaces": [nic], "TagSpecifications": tags("instance", token) + tags("volume", token) + tags("network-interface", token),
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}}],
        **more,
    }


def state(id):
    return ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]["State"]["Name"]


@check
def a_launch_is_tried_dry_first():
    refused("DryRunOperation", ec2.run_instances, **wish(DryRun=True), status=412)
    same(ec2.describe_instances()["Reservations"], [])


@check
def an_instance_goes_from_pending_to_running_with_its_addresses():
    i = ec2.run_instances(**wish())["Instances"][0]
    castle["cp"] = [i["InstanceId"]]
    same((i["State"]["Name"], i["PrivateIpAddress"], i["PrivateDnsName"]), ("pending", "10.42.0.10", "ip-10-42-0-10.eu-central-1.compute.internal"))
    same(i["MetadataOptions"]["HttpTokens"], "required")
    ec2.get_waiter("instance_running").wait(InstanceIds=castle["cp"], WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    i = ec2.describe_instances(InstanceIds=castle["cp"])["Reservations"][0]["Instances"][0]
    assert i["PublicIpAddress"].startswith("203.0.113."), i
    same([e["Attachment"]["DeleteOnTermination"] for e in i["NetworkInterfaces"]], [True])
    same([t["Value"] for t in i["Tags"] if t["Key"] == "Name"], ["cp-1"])
    same(i["NetworkInterfaces"][0]["Groups"][0]["GroupName"], "nodes")
    now = until("the backend knows the public address", lambda: [s for s in [seen()] if any(["10.42.0.10" in str(p) for p in s["public"].values()])])[0]
    same(now["instances"], castle["cp"])
    same(bytes.fromhex(now["user_data"][0]), b"#cloud-config\n")
    assert "10.42.0.10" in now["firewall"] and "from_port: 6443" in now["firewall"], now["firewall"]
    v = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": castle["cp"]}])["Volumes"][0]
    same((v["Size"], v["Encrypted"], v["State"]), (20, True, "in-use"))
    same(len(ec2.describe_instance_status(InstanceIds=castle["cp"])["InstanceStatuses"]), 1)


@check
def the_same_token_gives_the_same_instance_and_never_another():
    again = ec2.run_instances(**wish())["Instances"]
    same([i["InstanceId"] for i in again], castle["cp"])
    refused("IdempotentParameterMismatch", ec2.run_instances, **wish(UserData="other"), message="Arguments on this idempotent request are inconsistent")
    same(len(seen()["instances"]), 1)


@check
def an_interface_made_beforehand_becomes_the_instances_own():
    nic = [{"DeviceIndex": 0, "NetworkInterfaceId": castle["eni"]}]
    args = wish(token="w-1", NetworkInterfaces=nic, TagSpecifications=tags("instance", "w-1"))
    bad = [{**nic[0], "AssociatePublicIpAddress": True}]
    refused("InvalidParameterCombination", ec2.run_instances, **{**args, "NetworkInterfaces": bad})
    i = ec2.run_instances(**args)["Instances"][0]
    same((i["PrivateIpAddress"], i["SourceDestCheck"], i["NetworkInterfaces"][0]["Attachment"]["DeleteOnTermination"]), ("10.42.1.20", False, False))
    castle["worker"] = i["InstanceId"]
    refused("InvalidNetworkInterface.InUse", ec2.run_instances, **{**args, "ClientToken": "w-2"})
    refused("InvalidParameterValue", ec2.delete_network_interface, NetworkInterfaceId=castle["eni"], message="is currently in use.")
    ec2.get_waiter("instance_running").wait(InstanceIds=[i["InstanceId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    ec2.create_route(RouteTableId=castle["table"], DestinationCidrBlock="10.244.3.0/24", NetworkInterfaceId=castle["eni"])
    until("the route is at the backend", lambda: "(10.244.3.0/24, 10.42.1.20)" in seen()["routes"])
    assert "private_ip: 10.42.1.20" in seen()["firewall"]


@check
def an_elastic_address_moves_to_an_instance_and_back():
    alloc, ip = castle["eips"][0]
    a = ec2.associate_address(AllocationId=alloc, InstanceId=castle["worker"])["AssociationId"]
    i = ec2.describe_instances(InstanceIds=[castle["worker"]])["Reservations"][0]["Instances"][0]
    same((i["PublicIpAddress"], i["NetworkInterfaces"][0]["Association"]["IpOwnerId"]), (ip, "123456789012"))
    refused("Resource.AlreadyAssociated", ec2.associate_address, AllocationId=alloc, InstanceId=castle["cp"][0], AllowReassociation=False, message=f"resource {alloc} is already associated with associate-id {a}")
    refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=alloc)
    same(ec2.describe_addresses(AllocationIds=[alloc])["Addresses"][0]["InstanceId"], castle["worker"])
    ec2.disassociate_address(AssociationId=a)
    refused("InvalidAssociationID.NotFound", ec2.disassociate_address, AssociationId=a)


@check
def wrong_wishes_are_refused_in_awss_words():
    run = ec2.run_instances
    refused("InvalidAMIID.NotFound", run, **wish(token="x", ImageId="ami-00000000000000000"), message="The image id '[ami-00000000000000000]' does not exist")
    refused("InvalidParameterValue", run, **wish(token="x", InstanceType="t9.huge"), message="Invalid value 't9.huge' for InstanceType.")
    refused("InvalidParameterValue", run, **wish(token="x", InstanceType="t4g.large"), message="does not match the architecture 'x86_64'")
    refused("InvalidIPAddress.InUse", run, **wish(token="x"), message="Address 10.42.0.10 is in use.")
    refused("InvalidParameterValue", run, **wish(token="x", UserData="x" * 16385), message="User data is limited to 16384 bytes")
    refused("InvalidParameterValue", run, **wish(token="x", MinCount=2, MaxCount=1))
    refused("InvalidKeyPair.NotFound", run, **wish(token="x", KeyName="k"), message="The key pair 'k' does not exist")
    refused("InvalidParameterCombination", run, **wish(token="x", SecurityGroupIds=[castle["nodes"]]), message="Network interfaces and an instance-level security groups may not be specified on the same request")
    refused("InvalidParameterCombination", run, **wish(token="x", SubnetId=castle["subnets"][0]))
    refused("InvalidBlockDeviceMapping", run, **wish(token="x", BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 1}}]), message="is smaller than snapshot")
    refused("VcpuLimitExceeded", run, **wish(token="x", NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": castle["subnets"][0]}], MinCount=99, MaxCount=99))
    refused("InvalidGroup.NotFound", run, **wish(token="x", NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": castle["subnets"][0], "Groups": ["sg-00000000000000000"]}]))
    same(len(seen()["instances"]), 2)


@check
def the_largest_user_data_arrives_whole():
    big = "#cloud-config\n" + "x" * (16384 - 14)
    i = ec2.run_instances(**wish(ip="10.42.0.11", token="cp-2", UserData=big))["Instances"][0]["InstanceId"]
    castle["cp"].append(i)
    got = ec2.describe_instance_attribute(InstanceId=i, Attribute="userData")["UserData"]["Value"]
    same(base64.b64decode(got).decode(), big)
    until("it runs", lambda: state(i) == "running")


@check
def instances_are_found_by_tag_state_and_page():
    find = lambda *f: [i["InstanceId"] for r in ec2.describe_instances(Filters=list(f))["Reservations"] for i in r["Instances"]]  # noqa: E731
    same(len(find(tag("rossi"), {"Name": "instance-state-name", "Values": ["pending", "running"]})), 3)
    same(find(tag("cp-1", "Name")), [castle["cp"][0]])
    same(find({"Name": "client-token", "Values": ["w-1"]}), [castle["worker"]])
    refused("InvalidInstanceID.NotFound", ec2.describe_instances, InstanceIds=["i-00000000000000000"], message="The instance ID 'i-00000000000000000' does not exist")
    refused("InvalidInstanceID.Malformed", ec2.describe_instances, InstanceIds=["nonsense"])
    refused("InvalidParameterValue", ec2.describe_instances, MaxResults=2)
    refused("InvalidParameterCombination", ec2.describe_instances, MaxResults=5, InstanceIds=castle["cp"])
    more = ec2.run_instances(**wish(token="many", MinCount=4, MaxCount=4, NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": castle["subnets"][2]}], TagSpecifications=tags("instance", "many")))["Instances"]
    same(len({i["PrivateIpAddress"] for i in more}), 4)
    castle["many"] = [i["InstanceId"] for i in more]
    pages = list(ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5}))
    same([sum(len(r["Instances"]) for r in p["Reservations"]) for p in pages], [5, 2])
    refused("InvalidNextToken", ec2.describe_instances, NextToken="rubbish")


@check
def attributes_change_and_protect():
    i = castle["cp"][0]
    ec2.modify_instance_attribute(InstanceId=i, SourceDestCheck={"Value": False})
    same(ec2.describe_instance_attribute(InstanceId=i, Attribute="sourceDestCheck")["SourceDestCheck"]["Value"], False)
    ec2.modify_instance_attribute(InstanceId=i, DisableApiTermination={"Value": True})
    refused("OperationNotPermitted", ec2.terminate_instances, InstanceIds=[castle["cp"][1], i], message=f"The instance '{i}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.")
    same(state(castle["cp"][1]), "running")
    ec2.modify_instance_attribute(InstanceId=i, DisableApiTermination={"Value": False})
    refused("InvalidParameterCombination", ec2.modify_instance_attribute, InstanceId=i)


@check
def the_console_is_readable():
    one = castle["cp"][0]
    assert "Output" not in ec2.get_console_output(InstanceId=one, Latest=True)
    lab("machine", id=one, says="Debian GNU/Linux 12 \u00e9\n")
    same(ec2.get_console_output(InstanceId=one, Latest=True)["Output"], "Debian GNU/Linux 12 \u00e9\n")


@check
def termination_frees_what_was_made_for_the_instance_and_keeps_the_rest():
    many = castle.pop("many")
    until("they run", lambda: all(state(i) == "running" for i in many))
    out = ec2.terminate_instances(InstanceIds=many)["TerminatingInstances"]
    same({(t["PreviousState"]["Name"], t["CurrentState"]["Name"]) for t in out}, {("running", "shutting-down")})
    refused("DependencyViolation", ec2.delete_subnet, SubnetId=castle["subnets"][2])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=many, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    out = ec2.terminate_instances(InstanceIds=many[:1])["TerminatingInstances"]
    same(out[0]["CurrentState"]["Name"], "terminated")
    same(ec2.describe_network_interfaces(Filters=[{"Name": "subnet-id", "Values": [castle["subnets"][2]]}])["NetworkInterfaces"], [])
    assert not set(many) & set(seen()["instances"])
    gone = wish(token="many", MinCount=4, MaxCount=4, NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": castle["subnets"][2]}], TagSpecifications=tags("instance", "many"))
    refused("IdempotentInstanceTerminated", ec2.run_instances, **gone)


@check
def a_launch_that_fails_ends_terminated_with_a_reason():
    lab("machine", fail="no space left on the laboratory's disk")
    i = ec2.run_instances(**wish(ip="10.42.0.50", token="fails"))["Instances"][0]["InstanceId"]
    until("it is terminated", lambda: state(i) == "terminated")
    reason = ec2.describe_instances(InstanceIds=[i])["Reservations"][0]["Instances"][0]["StateReason"]
    same(reason["Code"], "Server.InternalError")
    assert any("no space left" in e for e in seen()["events"])


@check
def a_machine_that_dies_by_itself_is_seen_as_stopped():
    i = ec2.run_instances(**wish(ip="10.42.0.51", token="dies"))["Instances"][0]["InstanceId"]
    until("it runs", lambda: state(i) == "running")
    lab("machine", id=i)
    until("it is stopped", lambda: state(i) == "stopped")
    ec2.terminate_instances(InstanceIds=[i])
    until("it is terminated", lambda: state(i) == "terminated")
