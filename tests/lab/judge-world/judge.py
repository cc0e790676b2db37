"""Counts verdicts. A check is a function whose name is its sentence; it fails by raising."""
import json
import os
import socket
import struct
import sys
import traceback

WORK = os.environ["WORLD_WORK_DIR"]
KEYS = json.load(open(os.path.join(WORK, "credentials.json")))
passed = failed = 0


def check(test):
    global passed, failed
    sentence = test.__name__.replace("_", " ")
    try:
        test()
        passed += 1
        print(f"ok    {sentence}", flush=True)
    except Exception as error:  # a judge reports everything
        failed += 1
        print(f"FAIL  {sentence}: {type(error).__name__}: {error}", flush=True)
        if os.environ.get("JUDGE_TRACE"):
            traceback.print_exc()


def raises(kind, call):
    """The exception of this kind that `call` raises."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def finish():
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)


def dns(server, name, kind, port=53):
    """(rcode, [(ttl, data bytes)]) of one UDP question."""
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0" + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + question, (server, port))
        answer = sock.recv(4096)
    _, flags, _, count, _, _ = struct.unpack(">HHHHHH", answer[:12])
    at, found = 12 + len(question), []
    for _ in range(count):
        while answer[at] and answer[at] < 0xC0:
            at += answer[at] + 1
        at += 2 if answer[at] >= 0xC0 else 1
        _, _, ttl, length = struct.unpack(">HHIH", answer[at : at + 10])
        found.append((ttl, answer[at + 10 : at + 10 + length]))
        at += 10 + length
    return flags & 15, found
