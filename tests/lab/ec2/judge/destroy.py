"""The whole castle goes, in the only order that AWS allows, and nothing is left."""

from lib import castle, check, client, refused, same, seen, until

ec2, elb = client("ec2"), client("elbv2")


@check
def a_protected_load_balancer_stays():
    protect = lambda v: elb.modify_load_balancer_attributes(LoadBalancerArn=castle["lb"], Attributes=[{"Key": "deletion_protection.enabled", "Value": v}])  # noqa: E731
    protect("true")
    refused("OperationNotPermitted", elb.delete_load_balancer, LoadBalancerArn=castle["lb"], message="cannot be deleted because deletion protection is enabled")
    protect("false")


@check
def a_deleted_load_balancer_holds_its_addresses_a_while_longer():
    elb.delete_listener(ListenerArn=castle["listener80"])
    elb.delete_target_group(TargetGroupArn=castle["tg80"])
    elb.delete_load_balancer(LoadBalancerArn=castle["lb"])
    elb.delete_load_balancer(LoadBalancerArn=castle["lb"])
    refused("LoadBalancerNotFound", elb.describe_load_balancers, LoadBalancerArns=[castle["lb"]])
    elb.delete_target_group(TargetGroupArn=castle["tg"])
    alloc = castle["eips"][0][0]
    refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=alloc)
    refused("DependencyViolation", ec2.delete_security_group, GroupId=castle["entry"])
    own = [{"Name": "requester-managed", "Values": ["true"]}]
    until("its interfaces are gone", lambda: not ec2.describe_network_interfaces(Filters=own)["NetworkInterfaces"])
    for alloc, _ in castle["eips"]:
        ec2.release_address(AllocationId=alloc)


@check
def a_network_in_use_cannot_be_taken_apart():
    vpc, igw = castle["vpc"], castle["igw"]
    refused("DependencyViolation", ec2.delete_vpc, VpcId=vpc, message=f"The vpc '{vpc}' has dependencies and cannot be deleted.")
    refused("DependencyViolation", ec2.detach_internet_gateway, InternetGatewayId=igw, VpcId=vpc, message=f"Network {vpc} has some mapped public address(es).")
    refused("DependencyViolation", ec2.delete_security_group, GroupId=castle["nodes"])


@check
def everything_goes_in_order():
    mine = castle["cp"] + [castle["worker"]]
    ec2.terminate_instances(InstanceIds=mine)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=mine, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    e = ec2.describe_network_interfaces(NetworkInterfaceIds=[castle["eni"]])["NetworkInterfaces"][0]
    same(e["Status"], "available")
    ec2.delete_network_interface(NetworkInterfaceId=castle["eni"])
    ec2.detach_internet_gateway(InternetGatewayId=castle["igw"], VpcId=castle["vpc"])
    table = ec2.describe_route_tables(RouteTableIds=[castle["table"]])["RouteTables"][0]
    same({r["State"] for r in table["Routes"] if r.get("GatewayId") != "local"}, {"blackhole"})
    ec2.delete_internet_gateway(InternetGatewayId=castle["igw"])
    for a in table["Associations"]:
        ec2.disassociate_route_table(AssociationId=a["RouteTableAssociationId"])
    ec2.delete_route_table(RouteTableId=castle["table"])
    for s in castle["subnets"]:
        ec2.delete_subnet(SubnetId=s)
    ec2.delete_security_group(GroupId=castle["nodes"])
    ec2.delete_security_group(GroupId=castle["entry"])
    ec2.delete_vpc(VpcId=castle["vpc"])
    refused("InvalidVpcID.NotFound", ec2.delete_vpc, VpcId=castle["vpc"])


@check
def the_cloud_is_empty_and_the_backend_too():
    now = seen()
    same((now["inventory"], now["instances"], now["vpcs"]), ([], [], 0))
    same([e for e in now["events"] if "no space left" not in e], [])
