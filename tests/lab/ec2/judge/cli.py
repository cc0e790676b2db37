"""The same cloud through somebody else's program: the `aws` command line builds and destroys a small castle."""

import json
import os
import pathlib
import subprocess
import sys
import time

import lib
from lib import IMAGE, OWNER, REGION, check, same, seen, service_host, until

PROGRAM = pathlib.Path(sys.executable).parent / "aws"
made = {}


def run(*words):
    names = {"EC2": "ec2", "STS": "sts", "SSM": "ssm", "ELASTIC_LOAD_BALANCING_V2": "elbv2"}
    own = {f"AWS_ENDPOINT_URL_{k}": f"http://{service_host(v)}" for k, v in names.items()}
    env = {
        **own,
        "PATH": os.environ["PATH"],
        "HTTP_PROXY": f"http://127.0.0.1:{lib.port}",
        "AWS_ACCESS_KEY_ID": OWNER[0],
        "AWS_SECRET_ACCESS_KEY": OWNER[1],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run([sys.executable, PROGRAM, *words, "--output", "json"], env=env, capture_output=True, text=True, timeout=60)


def aws(*words):
    done = run(*words)
    assert done.returncode == 0, f"aws {' '.join(words)}: {done.stderr.strip()}"
    return json.loads(done.stdout) if done.stdout.strip() else None


def named(kind, name):
    return ["--tag-specifications", f"ResourceType={kind},Tags=[{{Key=Name,Value={name}}},{{Key=by,Value=cli}}]"]


BY = ["--filters", "Name=tag:by,Values=cli"]


@check
def the_command_line_knows_who_it_is_and_finds_the_image():
    same(aws("sts", "get-caller-identity")["Account"], "123456789012")
    name = "/aws/service/debian/release/12/latest/amd64"
    same(aws("ssm", "get-parameter", "--name", name)["Parameter"]["Value"], IMAGE)


@check
def the_command_line_builds_a_network():
    made["vpc"] = vpc = aws("ec2", "create-vpc", "--cidr-block", "10.77.0.0/16", *named("vpc", "cli"))["Vpc"]["VpcId"]
    aws("ec2", "wait", "vpc-available", "--vpc-ids", vpc)
    made["igw"] = igw = aws("ec2", "create-internet-gateway")["InternetGateway"]["InternetGatewayId"]
    aws("ec2", "attach-internet-gateway", "--internet-gateway-id", igw, "--vpc-id", vpc)
    table = aws("ec2", "describe-route-tables", "--filters", f"Name=vpc-id,Values={vpc}")["RouteTables"][0]["RouteTableId"]
    aws("ec2", "create-route", "--route-table-id", table, "--destination-cidr-block", "0.0.0.0/0", "--gateway-id", igw)
    subnet = aws("ec2", "create-subnet", "--vpc-id", vpc, "--cidr-block", "10.77.0.0/24", "--availability-zone", f"{REGION}b", *named("subnet", "cli-b"))
    made["subnet"] = subnet["Subnet"]["SubnetId"]
    group = aws("ec2", "create-security-group", "--group-name", "cli", "--description", "by the command line", "--vpc-id", vpc)
    made["group"] = group["GroupId"]
    aws("ec2", "authorize-security-group-ingress", "--group-id", made["group"], "--protocol", "tcp", "--port", "443", "--cidr", "198.51.100.0/24")
    rules = aws("ec2", "describe-security-groups", "--group-ids", made["group"])["SecurityGroups"][0]["IpPermissions"]
    same([(r["FromPort"], r["IpRanges"][0]["CidrIp"]) for r in rules], [(443, "198.51.100.0/24")])


@check
def the_command_line_launches_a_machine_and_reads_its_console():
    spec = ["--image-id", IMAGE, "--instance-type", "t3.small", "--subnet-id", made["subnet"], "--private-ip-address", "10.77.0.10"]
    spec += ["--security-group-ids", made["group"], "--user-data", "#cloud-config\n", "--client-token", "cli-1"]
    spec += ["--metadata-options", "HttpTokens=required,HttpPutResponseHopLimit=1", *named("instance", "one")]
    one = aws("ec2", "run-instances", *spec)["Instances"][0]["InstanceId"]
    same(aws("ec2", "run-instances", *spec)["Instances"][0]["InstanceId"], one)
    until("it runs", lambda: one in seen()["instances"])
    time.sleep(0.5)
    aws("ec2", "wait", "instance-running", "--instance-ids", one)
    there = aws("ec2", "describe-instances", *BY)["Reservations"][0]["Instances"][0]
    same((there["PrivateIpAddress"], there["MetadataOptions"]["HttpTokens"]), ("10.77.0.10", "required"))
    lib.lab("machine", id=one, says="login: ")
    done = run("ec2", "get-console-output", "--instance-id", one, "--latest")
    assert "login: " in done.stdout, done.stderr
    made["one"] = one


@check
def the_command_line_puts_a_balancer_before_it():
    made["address"] = aws("ec2", "allocate-address", *named("elastic-ip", "cli"))["AllocationId"]
    mapping = f"SubnetId={made['subnet']},AllocationId={made['address']}"
    lb = aws("elbv2", "create-load-balancer", "--name", "cli", "--type", "network", "--subnet-mappings", mapping, "--tags", "Key=by,Value=cli")
    made["lb"] = lb["LoadBalancers"][0]["LoadBalancerArn"]
    group = aws("elbv2", "create-target-group", "--name", "cli", "--protocol", "TCP", "--port", "30443", "--vpc-id", made["vpc"])
    made["tg"] = group["TargetGroups"][0]["TargetGroupArn"]
    action = f"Type=forward,TargetGroupArn={made['tg']}"
    aws("elbv2", "create-listener", "--load-balancer-arn", made["lb"], "--protocol", "TCP", "--port", "443", "--default-actions", action)
    aws("elbv2", "register-targets", "--target-group-arn", made["tg"], "--targets", f"Id={made['one']}")
    time.sleep(1)
    aws("elbv2", "wait", "load-balancer-available", "--load-balancer-arns", made["lb"])
    same(aws("elbv2", "describe-tags", "--resource-arns", made["lb"])["TagDescriptions"][0]["Tags"], [{"Key": "by", "Value": "cli"}])
    state = lambda: aws("elbv2", "describe-target-health", "--target-group-arn", made["tg"])["TargetHealthDescriptions"][0]["TargetHealth"]["State"]  # noqa: E731
    until("its target is healthy", lambda: state() == "healthy")


@check
def the_command_line_says_why_and_fails():
    done = run("ec2", "delete-vpc", "--vpc-id", made["vpc"])
    assert done.returncode != 0
    assert "(DependencyViolation) when calling the DeleteVpc operation" in done.stderr, done.stderr
    done = run("ec2", "create-vpc", "--cidr-block", "10.9.0.0/16", "--dry-run")
    assert "(DryRunOperation)" in done.stderr, done.stderr


@check
def the_command_line_takes_everything_away():
    aws("elbv2", "delete-load-balancer", "--load-balancer-arn", made["lb"])
    aws("elbv2", "delete-target-group", "--target-group-arn", made["tg"])
    aws("ec2", "terminate-instances", "--instance-ids", made["one"])
    until("the machine is gone", lambda: made["one"] not in seen()["instances"])
    time.sleep(1)
    aws("ec2", "wait", "instance-terminated", "--instance-ids", made["one"])
    aws("ec2", "release-address", "--allocation-id", made["address"])
    aws("ec2", "delete-security-group", "--group-id", made["group"])
    aws("ec2", "delete-subnet", "--subnet-id", made["subnet"])
    aws("ec2", "detach-internet-gateway", "--internet-gateway-id", made["igw"], "--vpc-id", made["vpc"])
    aws("ec2", "delete-internet-gateway", "--internet-gateway-id", made["igw"])
    aws("ec2", "delete-vpc", "--vpc-id", made["vpc"])
    same(seen()["inventory"], [])
