"""Who may ask: signatures, dates, tokens, permissions, envelopes."""

import datetime

import lib
from lib import ENDED, GUEST, OWNER, READER, check, client, code_of, raw, refused, same

EC2 = {"Action": "DescribeVpcs", "Version": "2016-11-15"}
STS = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
ELB = {"Action": "DescribeLoadBalancers", "Version": "2015-12-01"}


def shifted(minutes):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)


@check
def the_owner_is_told_who_he_is():
    me = client("sts").get_caller_identity()
    same((me["Account"], me["Arn"]), ("123456789012", "arn:aws:iam::123456789012:user/skykeep"))


@check
def a_session_needs_its_token():
    same(client("sts", GUEST).get_caller_identity()["Arn"].split("/")[-1], "guest")
    refused("InvalidClientTokenId", client("sts", GUEST[:2]).get_caller_identity, status=403)
    refused("InvalidClientTokenId", client("sts", (*OWNER, "foreign")).get_caller_identity, status=403)
    refused("AuthFailure", client("ec2", GUEST[:2]).describe_vpcs, status=401)


@check
def an_ended_session_is_refused():
    refused("ExpiredToken", client("sts", ENDED).get_caller_identity, status=403)
    refused("RequestExpired", client("ec2", ENDED).describe_vpcs, message="Request has expired.")


@check
def an_unknown_key_is_refused_in_each_services_words():
    who = ("AKIAUNKNOWN", "x")
    refused("AuthFailure", client("ec2", who).describe_vpcs, status=401, message="AWS was not able to validate the provided access credentials")
    refused("InvalidClientTokenId", client("sts", who).get_caller_identity, status=403)
    refused("InvalidClientTokenId", client("elbv2", who).describe_load_balancers, status=403)
    refused("UnrecognizedClientException", client("ssm", who).get_parameter, Name="/x")


@check
def a_wrong_secret_is_refused_in_each_services_words():
    who = (OWNER[0], "wrong")
    refused("AuthFailure", client("ec2", who).describe_vpcs, status=401)
    text = "The request signature we calculated does not match the signature you provided."
    refused("SignatureDoesNotMatch", client("sts", who).get_caller_identity, message=text, status=403)
    refused("SignatureDoesNotMatch", client("elbv2", who).describe_load_balancers, message=text)
    refused("InvalidSignatureException", client("ssm", who).get_parameter, message=text, Name="/x")


@check
def a_request_signed_by_hand_passes_as_post_and_as_get():
    same(raw("ec2", EC2)[0], 200)
    same(raw("ec2", EC2, get=True)[0], 200)
    same(raw("sts", STS, when=shifted(-4))[0], 200)
    same(raw("sts", STS, when=shifted(4))[0], 200)


@check
def a_changed_body_is_noticed():
    same(code_of(raw("sts", STS, tamper="&x=1")[1]), "SignatureDoesNotMatch")
    same(code_of(raw("ec2", EC2, tamper="&DryRun=true")[1]), "AuthFailure")


@check
def an_amz_header_outside_the_signature_is_refused():
    same(code_of(raw("sts", STS, headers={"x-amz-content-sha256": "0" * 64})[1]), "IncompleteSignature")


@check
def a_clock_six_minutes_off_is_refused():
    same(code_of(raw("ec2", EC2, when=shifted(-6))[1]), "RequestExpired")
    same(code_of(raw("ec2", EC2, when=shifted(6))[1]), "AuthFailure")
    status, body = raw("sts", STS, when=shifted(-6))
    same((status, code_of(body)), (403, "SignatureDoesNotMatch"))
    assert "Signature expired: " in body and " is now earlier than " in body and " - 5 min.)" in body, body
    assert "Signature not yet current: " in raw("elbv2", ELB, when=shifted(6))[1]


@check
def a_scope_of_another_service_is_refused():
    status, body = raw("sts", STS, scope="ec2")
    same((status, code_of(body)), (403, "SignatureDoesNotMatch"))
    assert "Credential should be scoped to correct service" in body
    same(raw("ec2", EC2, scope="sts")[0], 401)


@check
def an_unsigned_request_or_an_unsigned_host_is_refused():
    same(code_of(raw("ec2", EC2, sign=False)[1]), "MissingParameter")
    status, body = raw("sts", STS, sign=False)
    same((status, code_of(body)), (403, "MissingAuthenticationToken"))
    same(code_of(raw("sts", STS, drop=["host"])[1]), "IncompleteSignature")
    same(code_of(raw("sts", STS, headers={"authorization": "AWS4-HMAC-SHA256 nonsense"})[1]), "IncompleteSignature")


@check
def a_host_that_is_no_service_of_this_cloud_is_not_answered():
    same(raw("ec2", EC2, host="ec2.us-east-1.amazonaws.com")[0], 404)


