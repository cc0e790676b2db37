"""What the judge's parts share: clients, a strict look at every reply's shape, and the list of checks."""

import datetime
import hashlib
import hmac
import http.client
import json
import time
import traceback
import urllib.parse
import xml.etree.ElementTree as ET

import boto3
import botocore.exceptions
from botocore.config import Config

REGION = "eu-central-1"
OWNER = ("AKIAROSSI00000000001", "rossi/secret+key/0123456789abcdefghijkl")
GUEST = ("ASIAROSSI00000000002", "session-secret", "FwoGZXIvYXdzEXAMPLE//token==")
ENDED = ("ASIAROSSI00000000003", "session-secret", "FwoGZXIvYXdzEXAMPLE//token==")
READER = ("AKIAROSSI00000000004", "reader-secret")
IMAGE = "ami-0a1b2c3d4e5f60718"

port = 0
checks = []
castle = {}  # what the checks of one family leave for the next
strange = []


def check(f):
    """Registers a check; they run in the order in which they are written."""
    checks.append(f)
    return f


def client(service, who=OWNER, retries=0, region=REGION, validate=True):
    """A botocore client that reaches the double as a proxy, so that the Host header is AWS's own."""
    c = boto3.client(
        service,
        region_name=region,
        endpoint_url=f"http://{service_host(service, region)}",
        aws_access_key_id=who[0],
        aws_secret_access_key=who[1],
        aws_session_token=who[2] if len(who) > 2 else None,
        config=Config(
            proxies={"http": f"http://127.0.0.1:{port}"},
            retries={"total_max_attempts": retries + 1, "mode": "standard"},
            read_timeout=20,
            parameter_validation=validate,
        ),
    )
    c.meta.events.register("response-received", lambda **k: look(c, **k))
    return c


def service_host(service, region=REGION):
    name = {"elbv2": "elasticloadbalancing", "service-quotas": "servicequotas"}.get(service, service)
    return "iam.amazonaws.com" if name == "iam" else f"{name}.{region}.amazonaws.com"


def look(c, response_dict=None, context=None, event_name="", **_):
    """Every element of a reply must be in AWS's model, with a value of its type and enum."""
    if response_dict is None or response_dict["status_code"] >= 300 or c.meta.service_model.metadata["protocol"] == "json":
        return
    operation = event_name.split(".")[-1]
    model = c.meta.service_model.operation_model(operation)
    root = ET.fromstring(response_dict["body"])
    ns = "{" + ns_of(c) + "}"
    if root.tag != f"{ns}{operation}Response":
        strange.append(f"{operation}: the root is {root.tag}")
    shape, node, extra = model.output_shape, root, {"requestId", "return"}
    if c.meta.service_model.metadata["protocol"] == "query":
        extra = set()
        node = root.find(f"{ns}{operation}Result")
        if root.find(f"{ns}ResponseMetadata/{ns}RequestId") is None:
            strange.append(f"{operation}: no request id")
    elif root.find(f"{ns}requestId") is None:
        strange.append(f"{operation}: no requestId")
    if shape is not None and node is not None:
        walk(node, shape, operation, extra)


def ns_of(c):
    name, version = c.meta.service_model.service_name, c.meta.service_model.api_version
    return {
        "ec2": f"http://ec2.amazonaws.com/doc/{version}/",
        "elbv2": f"http://elasticloadbalancing.amazonaws.com/doc/{version}/",
        "sts": f"https://sts.amazonaws.com/doc/{version}/",
        "iam": f"https://iam.amazonaws.com/doc/{version}/",
    }[name]


# Where AWS's real replies are outside AWS's own model.
AS_AWS_DOES = {("DescribeInternetGateways/internetGatewaySet[]/attachmentSet[]/state", "available")}


def walk(node, shape, path, extra=frozenset()):
    if shape.type_name == "structure":
        names = {s.serialization.get("name", n): s for n, s in shape.members.items()}
        seen = set()
        for child in node:
            tag = child.tag.split("}")[-1]
            if tag in seen:
                strange.append(f"{path}/{tag}: twice")
            seen.add(tag)
            if tag in names:
                walk(child, names[tag], f"{path}/{tag}")
            elif tag not in extra:
                strange.append(f"{path}/{tag}: not in AWS's model")
    elif shape.type_name == "list":
        name = shape.member.serialization.get("name", "member")
        for child in node:
            if child.tag.split("}")[-1] != name:
                strange.append(f"{path}: {child.tag} in a list of {name}")
            walk(child, shape.member, f"{path}[]")
    else:
        text = node.text or ""
        if len(node):
            strange.append(f"{path}: has children, should be {shape.type_name}")
        if shape.type_name == "boolean" and text not in ("true", "false"):
            strange.append(f"{path}: {text!r} is no boolean")
        if shape.type_name in ("integer", "long") and not text.lstrip("-").isdigit():
            strange.append(f"{path}: {text!r} is no number")
        if shape.type_name == "timestamp":
            datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        if text and getattr(shape, "enum", None) and text not in shape.enum and (path, text) not in AS_AWS_DOES:
            strange.append(f"{path}: {text!r} is not one of {shape.enum}")


