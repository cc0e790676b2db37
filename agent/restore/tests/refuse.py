"""A TLS server that passes requests on to a store, and refuses some: refuse.py LISTEN-PORT TO-PORT MODE-FILE LOG CERTIFICATE KEY.

MODE-FILE holds `FAULT AFTER SECONDS`: of the requests for data that come after it was written, AFTER pass, and then for SECONDS none of them
is answered as it should be. Faults: slow-down (503), expired (403), cut (half of the answer), silent (half of it, and then nothing)."""
import asyncio
import os
import ssl
import sys
import time

LISTEN, TO, MODE, LOG = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
SEEN = {"written": None, "fault": "", "after": 0, "seconds": 0.0, "passed": 0, "since": None}


def fault(path):
    if not any(part in path for part in ("/data/", "/blocks/")):
        return ""
    written = os.stat(MODE).st_mtime_ns
    if written != SEEN["written"]:
        words = open(MODE).read().split()
        SEEN.update(written=written, fault=words[0], after=int(words[1]), seconds=float(words[2]), passed=0, since=None)
    if SEEN["passed"] < SEEN["after"]:
        SEEN["passed"] += 1
        return ""
    SEEN["since"] = SEEN["since"] or time.monotonic()
    return SEEN["fault"] if time.monotonic() < SEEN["since"] + SEEN["seconds"] else ""


def refusal(status, code):
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>refused</Message></Error>'
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return (head + body).encode()


async def answer(head, reader):
    """The store's answer, whole. One connection for each request."""
    theirs, writer = await asyncio.open_connection("127.0.0.1", TO)
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    lines.insert(1, b"Connection: close")
    writer.write(b"\r\n".join(lines))
    length = [int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")]
    if length:
        writer.write(await reader.readexactly(length[0]))
    whole = await theirs.read()
    writer.close()
    return whole


async def serve(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        wrong = fault(path)
        with open(LOG, "a") as log:
            log.write(f"{wrong or 'passed'} {path}\n")
        if wrong == "slow-down":
            writer.write(refusal("503 Slow Down", "SlowDown"))
        elif wrong == "expired":
            writer.write(refusal("403 Forbidden", "ExpiredToken"))
        else:
            whole = await answer(head, reader)
            writer.write(whole[: len(whole) // 2] if wrong else whole)
            await writer.drain()
            if wrong == "silent":
                await asyncio.sleep(600)
        await writer.drain()
        if wrong == "cut":
            writer.transport.abort()
        writer.close()
    except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
        writer.close()


async def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[5], sys.argv[6])
    async with await asyncio.start_server(serve, "127.0.0.1", LISTEN, ssl=tls, limit=1 << 20) as server:
        await server.serve_forever()


asyncio.run(main())
