#!/usr/bin/env python3
"""A WebSocket echo server on the Python package `websockets`, for our client: `echo_server.py PORT`;
over TLS with `echo_server.py PORT CERTIFICATE KEY`."""

import asyncio
import ssl
import sys

from websockets.asyncio.server import ServerConnection, serve


async def echo(peer: ServerConnection) -> None:
    async for message in peer:
        await peer.send(message)


async def main() -> None:
    context = None
    if len(sys.argv) == 4:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None, ssl=context) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
