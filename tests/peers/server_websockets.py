#!/usr/bin/env python3
"""WebSocket of our server, asked by the Python package `websockets`."""

from __future__ import annotations

import asyncio
import os

import websockets
from websockets.asyncio.client import connect

from checks import Checks, server

checks = Checks("websockets")


def dial(port: int, path: str = "/echo", **options: object) -> connect:
    return connect(f"ws://127.0.0.1:{port}{path}", max_size=None, open_timeout=20, close_timeout=20, **options)


async def echoes(port: int) -> None:
    async with dial(port) as peer:
        for size in [0, 1, 125, 126, 127, 1000, 65535, 65536, 65537, 1 << 20, 16 << 20]:
            data = os.urandom(size)
            await peer.send(data)
            back = await peer.recv()
            checks.check(f"{size} octets come back", back == data, len(back))
        for text in ["", "plain", "κόσμε", "𐐷" * 1000, "\0", "x" * 70_000]:
            await peer.send(text)
            checks.check(f"text of {len(text)} characters comes back as text", await peer.recv() == text)

    async with dial(port) as peer:
        messages = [os.urandom(number % 300) for number in range(5_000)]

        async def send_all() -> None:
            for message in messages:
                await peer.send(message)

        sending = asyncio.ensure_future(send_all())
        back = [await peer.recv() for _ in messages]
        await sending
        checks.check("5,000 messages without waiting come back in order", back == messages)


async def fragments(port: int) -> None:
    async with dial(port) as peer:
        await peer.send(["one ", "two ", "three"])
        checks.equal("three fragments of text are one message", await peer.recv(), "one two three")
        await peer.send([b"", b"middle", b""])
        checks.equal("empty fragments are allowed", await peer.recv(), b"middle")
        pieces = [os.urandom(10) for _ in range(1000)]
        await peer.send(pieces)
        checks.check("1,000 fragments are one message", await peer.recv() == b"".join(pieces))

        async def with_a_ping():
            yield "before "
            await (await peer.ping(b"between"))
            yield "after"

        await peer.send(with_a_ping())
        checks.equal("a ping between fragments is answered at once", await peer.recv(), "before after")


async def pings(port: int) -> None:
    async with dial(port, ping_interval=None) as peer:
        for payload in [b"", b"x", os.urandom(125)]:
            pong = await peer.ping(payload)
            await asyncio.wait_for(pong, 10)
            checks.check(f"a ping of {len(payload)} octets is answered with them", True)
        await peer.pong(b"unasked for")
        await peer.send("still here")
        checks.equal("a pong that nobody asked for does no harm", await peer.recv(), "still here")


async def closes(port: int) -> None:
    for code, reason in [(1000, ""), (1000, "done"), (1001, "leaving"), (1003, ""), (3000, "registered"), (4999, "ours")]:
        async with dial(port) as peer:
            await peer.close(code, reason)
        checks.equal(f"close {code} is answered with {code}", peer.close_code, code)
        checks.check(f"close {code} is clean", peer.protocol.close_rcvd is not None, peer.protocol.close_exc)


async def handshakes(port: int) -> None:
    async with dial(port, compression=None) as peer:
        checks.equal("no extension is chosen that was not offered", peer.response.headers.get("Sec-WebSocket-Extensions"), None)
        checks.equal("no subprotocol is chosen that was not offered", peer.subprotocol, None)
    offered = ["chat", "superchat"]
    async with dial(port, subprotocols=offered) as peer:
        checks.check("a chosen subprotocol is one that was offered", peer.subprotocol in (None, *offered), peer.subprotocol)
        await peer.send("hello")
        checks.equal("an offer of subprotocols does not get in the way", await peer.recv(), "hello")
    try:
        async with dial(port, "/no/such/socket"):
            checks.check("an unknown path is refused", False, "it was accepted")
    except websockets.InvalidStatus as refused:
        checks.check("an unknown path is refused", 400 <= refused.response.status_code < 500, refused)


async def crowd(port: int) -> None:
    async def one(number: int) -> bool:
        async with dial(port) as peer:
            text = f"peer {number}"
            for _ in range(20):
                await peer.send(text)
                if await peer.recv() != text:
                    return False
        return True

    done = await asyncio.gather(*[one(number) for number in range(100)])
    checks.check("100 peers at once each get their own back", all(done), done.count(False))


def main() -> None:
    with checks.scenario("the server"), server() as port:
        for scenario in (echoes, fragments, pings, closes, handshakes, crowd):
            with checks.scenario(scenario.__name__):
                asyncio.run(asyncio.wait_for(scenario(port), 60))
    checks.finish()


if __name__ == "__main__":
    main()
