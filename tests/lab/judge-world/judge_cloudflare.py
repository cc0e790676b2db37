"""Cloudflare's own client for Python against the double, and the real name server's word on what was committed."""
import socket

import cloudflare
from cloudflare import Cloudflare

from judge import KEYS, check, dns, finish, raises

AUTHORITY, RESOLVER, A, MX, TXT = "203.0.113.54", "203.0.113.53", 1, 15, 16
api = Cloudflare(api_token=KEYS["cloudflare_token"], max_retries=0)
zone = ""


def address(name, server=AUTHORITY):
    return sorted((ttl, socket.inet_ntoa(data)) for ttl, data in dns(server, name, A)[1])


def code(error):
    return error.body["errors"][0]["code"]


@check
def the_token_is_active():
    assert api.user.tokens.verify().status == "active"


@check
def an_unknown_token_is_refused_with_1000_at_verify_and_9109_elsewhere():
    stranger = Cloudflare(api_token="x" * 40, max_retries=0)
    error = raises(cloudflare.AuthenticationError, stranger.user.tokens.verify)
    assert code(error) == 1000
    error = raises(cloudflare.PermissionDeniedError, lambda: list(stranger.zones.list(name="rossi.example")))
    assert code(error) == 9109


@check
def a_malformed_token_is_refused_with_6003():
    error = raises(cloudflare.BadRequestError, Cloudflare(api_token="short", max_retries=0).user.tokens.verify)
    assert code(error) == 6003


@check
def the_zone_is_found_by_name():
    global zone
    found = list(api.zones.list(name="rossi.example"))
    assert len(found) == 1 and found[0].status == "active", found
    zone = found[0].id
    assert list(api.zones.list(name="other.example")) == []
    assert api.zones.get(zone_id=zone).name == "rossi.example"


@check
def another_zone_is_not_ours():
    error = raises(cloudflare.PermissionDeniedError, lambda: list(api.dns.records.list(zone_id="0" * 32)))
    assert code(error) == 10000


@check
def the_old_castles_records_are_there_and_served():
    records = {(record.type, record.name): record for record in api.dns.records.list(zone_id=zone)}
    blog = records[("A", "blog.rossi.example")]
    assert (blog.content, blog.ttl, blog.proxied) == ("192.0.2.10", 300, False)
    assert ("MX", "rossi.example") in records and ("TXT", "rossi.example") in records
    assert address("blog.rossi.example") == [(300, "192.0.2.10")]


@check
def a_created_record_is_served_at_once_edited_overwritten_and_deleted():
    record = api.dns.records.create(zone_id=zone, type="A", name="judge", content="192.0.2.77", ttl=60, comment="mine")
    assert record.name == "judge.rossi.example" and record.comment == "mine"
    assert address("judge.rossi.example") == [(60, "192.0.2.77")]
    edited = api.dns.records.edit(record.id, zone_id=zone, type="A", name="judge.rossi.example", content="192.0.2.78", ttl=60)
    assert (edited.content, edited.comment, edited.ttl) == ("192.0.2.78", "mine", 60)
    assert address("judge.rossi.example") == [(60, "192.0.2.78")]
    written = api.dns.records.update(record.id, zone_id=zone, type="A", name="judge.rossi.example", content="192.0.2.79", ttl=120)
    assert written.comment is None and address("judge.rossi.example") == [(120, "192.0.2.79")]
    assert api.dns.records.get(record.id, zone_id=zone).content == "192.0.2.79"
    assert api.dns.records.delete(record.id, zone_id=zone).id == record.id
    assert dns(AUTHORITY, "judge.rossi.example", A)[0] == 3
    error = raises(cloudflare.NotFoundError, lambda: api.dns.records.delete(record.id, zone_id=zone))
    assert code(error) == 81044


@check
def wrong_records_are_refused_with_cloudflares_codes():
    def create(**fields):
        return lambda: api.dns.records.create(zone_id=zone, **{"type": "A", "name": "wrong", "content": "192.0.2.1", "ttl": 60, **fields})

    for fields, expected in [
        ({"content": "192.0.2.256"}, 9005),
        ({"ttl": 5}, 9021),
        ({"name": "blog.rossi.example", "content": "192.0.2.10"}, 81058),
        ({"type": "CNAME", "name": "blog.rossi.example", "content": "x.example"}, 81053),
    ]:
        error = raises(cloudflare.BadRequestError, create(**fields))
        assert code(error) == expected, (fields, error.body)


