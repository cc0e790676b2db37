"""Faults injected by the laboratory."""

import time

import botocore.exceptions

from compute import wish
from lib import castle, check, client, fault, lab, refused, same, seen, until

ec2, elb = client("ec2"), client("elbv2")


@check
def throttling_has_each_services_words_and_ends():
    fault("DescribeVpcs", "throttle")
    refused("RequestLimitExceeded", ec2.describe_vpcs, message="Request limit exceeded.", status=503)
    ec2.describe_vpcs()
    fault("DescribeLoadBalancers", "throttle")
    refused("Throttling", elb.describe_load_balancers, message="Rate exceeded", status=400)


@check
def a_client_that_retries_gets_through():
    fault("DescribeVpcs", "throttle", times=2)
    same(len(client("ec2", retries=3).describe_vpcs()["Vpcs"]), 1)


@check
def an_unavailable_and_a_broken_service():
    fault("DescribeVpcs", "unavailable")
    refused("Unavailable", ec2.describe_vpcs, status=503)
    fault("DescribeVpcs", "internal")
    refused("InternalError", ec2.describe_vpcs, status=500)


@check
def no_capacity_is_said_for_the_zone_and_type():
    fault("RunInstances", "no-capacity")
    refused("DryRunOperation", ec2.run_instances, **wish(ip="10.42.0.60", token="full", DryRun=True))
    refused("InsufficientInstanceCapacity", ec2.run_instances, **wish(ip="10.42.0.60", token="full"), message="We currently do not have sufficient t3.large capacity in the Availability Zone you requested", status=500)


def lost(call, **args):
    try:
        call(**args)
    except (botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError) as e:
        # Through a proxy botocore calls a connection that broke before the reply ProxyConnectionError.
        assert not isinstance(e, botocore.exceptions.ReadTimeoutError), e
        return
    raise AssertionError("a reply came")


@check
def a_lost_reply_is_a_deed_done_and_the_token_finds_it():
    before = set(seen()["instances"])
    fault("RunInstances", "lost-reply")
    lost(ec2.run_instances, **wish(ip="10.42.0.60", token="lost"))
    i = ec2.run_instances(**wish(ip="10.42.0.60", token="lost"))["Instances"][0]["InstanceId"]
    until("one more runs", lambda: set(seen()["instances"]) - before == {i})
    time.sleep(0.4)
    same(set(seen()["instances"]) - before, {i})
    ec2.terminate_instances(InstanceIds=[i])
    until("it is gone", lambda: i not in seen()["instances"])
    same([c["result"] for c in seen()["calls"] if c["params"].get("ClientToken") == "lost"], ["lost reply", "ok"])


@check
def a_lost_reply_without_token_leaves_a_twin_to_find_by_tag():
    fault("CreateVpc", "lost-reply")
    spec = [{"ResourceType": "vpc", "Tags": [{"Key": "twin", "Value": "yes"}]}]
    lost(ec2.create_vpc, CidrBlock="10.60.0.0/16", TagSpecifications=spec)
    found = ec2.describe_vpcs(Filters=[{"Name": "tag:twin", "Values": ["yes"]}])["Vpcs"]
    same(len(found), 1)
    ec2.delete_vpc(VpcId=found[0]["VpcId"])


@check
def a_lost_request_did_nothing():
    fault("CreateVpc", "lost-request")
    lost(ec2.create_vpc, CidrBlock="10.61.0.0/16")
    same(len(ec2.describe_vpcs()["Vpcs"]), 1)


@check
def what_is_new_may_be_invisible_for_a_while():
    fault("", "stale", ms=900)
    try:
        vpc = ec2.create_vpc(CidrBlock="10.62.0.0/16")["Vpc"]["VpcId"]
        same(len(ec2.describe_vpcs()["Vpcs"]), 1)
        refused("InvalidVpcID.NotFound", ec2.describe_vpcs, VpcIds=[vpc])
        until("it is visible", lambda: len(ec2.describe_vpcs()["Vpcs"]) == 2)
    finally:
        fault("", "stale", ms=0)
    ec2.delete_vpc(VpcId=vpc)


@check
def a_slow_reply_comes_late():
    fault("DescribeVpcs", "slow", ms=600)
    began = time.monotonic()
    ec2.describe_vpcs()
    assert time.monotonic() - began >= 0.6


@check
def an_instance_terminated_while_it_is_launched_leaves_nothing():
    i = ec2.run_instances(**wish(ip="10.42.0.61", token="hasty"))["Instances"][0]["InstanceId"]
    ec2.terminate_instances(InstanceIds=[i])
    state = lambda: ec2.describe_instances(InstanceIds=[i])["Reservations"][0]["Instances"][0]["State"]["Name"]  # noqa: E731
    until("it is terminated", lambda: state() == "terminated")
    time.sleep(0.8)
    assert i not in seen()["instances"], "a machine that nobody knows runs on"


@check
def every_call_is_in_the_log_with_its_outcome():
    calls = seen()["calls"]
    assert len(calls) > 150
    same({c["service"] for c in calls}, {"ec2", "iam", "elasticloadbalancing", "servicequotas", "sts", "ssm"})
    assert {"ok", "AuthFailure", "DependencyViolation", "lost reply", "lost request"} <= {c["result"] for c in calls}
    big = [c for c in calls if c["action"] == "RunInstances" and len(c["params"].get("UserData", "")) > 300]
    same(big, [])
    lab("seen", "GET")
    assert castle["vpc"]
