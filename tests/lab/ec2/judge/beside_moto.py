"""The same questions to the double and to moto, the field's usual double of AWS. Each answer is expected, and where the two
differ the reason says which of them is as AWS is. Arguments: `double` or `moto`, and its port."""

import sys

import botocore.exceptions
import botocore.parsers

import lib

lib.port = int(sys.argv[2])

from lib import OWNER, client, code_of, raw  # noqa: E402

ec2, elb = client("ec2"), client("elbv2")
made = {}

# Question: (the double's answer, moto's answer, why they differ; empty when they agree).
ANSWERS = {
    "a wrong secret key": ("AuthFailure", "ok", "moto verifies no signatures unless told to"),
    "a parameter that EC2 does not have": ("UnknownParameter", "ok", "moto ignores what it does not know; AWS refuses it"),
    "a dry run": ("DryRunOperation", "ok", "moto creates the network all the same"),
    "subnets that overlap": ("InvalidSubnet.Conflict", "InvalidSubnet.Conflict", ""),
    "an image that is not there": ("InvalidAMIID.NotFound", "ok", "moto launches from any id"),
    "17 KiB of user data": ("InvalidParameterValue", "ok", "AWS's limit is 16 KiB before base64"),
    "a machine just launched": ("pending", "pending", ""),
    "the same token again": ("the same", "it broke", "moto has no client tokens for launches; a second launch at the same address is its error 500"),
    "the same token, another type": ("IdempotentParameterMismatch", "it broke", "as above; AWS compares all parameters"),
    "an address that is taken": ("InvalidIPAddress.InUse", "it broke", "moto raises an exception that it does not catch"),
    "what a machine printed before it printed": ("nothing", "a sample", "moto has a canned text of a boot"),
    "a group in use": ("DependencyViolation", "ok", "moto deletes it under the machine"),
    "a balancer just made": ("provisioning", "provisioning", ""),
    "the same balancer again": ("the same", "the same", ""),
    "an address of a balancer released": ("InvalidIPAddress.InUse", "ok", "moto does not bind addresses to balancers"),
    "a subnet with a machine deleted": ("DependencyViolation", "ok", "moto deletes it under the machine"),
    "a gateway taken from public addresses": ("DependencyViolation", "ok", "moto does not look at mapped addresses"),
    "a network with things in it": ("DependencyViolation", "ok", "moto has let subnet, gateway and group go before, so nothing holds it"),
    "a sixth address": ("AddressLimitExceeded", "ok", "moto has no quotas"),
}


def said(call, **args):
    try:
        return call(**args)
    except botocore.exceptions.ClientError as e:
        return e.response["Error"]["Code"]
    except botocore.parsers.ResponseParserError:
        return "it broke"


def outcome(call, **args):
    got = said(call, **args)
    return got if isinstance(got, str) else "ok"


def questions():
    who = (OWNER[0], "wrong")
    yield "a wrong secret key", outcome(client("ec2", who).describe_vpcs)
    status, body = raw("ec2", {"Action": "DescribeVpcs", "Version": "2016-11-15", "Colour": "red"})
    yield "a parameter that EC2 does not have", "ok" if status == 200 else code_of(body)
    yield "a dry run", outcome(ec2.create_vpc, CidrBlock="10.90.0.0/16", DryRun=True)
    vpc = ec2.create_vpc(CidrBlock="10.42.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.42.0.0/24", AvailabilityZone="eu-central-1a")["Subnet"]["SubnetId"]
    yield "subnets that overlap", outcome(ec2.create_subnet, VpcId=vpc, CidrBlock="10.42.0.128/25")
    igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    group = ec2.create_security_group(GroupName="one", Description="one", VpcId=vpc)["GroupId"]
    x86 = [{"Name": "architecture", "Values": ["x86_64"]}, {"Name": "virtualization-type", "Values": ["hvm"]}]
    image = ec2.describe_images(Filters=x86)["Images"][0]["ImageId"]

    def wish(token, ip="10.42.0.10", **more):
        nic = {"DeviceIndex": 0, "SubnetId": subnet, "PrivateIpAddress": ip, "AssociatePublicIpAddress": True, "Groups": [group]}
        return {"ImageId": image, "InstanceType": "t3.large", "MinCount": 1, "MaxCount": 1, "ClientToken": token, "NetworkInterfaces": [nic], **more}

    yield "an image that is not there", outcome(ec2.run_instances, **wish("none", ip="10.42.0.12", ImageId="ami-00000000000000000"))
    yield "17 KiB of user data", outcome(ec2.run_instances, **wish("big", ip="10.42.0.11", UserData="x" * 17_000))
    one = ec2.run_instances(**wish("one"))["Instances"][0]
    yield "a machine just launched", one["State"]["Name"]

    def again(**more):
        got = said(ec2.run_instances, **wish("one", **more))
        if isinstance(got, str):
            return got
        return "the same" if got["Instances"][0]["InstanceId"] == one["InstanceId"] else "another"

    yield "the same token again", again()
    yield "the same token, another type", again(InstanceType="t3.small")
    yield "an address that is taken", outcome(ec2.run_instances, **wish("two"))
    printed = ec2.get_console_output(InstanceId=one["InstanceId"])
    yield "what a machine printed before it printed", "a sample" if printed.get("Output") else "nothing"
    yield "a group in use", outcome(ec2.delete_security_group, GroupId=group)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    mapping = [{"SubnetId": subnet, "AllocationId": address}]
    lb = elb.create_load_balancer(Name="one", Type="network", SubnetMappings=mapping)["LoadBalancers"][0]
    yield "a balancer just made", lb["State"]["Code"]
    got = said(elb.create_load_balancer, Name="one", Type="network", SubnetMappings=mapping)
    yield "the same balancer again", got if isinstance(got, str) else "the same"
    yield "an address of a balancer released", outcome(ec2.release_address, AllocationId=address)
    yield "a subnet with a machine deleted", outcome(ec2.delete_subnet, SubnetId=subnet)
    yield "a gateway taken from public addresses", outcome(ec2.detach_internet_gateway, InternetGatewayId=igw, VpcId=vpc)
    yield "a network with things in it", outcome(ec2.delete_vpc, VpcId=vpc)
    yield "a sixth address", [outcome(ec2.allocate_address, Domain="vpc") for _ in range(6)][-1]


which = ["double", "moto"].index(sys.argv[1])
asked, wrong = 0, 0
for question, answer in questions():
    asked += 1
    if answer != ANSWERS[question][which]:
        wrong += 1
        print(f"FAILED {question}: {answer}, expected {ANSWERS[question][which]}")
assert asked == len(ANSWERS), f"{asked} of {len(ANSWERS)} questions were asked"
for question, (double, moto, why) in ANSWERS.items():
    assert (double == moto) == (why == ""), f"{question}: every difference has its reason, and only they"
differ = sum(1 for d, m, _ in ANSWERS.values() if d != m)
print(f"{sys.argv[1]}: {asked} questions, {wrong} unexpected answers ({differ} explained differences between the two)")
sys.exit(1 if wrong else 0)
