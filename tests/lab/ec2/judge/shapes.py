"""Holds recorded requests (one line of JSON each) against AWS's own service models, as botocore ships them.

A request passes when every parameter belongs to a member of the action's input, has its type and range, is one of its enum's
values, when nothing required is missing, and when botocore itself, given the same values, would send the very same form.
"""

import collections
import json
import sys

import botocore.session
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

SERVICES = {"ec2": "ec2", "elasticloadbalancing": "elbv2", "sts": "sts", "iam": "iam", "ssm": "ssm", "servicequotas": "service-quotas"}
session = botocore.session.get_session()
models = {name: session.get_service_model(model) for name, model in SERVICES.items()}


class Form:
    """A flat form that remembers what was taken from it."""

    def __init__(self, form):
        self.form, self.taken = form, set()

    def below(self, prefix):
        return prefix in self.form or any(k.startswith(prefix + ".") for k in self.form)

    def take(self, key):
        self.taken.add(key)
        return self.form[key]

    def left(self):
        return sorted(set(self.form) - self.taken)


def name_of(protocol, member, shape):
    """The name under which a member travels."""
    names = shape.serialization
    if protocol == "ec2":
        name = names.get("queryName") or names.get("name", member)
        return name[0].upper() + name[1:]
    return names.get("name", member)


def read(form, shape, prefix, protocol):
    """What the form says about this shape, as botocore's users would write it."""
    if shape.type_name == "structure":
        out = {}
        for member, inner in shape.members.items():
            key = name_of(protocol, member, inner)
            key = f"{prefix}.{key}" if prefix else key
            if form.below(key):
                out[member] = read(form, inner, key, protocol)
        return out
    if shape.type_name == "list":
        stem = prefix if protocol == "ec2" or shape.serialization.get("flattened") else f"{prefix}.{shape.member.serialization.get('name', 'member')}"
        out = []
        while form.below(f"{stem}.{len(out) + 1}"):
            out.append(read(form, shape.member, f"{stem}.{len(out) + 1}", protocol))
        return out
    text = form.take(prefix)
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name in ("float", "double"):
        return float(text)
    if shape.type_name == "boolean":
        return {"true": True, "false": False}[text]
    return text


def enums(value, shape, path):
    """botocore's validator leaves enums and upper bounds to AWS."""
    if shape.type_name == "structure":
        for member, inner in value.items():
            yield from enums(inner, shape.members[member], f"{path}.{member}")
    elif shape.type_name == "list":
        for inner in value:
            yield from enums(inner, shape.member, f"{path}[]")
    elif shape.type_name in ("integer", "long"):
        if value > shape.metadata.get("max", value):
            yield value, f"{path}: {value} is more than {shape.metadata['max']}"
    elif shape.type_name == "string":
        if getattr(shape, "enum", None) and value not in shape.enum:
            yield value, f"{path}: {value!r} is not one of {shape.enum}"
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if (low and len(value) < low) or (high and len(value) > high):
            yield value, f"{path}: {len(value)} characters, AWS takes {low} to {high}"


def faults(request):
    """Everything that is wrong with one request."""
    model = models[request["service"]]
    if request["action"] not in model.operation_names:
        return [f"no such action in {request['service']}"]
    operation = model.operation_model(request["action"])
    protocol = model.metadata["protocol"]
    if protocol == "json":
        given, sent = json.loads(request["body"]), None
        unknown = set(given) - set(operation.input_shape.members)
        found = [f"{name}: not in AWS's model" for name in sorted(unknown)]
    else:
        sent = dict(request["form"])
        version = sent.pop("Version", None)
        found = [] if version == model.api_version else [f"Version {version} instead of {model.api_version}"]
        form = Form({k: v for k, v in sent.items() if k != "Action"})
        try:
            given = read(form, operation.input_shape, "", protocol) if operation.input_shape else {}
        except (ValueError, KeyError) as why:
            return [*found, f"unreadable value: {why!r}"]
        found += [f"{key}: not in AWS's model" for key in form.left()]
    report = ParamValidator().validate(given, operation.input_shape) if operation.input_shape else None
    if report and report.has_errors():
        found.append(report.generate_report().replace("\n", " "))
    if found:
        return found
    if operation.input_shape:
        # DescribeAccountAttributes takes more names than its enum has; its description lists them.
        described = operation.documentation
        found += [text for value, text in enums(given, operation.input_shape, request["action"]) if f"<code>{value}</code>" not in described]
    if sent is not None:
        own = dict(create_serializer(protocol, include_validation=False).serialize_to_request(given, operation)["body"])
        own.pop("Version"), own.pop("Action"), sent.pop("Action")
        own = {k: {True: "true", False: "false"}.get(v, str(v)) if isinstance(v, bool) else str(v) for k, v in own.items()}
        found += [f"{k}: botocore sends {own.get(k)!r}, this is {sent.get(k)!r}" for k in sorted(own.keys() | sent.keys()) if own.get(k) != sent.get(k)]
    return found


