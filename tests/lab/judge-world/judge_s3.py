"""AWS's own client for Python against S3 through the front."""
import hashlib
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from judge import KEYS, check, finish, raises

PATH = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
VIRTUAL = Config(s3={"addressing_style": "virtual"}, retries={"max_attempts": 1})
BUCKET = "rossi-skykeep"


def client(config=PATH, secret=KEYS["aws_secret_access_key"]):
    return boto3.client("s3", region_name="eu-central-1", aws_access_key_id=KEYS["aws_access_key_id"], aws_secret_access_key=secret, config=config)


s3 = client()


def status(error):
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


@check
def both_buckets_are_there():
    assert {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]} >= {"rossi-skykeep", "rossi-backups"}


@check
def an_object_comes_back_as_it_was_put():
    s3.put_object(Bucket=BUCKET, Key="a/b c+d", Body=b"hello")
    assert s3.get_object(Bucket=BUCKET, Key="a/b c+d")["Body"].read() == b"hello"


@check
def virtual_hosted_names_work_too():
    assert client(VIRTUAL).get_object(Bucket=BUCKET, Key="a/b c+d")["Body"].read() == b"hello"


@check
def a_wrong_secret_is_a_signature_that_does_not_match():
    error = raises(ClientError, lambda: client(secret="x" * 40).list_objects_v2(Bucket=BUCKET))
    assert error.response["Error"]["Code"] == "SignatureDoesNotMatch" and status(error) == 403, error


@check
def if_none_match_lets_only_the_first_put_through():
    s3.put_object(Bucket=BUCKET, Key="lease", Body=b"1", IfNoneMatch="*")
    error = raises(ClientError, lambda: s3.put_object(Bucket=BUCKET, Key="lease", Body=b"2", IfNoneMatch="*"))
    assert status(error) == 412 and error.response["Error"]["Code"] == "PreconditionFailed", error
    assert s3.get_object(Bucket=BUCKET, Key="lease")["Body"].read() == b"1"


@check
def if_match_replaces_only_what_the_writer_saw():
    seen = s3.head_object(Bucket=BUCKET, Key="lease")["ETag"]
    new = s3.put_object(Bucket=BUCKET, Key="lease", Body=b"3", IfMatch=seen)["ETag"]
    assert new != seen
    error = raises(ClientError, lambda: s3.put_object(Bucket=BUCKET, Key="lease", Body=b"4", IfMatch=seen))
    assert status(error) == 412, error
    assert s3.get_object(Bucket=BUCKET, Key="lease")["Body"].read() == b"3"


@check
def a_range_is_a_range():
    assert s3.get_object(Bucket=BUCKET, Key="a/b c+d", Range="bytes=1-3")["Body"].read() == b"ell"


@check
def a_missing_key_is_no_such_key():
    error = raises(ClientError, lambda: s3.get_object(Bucket=BUCKET, Key="absent"))
    assert error.response["Error"]["Code"] == "NoSuchKey" and status(error) == 404, error


@check
def twenty_megabytes_go_up_in_parts_and_come_down_whole():
    data = hashlib.shake_256(b"judge").digest(20 << 20)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="big")["UploadId"]
    parts = []
    for number in range(1, 4):
        part = s3.upload_part(Bucket=BUCKET, Key="big", UploadId=upload, PartNumber=number, Body=data[(number - 1) * (8 << 20) : number * (8 << 20)])
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(Bucket=BUCKET, Key="big", UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=BUCKET, Key="big")["Body"].read() == data


@check
def a_presigned_address_needs_no_key():
    url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "lease"}, ExpiresIn=60)
    assert urllib.request.urlopen(url).read() == b"3"


@check
def without_a_signature_nothing_is_given():
    error = raises(urllib.request.HTTPError, lambda: urllib.request.urlopen(f"https://s3.eu-central-1.amazonaws.com/{BUCKET}/lease"))
    assert error.code == 403, error.code


@check
def a_deleted_object_is_gone():
    for key in ("a/b c+d", "lease", "big"):
        s3.delete_object(Bucket=BUCKET, Key=key)
    assert s3.list_objects_v2(Bucket=BUCKET).get("KeyCount", 0) == 0


@check
def the_backup_lies_in_its_bucket():
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="rossi-backups", Prefix="restic/")["Contents"]]
    assert "restic/config" in keys and any(key.startswith("restic/snapshots/") for key in keys), keys[:5]


finish()