@check
def pages_add_up():
    made = [api.dns.records.create(zone_id=zone, type="A", name=f"page{number}", content=f"192.0.2.{number}", ttl=60) for number in range(1, 8)]
    first = api.dns.records.list(zone_id=zone, per_page=5)
    assert len(first.result) == 5 and first.result_info.per_page == 5
    ids = [record.id for record in api.dns.records.list(zone_id=zone, per_page=5)]
    assert len(ids) == len(set(ids)) == 11, len(ids)
    api.dns.records.batch(zone_id=zone, deletes=[{"id": record.id} for record in made])
    assert len(list(api.dns.records.list(zone_id=zone))) == 4


@check
def records_are_filtered_by_name_and_type():
    found = list(api.dns.records.list(zone_id=zone, name={"exact": "blog.rossi.example"}, type="A"))
    assert [record.content for record in found] == ["192.0.2.10"]


@check
def a_batch_is_all_or_nothing():
    blog = next(iter(api.dns.records.list(zone_id=zone, name={"exact": "blog.rossi.example"})))
    patch = {"id": blog.id, "type": "A", "name": blog.name, "content": "203.0.113.160", "ttl": 300}
    wrong = {"type": "A", "name": "new.rossi.example", "content": "not an address", "ttl": 60}
    raises(cloudflare.BadRequestError, lambda: api.dns.records.batch(zone_id=zone, patches=[patch], posts=[wrong]))
    assert address("blog.rossi.example") == [(300, "192.0.2.10")]
    right = {**wrong, "content": "203.0.113.161"}
    done = api.dns.records.batch(zone_id=zone, patches=[patch], posts=[right])
    assert done.patches[0].content == "203.0.113.160" and done.posts[0].name == "new.rossi.example" and not done.deletes
    assert address("blog.rossi.example") == [(300, "203.0.113.160")] and address("new.rossi.example") == [(60, "203.0.113.161")]
    back = {**patch, "content": "192.0.2.10"}
    api.dns.records.batch(zone_id=zone, deletes=[{"id": done.posts[0].id}], patches=[back])
    assert address("blog.rossi.example") == [(300, "192.0.2.10")]


@check
def a_token_is_switched_off_and_on_by_one_that_may_edit_tokens():
    editor = Cloudflare(api_token=KEYS["cloudflare_keys_token"], max_retries=0)
    old = Cloudflare(api_token=KEYS["old_cloudflare_token"], max_retries=0)
    id = old.user.tokens.verify().id
    assert id == KEYS["old_cloudflare_token_id"] and list(old.zones.list())
    token = editor.user.tokens.get(id)
    assert token.status == "active" and token.name == "ddns at home", token
    kept = {"name": token.name, "policies": [p.model_dump(mode="json") for p in token.policies], "condition": {"request_ip": {"in": token.condition.request_ip.in_, "not_in": []}}}
    for policy in kept["policies"]:
        for group in policy["permission_groups"]:
            group.pop("meta", None)
    assert editor.user.tokens.update(id, status="disabled", **kept).status == "disabled"
    assert old.user.tokens.verify().status == "disabled"
    error = raises(cloudflare.PermissionDeniedError, lambda: list(old.zones.list()))
    assert code(error) == 9109
    assert editor.user.tokens.update(id, status="active", **kept).status == "active" and list(old.zones.list())


@check
def a_token_for_zones_edits_no_token_and_the_other_way_round():
    error = raises(cloudflare.PermissionDeniedError, lambda: api.user.tokens.get(KEYS["old_cloudflare_token_id"]))
    assert code(error) == 9109
    editor = Cloudflare(api_token=KEYS["cloudflare_keys_token"], max_retries=0)
    error = raises(cloudflare.PermissionDeniedError, lambda: list(editor.zones.list()))
    assert code(error) == 10000


@check
def what_is_not_touched_survives():
    assert len(dns(AUTHORITY, "rossi.example", MX)[1]) == 1
    assert dns(AUTHORITY, "rossi.example", TXT)[1][0][1] == b"\x0ev=spf1 mx -all"


@check
def the_resolver_knows_the_zone_and_the_world_and_denies_the_rest():
    assert [found for _, found in address("blog.rossi.example", RESOLVER)] == ["192.0.2.10"]
    for name in ("github.com", "ec2.eu-central-1.amazonaws.com", "rossi-backups.s3.eu-central-1.amazonaws.com", "registry.k8s.io"):
        assert [found for _, found in address(name, RESOLVER)] == ["203.0.113.10"], name
    assert [found for _, found in address("ada.ns.cloudflare.com", RESOLVER)] == [AUTHORITY]
    assert [found for _, found in address("github.com", "1.1.1.1")] == ["203.0.113.10"]
    for name in ("example.com", "www.rossi.test", "nothing.rossi.example"):
        assert dns(RESOLVER, name, A)[0] == 3, name


finish()
