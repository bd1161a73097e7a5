#!/usr/bin/env python3
"""A WebSocket echo server on the Python package `websockets`, for our client: `echo_server.py PORT`."""

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, serve


async def echo(peer: ServerConnection) -> None:
    async for message in peer:
        await peer.send(message)


async def main() -> None:
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