@check
def unknown_actions_versions_and_parameters_are_refused():
    same(code_of(raw("ec2", {**EC2, "Action": "DescribeNothing"})[1]), "InvalidAction")
    assert "The action DescribeNothing is not valid for this web service" in raw("ec2", {**EC2, "Action": "DescribeNothing"})[1]
    same(code_of(raw("elbv2", {**ELB, "Action": "DescribeNothing"})[1]), "InvalidAction")
    same(code_of(raw("sts", {**STS, "Version": "2010-01-01"})[1]), "InvalidAction")
    status, body = raw("ec2", {**EC2, "Colour": "red"})
    same((status, code_of(body)), (400, "UnknownParameter"))
    same(code_of(raw("ec2", {"Version": "2016-11-15"})[1]), "MissingAction")


@check
def a_missing_parameter_is_named():
    status, body = raw("ec2", {"Action": "CreateSubnet", "Version": "2016-11-15"})
    same((status, code_of(body)), (400, "MissingParameter"))
    assert "<Message>The request must contain the parameter VpcId</Message>" in body, body
    status, body = raw("elbv2", {"Action": "CreateTargetGroup", "Version": "2015-12-01"})
    same((status, code_of(body)), (400, "ValidationError"))
    assert "Value null at 'name'" in body, body


@check
def each_service_has_its_own_error_envelope():
    body = raw("ec2", {**EC2, "Colour": "red"})[1]
    assert body.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>'), body
    assert "<RequestID>" in body
    body = raw("elbv2", {**ELB, "Action": "X"})[1]
    assert body.startswith('<ErrorResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><Error><Type>Sender</Type>'), body


@check
def a_reader_may_read_and_not_write():
    client("ec2", READER).describe_vpcs()
    refused("UnauthorizedOperation", client("ec2", READER).create_vpc, CidrBlock="10.42.0.0/16", status=403)
    refused("UnauthorizedOperation", client("ec2", READER).create_vpc, CidrBlock="10.42.0.0/16", DryRun=True)
    refused("AccessDenied", client("elbv2", READER).delete_load_balancer, LoadBalancerArn="x", status=403)


@check
def the_image_parameter_is_known_and_others_are_not():
    got = client("ssm").get_parameter(Name="/aws/service/debian/release/12/latest/amd64")["Parameter"]
    same(got["Value"], lib.IMAGE)
    refused("ParameterNotFound", client("ssm").get_parameter, Name="/aws/service/none")


@check
def a_role_is_assumed_for_an_hour_and_by_permanent_keys_only():
    arn = "arn:aws:iam::123456789012:role/castle"
    got = client("sts").assume_role(RoleArn=arn, RoleSessionName="judge", DurationSeconds=900)
    one = got["Credentials"]
    who = (one["AccessKeyId"], one["SecretAccessKey"], one["SessionToken"])
    same(client("sts", who).get_caller_identity()["Arn"], "arn:aws:sts::123456789012:assumed-role/castle/judge")
    client("ec2", who).describe_vpcs()
    refused("AccessDenied", client("sts").assume_role, RoleArn=arn + "2", RoleSessionName="judge", status=403)
    refused("AccessDenied", client("sts", who).assume_role, RoleArn=arn, RoleSessionName="judge")
    refused("ValidationError", client("sts").assume_role, RoleArn=arn, RoleSessionName="judge", DurationSeconds=40000)


@check
def quotas_are_told_raised_ones_and_defaults():
    quotas = client("service-quotas")
    got = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")["Quota"]
    same((got["Value"], got["QuotaName"][:27]), (64.0, "Running On-Demand Standard "))
    # Never raised: there is no applied value, only the default.
    refused("NoSuchResourceException", quotas.get_service_quota, ServiceCode="ec2", QuotaCode="L-0263D0A3")
    same(quotas.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode="L-0263D0A3")["Quota"]["Value"], 5.0)
    refused("NoSuchResourceException", quotas.get_aws_default_service_quota, ServiceCode="ec2", QuotaCode="L-00000000")


@check
def a_users_key_is_switched_off_and_on():
    iam = client("iam", region="us-east-1")
    reader = lambda: client("sts", READER).get_caller_identity()["Arn"]  # noqa: E731
    same(reader(), "arn:aws:iam::123456789012:user/reader")
    key = {"UserName": "reader", "AccessKeyId": READER[0]}
    iam.update_access_key(**key, Status="Inactive")
    same([(k["AccessKeyId"], k["Status"]) for k in iam.list_access_keys(UserName="reader")["AccessKeyMetadata"]], [(READER[0], "Inactive")])
    refused("InvalidClientTokenId", reader, status=403)
    refused("AuthFailure", client("ec2", READER).describe_vpcs, status=401)
    iam.update_access_key(**key, Status="Inactive")
    iam.update_access_key(**key, Status="Active")
    same(reader(), "arn:aws:iam::123456789012:user/reader")


@check
def nobody_elses_key_is_switched():
    iam = client("iam", region="us-east-1")
    refused("NoSuchEntity", iam.list_access_keys, status=404, UserName="nobody")
    refused("NoSuchEntity", iam.update_access_key, status=404, UserName="reader", AccessKeyId=OWNER[0], Status="Inactive")
    refused("ValidationError", iam.update_access_key, UserName="reader", AccessKeyId=READER[0], Status="Gone")
