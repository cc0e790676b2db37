#!/usr/bin/env python3
"""A second, independent reader of the vault format, written from docs/FORMATS.md alone.

usage: read.py VAULT EXPECTED.json     opens the vault with the passphrase of the JSON file and compares everything
       read.py --print VAULT PASSPHRASE   prints root and entries of a *test* vault as JSON

Needs PyPI `cryptography` and `argon2-cffi`.
"""
import hashlib
import json
import struct
import sys
import unicodedata

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Bytes:
    """Big-endian fields, front to back."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise ValueError("ends too early")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form):
        return struct.unpack(">" + form, self.take(struct.calcsize(form)))[0]

    def rest(self):
        return self.take(len(self.data) - self.at)


def slot_key(slot, header_aad, typed):
    """The slot's name, and the data key if it opens with what was typed."""
    fields = Bytes(slot)
    kind = fields.number("B")
    name = fields.take(fields.number("B")).decode("ascii")
    if kind not in (1, 2):
        return name, None
    if fields.number("B") != 1:
        raise ValueError("unknown key derivation")
    memory, passes, lanes = fields.number("I"), fields.number("I"), fields.number("I")
    if not (65536 <= memory <= 4194304 and 3 <= passes <= 16 and 4 <= lanes <= 16):
        raise ValueError("absurd Argon2 parameters")
    salt = fields.take(32)
    front = slot[:fields.at]
    nonce, wrapped = fields.take(12), fields.take(48)
    if fields.rest():
        raise ValueError("something behind a slot")
    secret = unicodedata.normalize("NFC", typed)
    if kind == 2:
        secret = " ".join(secret.lower().replace("-", " ").split())
    key = hash_secret_raw(secret.encode(), salt, passes, memory, lanes, 32, Type.ID, 0x13)
    try:
        return name, AESGCM(key).decrypt(nonce, wrapped, header_aad + front)
    except InvalidTag:
        return name, None


def read(data, passphrase):
    if hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise ValueError("damaged")
    file = Bytes(data[:-32])
    if file.take(8) != b"SKYKEEP\0" or file.number("H") != 1:
        raise ValueError("no vault of version 1")
    header = Bytes(file.take(file.number("I")))
    prefix = data[:file.at]
    vault_id = header.take(16)
    counter, names, data_key, expires = header.number("Q"), [], None, {}
    for _ in range(header.number("B")):
        slot = header.take(header.number("H"))
        name, key = slot_key(slot, b"SKYKEEP\0\x00\x01" + vault_id, passphrase)
        names, data_key = names + [name], data_key or key
    if len(set(names)) != len(names):
        raise ValueError("two slots of one name")
    for _ in range(header.number("H")):
        notice = Bytes(header.take(header.number("H")))
        if notice.number("B") == 1:
            when = notice.number("Q")
            expires[notice.rest().decode()] = when
    if header.rest():
        raise ValueError("something behind the notices")
    if data_key is None:
        raise ValueError("wrong passphrase")
    nonce = file.take(12)
    padded = Bytes(AESGCM(data_key).decrypt(nonce, file.rest(), prefix))
    content = Bytes(padded.take(padded.number("I")))
    if any(padded.rest()):
        raise ValueError("padding is not empty")
    root, entries = content.take(32), {}
    for _ in range(content.number("I")):
        path = content.take(content.number("H")).decode()
        note = content.take(content.number("H")).decode()
        roll = bool(content.number("B"))
        entries[path] = {"note": note, "roll": roll, "expires": expires.get(path), "value_hex": content.take(content.number("I")).hex()}
    if content.rest():
        raise ValueError("something behind the last entry")
    return {"vault_id": vault_id.hex(), "counter": counter, "slots": names, "root": root.hex(), "entries": entries}


def derive(root, info):
    return HKDF(hashes.SHA256(), 32, None, info.encode()).derive(bytes.fromhex(root)).hex()


def main():
    if sys.argv[1] == "--print":
        print(json.dumps(read(open(sys.argv[2], "rb").read(), sys.argv[3]), indent=1))
        return
    data, expected = open(sys.argv[1], "rb").read(), json.load(open(sys.argv[2]))
    for passphrase in (expected["passphrase"], expected["recovery"]):
        got = read(data, passphrase)
        got["derived"] = {info: derive(got["root"], info) for info in expected["derived"]}
        wanted = {name: expected[name] for name in got}
        if got != wanted:
            sys.exit(f"differs:\n got {got}\n not {wanted}")
    try:
        read(data, expected["passphrase"] + "x")
        sys.exit("opened with a wrong passphrase")
    except ValueError as error:
        assert str(error) == "wrong passphrase", error
    damaged = bytearray(data)
    damaged[len(damaged) // 2] ^= 1
    try:
        read(bytes(damaged), expected["passphrase"])
        sys.exit("opened a damaged vault")
    except ValueError as error:
        assert str(error) == "damaged", error
    print(f"ok: {len(got['entries'])} entries, version {got['counter']}, both slots, {len(got['derived'])} derived keys")


main()
