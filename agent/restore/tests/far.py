"""A TLS server that passes connections on and holds every byte back: far.py LISTEN-PORT TO-PORT SECONDS CERTIFICATE KEY."""
import asyncio
import ssl
import sys

LISTEN, TO, SECONDS = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])


async def carry(reader, writer):
    clock = asyncio.get_running_loop().time
    # Bounded, so that a sender feels a slow receiver: 64 MiB in flight.
    queue = asyncio.Queue(1024)

    async def deliver():
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - clock()))
            if not data:
                writer.close()
                return
            writer.write(data)
            await writer.drain()

    task = asyncio.create_task(deliver())
    try:
        while data := await reader.read(65536):
            await queue.put((clock() + SECONDS, data))
        await queue.put((clock() + SECONDS, b""))
        await task
    except (ConnectionError, OSError):
        task.cancel()
        writer.close()


async def serve(reader, writer):
    # A connection and its TLS cost two round trips before the first byte.
    await asyncio.sleep(4 * SECONDS)
    their_reader, their_writer = await asyncio.open_connection("127.0.0.1", TO)
    await asyncio.gather(carry(reader, their_writer), carry(their_reader, writer))
    their_writer.close()
    writer.close()


async def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[4], sys.argv[5])
    async with await asyncio.start_server(serve, "127.0.0.1", LISTEN, ssl=tls) as server:
        await server.serve_forever()


asyncio.run(main())
