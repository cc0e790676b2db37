"""Security groups."""

from lib import castle, check, client, refused, same
from network import tag, tags

ec2 = client("ec2")


def tcp(port, **peer):
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peer}


@check
def a_group_has_a_name_of_its_own_and_everything_may_go_out():
    vpc = castle["vpc"]
    make = lambda name: ec2.create_security_group(GroupName=name, Description="d", VpcId=vpc, TagSpecifications=tags("security-group", name))["GroupId"]  # noqa: E731
    castle["nodes"], castle["entry"] = make("nodes"), make("entry")
    refused("InvalidGroup.Duplicate", ec2.create_security_group, GroupName="nodes", Description="d", VpcId=vpc, message=f"The security group 'nodes' already exists for VPC '{vpc}'")
    refused("InvalidParameterValue", ec2.create_security_group, GroupName="sg-x", Description="d", VpcId=vpc)
    found = ec2.describe_security_groups(Filters=[tag("rossi"), {"Name": "group-name", "Values": ["nodes"]}])["SecurityGroups"]
    same([(g["GroupId"], g["IpPermissions"], g["IpPermissionsEgress"][0]["IpRanges"][0]["CidrIp"]) for g in found], [(castle["nodes"], [], "0.0.0.0/0")])


@check
def rules_are_added_once_and_taken_away():
    nodes, entry = castle["nodes"], castle["entry"]
    allow, revoke = ec2.authorize_security_group_ingress, ec2.revoke_security_group_ingress
    anywhere = [{"CidrIp": "0.0.0.0/0", "Description": "the world"}]
    made = allow(GroupId=entry, IpPermissions=[tcp(80, IpRanges=anywhere), tcp(443, IpRanges=anywhere)])["SecurityGroupRules"]
    same([(r["FromPort"], r["CidrIpv4"], r["IsEgress"]) for r in made], [(80, "0.0.0.0/0", False), (443, "0.0.0.0/0", False)])
    allow(GroupId=nodes, IpPermissions=[
        {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": nodes}]},
        tcp(6443, IpRanges=[{"CidrIp": "203.0.113.0/24"}]),
        tcp(30443, UserIdGroupPairs=[{"GroupId": entry}]),
        {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
    ])
    refused("InvalidPermission.Duplicate", allow, GroupId=entry, IpPermissions=[tcp(80, IpRanges=anywhere)], message='the specified rule "peer: 0.0.0.0/0, TCP, from port: 80, to port: 80, ALLOW" already exists')
    refused("InvalidGroup.NotFound", allow, GroupId=entry, IpPermissions=[tcp(81, UserIdGroupPairs=[{"GroupId": "sg-00000000000000000"}])])
    refused("InvalidParameterValue", allow, GroupId=entry, IpPermissions=[tcp(81, IpRanges=[{"CidrIp": "10.0.0.1/8"}])])
    refused("InvalidPermission.Malformed", allow, GroupId=entry, IpPermissions=[{"IpProtocol": "ftp", "IpRanges": anywhere}])
    allow(GroupId=entry, IpProtocol="udp", FromPort=53, ToPort=54, CidrIp="10.42.0.0/16")
    revoke(GroupId=entry, IpProtocol="udp", FromPort=53, ToPort=54, CidrIp="10.42.0.0/16")
    refused("InvalidPermission.NotFound", revoke, GroupId=entry, IpPermissions=[tcp(81, IpRanges=anywhere)], message="The specified rule does not exist in this security group.")
    revoke(GroupId=entry, SecurityGroupRuleIds=[made[0]["SecurityGroupRuleId"]])
    g = ec2.describe_security_groups(GroupIds=[entry])["SecurityGroups"][0]
    same([(p["FromPort"], p["IpRanges"][0]["Description"]) for p in g["IpPermissions"]], [(443, "the world")])
    allow(GroupId=entry, IpPermissions=[tcp(80, IpRanges=anywhere)])


@check
def a_group_that_is_needed_stays():
    refused("DependencyViolation", ec2.delete_security_group, GroupId=castle["entry"], message=f"resource {castle['entry']} has a dependent object")
    default = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [castle["vpc"]]}, {"Name": "group-name", "Values": ["default"]}])["SecurityGroups"][0]["GroupId"]
    refused("CannotDelete", ec2.delete_security_group, GroupId=default)
    refused("InvalidGroup.NotFound", ec2.delete_security_group, GroupId="sg-00000000000000000", message="The security group 'sg-00000000000000000' does not exist")
