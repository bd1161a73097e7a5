#!/usr/bin/env python3
"""Messages per second of an echo server in Python's asyncio: the package `lwx` against the package `websockets`, on one core each, in turns.

    LWX_LIBRARY=.../liblwx.so PYTHONPATH=lws-ffi/python benches/python_echo.py [ROUNDS]

The peer is a plain socket that has its frames ready: 128 octets each, and so many under way on each of the connections.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import statistics
import subprocess
import sys
import time

CONNECTIONS, UNDER_WAY, SECONDS, SIZE = 16, 4, 2.0, 128
#: A masked frame of a client, and the frame of a server that answers it.
FRAME = bytes([0x82, 0x80 | 126, SIZE >> 8, SIZE & 255]) + bytes(4) + b"x" * SIZE
ANSWER = 4 + SIZE


async def serve_lwx() -> None:
    import lwx

    server = lwx.Server("127.0.0.1:0")

    @server.websocket("/")
    def echo(stream: lwx.Stream, message: str | bytes) -> None:
        if not stream.write(message):
            raise RuntimeError("no permit")

    print(server.start()[0].rsplit(":", 1)[1], flush=True)
    await server.serve()


async def serve_websockets() -> None:
    from websockets.asyncio.server import ServerConnection, serve

    async def echo(websocket: ServerConnection) -> None:
        async for message in websocket:
            await websocket.send(message)

    async with serve(echo, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def connect(port: int) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return peer


def messages_per_second(port: int) -> float:
    peers = {peer.fileno(): peer for peer in (connect(port) for _ in range(CONNECTIONS))}
    poll, owed = select.epoll(), dict.fromkeys(peers, 0)
    for number, peer in peers.items():
        poll.register(number, select.EPOLLIN)
        peer.sendall(FRAME * UNDER_WAY)
    done, start = 0, time.perf_counter()
    while (now := time.perf_counter()) < start + SECONDS:
        for number, _ in poll.poll(1):
            owed[number] += len(peers[number].recv(65536))
            whole, owed[number] = divmod(owed[number], ANSWER)
            done += whole
            peers[number].sendall(FRAME * whole)
    for peer in peers.values():
        peer.close()
    return done / (now - start)


def measure(kind: str) -> float:
    server = subprocess.Popen(["taskset", "-c", "0", sys.executable, __file__, "serve", kind], stdout=subprocess.PIPE, text=True)
    try:
        return messages_per_second(int(server.stdout.readline()))
    finally:
        server.kill()
        server.wait()


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        asyncio.run({"lwx": serve_lwx, "websockets": serve_websockets}[sys.argv[2]]())
        return
    os.sched_setaffinity(0, {os.cpu_count() - 1})
    ratios = []
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 5):
        ours, theirs = measure("lwx"), measure("websockets")
        ratios.append(ours / theirs)
        print(f"lwx {ours:,.0f}/s, websockets {theirs:,.0f}/s, ratio {ours / theirs:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")


main()