def controls():
    """Requests that must not pass: a judge that cannot say no is none."""
    good = {"Action": "CreateSubnet", "Version": "2016-11-15", "VpcId": "vpc-1", "CidrBlock": "10.0.0.0/24"}
    elb = {"Action": "CreateListener", "Version": "2015-12-01", "LoadBalancerArn": "a", "DefaultActions.member.1.Type": "forward"}

    def ec2(**change):
        return {"service": "ec2", "action": "CreateSubnet", "form": {**good, **change}}

    assert not faults(ec2()), faults(ec2())
    assert faults(ec2(Colour="red")) == ["Colour: not in AWS's model"]
    assert "Missing required" in faults({"service": "ec2", "action": "CreateSubnet", "form": {"Action": "CreateSubnet", "Version": "2016-11-15"}})[0]
    assert faults(ec2(**{"TagSpecification.1.ResourceType": "subnett"}))
    assert faults(ec2(**{"TagSpecification.2.ResourceType": "subnet"})), "a list that begins at 2"
    assert faults(ec2(**{"DryRun": "yes"}))
    assert faults(ec2(Version="2015-12-01"))
    assert not faults({"service": "elasticloadbalancing", "action": "CreateListener", "form": elb})
    assert faults({"service": "elasticloadbalancing", "action": "CreateListener", "form": {**elb, "Port": "70000"}})
    assert faults({"service": "elasticloadbalancing", "action": "CreateListener", "form": {**elb, "DefaultActions.1.Type": "forward"}})
    assert faults({"service": "ec2", "action": "CreateCastle", "form": {}})


# Permissions that are no action of their own in the record.
SILENT = {
    "ec2:CreateTags": "asked by every creation with tags",
    "elasticloadbalancing:AddTags": "asked by every creation with tags",
    "ec2:DeleteNetworkInterface": "only when a dead machine leaves its interface",
    "ec2:ReplaceRoute": "only when somebody changed the default route",
    "iam:CreateServiceLinkedRole": "asked by the account's first load balancer",
}


def permissions(path, asked):
    """The IAM policy that we give to owners allows exactly what was asked (STS needs no permission; S3 is not in the record)."""
    with open(path, encoding="utf-8") as file:
        statements = json.load(file)["Statement"]
    allowed = set()
    for statement in statements:
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)
    allowed = {a for a in allowed if not a.startswith("s3:")}
    asked = {a for a in asked if not a.startswith("sts:")}
    yield from (f"{a}: asked, but the policy does not allow it" for a in sorted(asked - allowed))
    yield from (f"{a}: allowed by the policy, but never asked" for a in sorted(allowed - asked - set(SILENT)))


def main(path, policy):
    controls()
    actions, wrong = collections.Counter(), collections.Counter()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            request = json.loads(line)
            actions[f"{request['service']}:{request['action']}"] += 1
            wrong.update(f"{request['service']}:{request['action']}: {fault}" for fault in faults(request))
    wrong.update(permissions(policy, set(actions)))
    for fault, times in sorted(wrong.items()):
        print(f"FAILED {fault} ({times} times)")
    print(f"{sum(actions.values())} requests of {len(actions)} actions, {sum(wrong.values())} faults")
    return 1 if wrong or not actions else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