def refused(code, call, *, message=None, status=None, **args):
    """The call must fail with this code (and sentence, and status)."""
    try:
        call(**args)
    except botocore.exceptions.ClientError as e:
        got = e.response["Error"]
        assert got["Code"] == code, f"{got} instead of {code}"
        if message is not None:
            assert message in got["Message"], f"{got['Message']!r} lacks {message!r}"
        if status is not None:
            real = e.response["ResponseMetadata"]["HTTPStatusCode"]
            assert real == status, f"status {real} instead of {status}"
        return got
    raise AssertionError(f"not refused with {code}")


def until(what, look, seconds=10):
    """Waits until look() is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = look()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def same(a, b):
    assert a == b, f"{a!r} != {b!r}"


def lab(path, method="POST", **query):
    """The laboratory's own side door of the example server."""
    h = http.client.HTTPConnection("127.0.0.1", port)
    h.request(method, f"/lab/{path}?{urllib.parse.urlencode(query)}", headers={"Host": "lab"})
    body = h.getresponse().read().decode()
    return json.loads(body) if method == "GET" else same(body, "ok")


def seen():
    return lab("seen", "GET")


def fault(action, fault, times=1, ms=0):
    lab("fault", action=action, times=times, fault=fault, ms=ms)


def raw(service, form, *, when=None, key=OWNER, scope=None, sign=True, drop=(), host=None, get=False, headers=None, tamper=""):
    """A request signed by hand: what botocore would never send. Answers (status, body)."""
    host = host or service_host(service)
    name = scope or {"elbv2": "elasticloadbalancing"}.get(service, service)
    now = when or datetime.datetime.now(datetime.timezone.utc)
    date = now.strftime("%Y%m%dT%H%M%SZ")
    text = form if isinstance(form, str) else urllib.parse.urlencode(form, quote_via=urllib.parse.quote)
    query, body = (("&".join(sorted(text.split("&"))), "") if get else ("", text))
    send = {"content-type": "application/x-www-form-urlencoded; charset=utf-8", "host": host, "x-amz-date": date}
    if len(key) > 2:
        send["x-amz-security-token"] = key[2]
    names = sorted(k for k in send if k not in drop)
    digest = hashlib.sha256(body.encode()).hexdigest()
    canonical = "\n".join(
        ["GET" if get else "POST", "/", query, *[f"{k}:{send[k]}" for k in names], "", ";".join(names), digest]
    )
    path = f"{date[:8]}/{REGION}/{name}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, path, hashlib.sha256(canonical.encode()).hexdigest()])
    k = ("AWS4" + key[1]).encode()
    for part in path.split("/"):
        k = hmac.new(k, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(k, to_sign.encode(), hashlib.sha256).hexdigest()
    if sign:
        send["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={key[0]}/{path}, SignedHeaders={';'.join(names)}, Signature={signature}"
        )
    send.update(headers or {})
    h = http.client.HTTPConnection("127.0.0.1", port)
    h.request("GET" if get else "POST", "/" + (f"?{query}" if get else ""), body=body + tamper, headers=send)
    r = h.getresponse()
    return r.status, r.read().decode()


def code_of(body):
    for tag in ("Code",):
        if f"<{tag}>" in body:
            return body.split(f"<{tag}>")[1].split("<")[0]
    return json.loads(body).get("__type") if body.startswith("{") else body


def run():
    passed, failed = 0, 0
    for f in checks:
        strange.clear()
        try:
            f()
            assert not strange, "replies of a wrong shape: " + "; ".join(dict.fromkeys(strange))
            passed += 1
        except Exception as why:  # every check gets its turn
            failed += 1
            where = traceback.extract_tb(why.__traceback__)[-2:]
            at = ", ".join(f"{w.filename.rsplit('/')[-1]}:{w.lineno}" for w in where)
            print(f"FAILED {f.__name__} ({at}): {type(why).__name__}: {why}")
    print(f"{passed} passed, {failed} failed")
    return failed
