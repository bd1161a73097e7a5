#!/usr/bin/env python3
"""WebSocket of our server, asked by the Python package `websockets`."""

from __future__ import annotations

import asyncio
import itertools
import os

import websockets
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

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
        checks.equal("a pong without a ping does no harm", await peer.recv(), "still here")


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


def json_like(number: int, size: int) -> str:
    """Text that compresses, of about that size, and is different for each number."""
    lines = (f'{{"id":{number * 1000 + line},"user":"u{line % 7}","side":"{"buy" if line % 2 else "sell"}"}},' for line in range(size // 40 + 1))
    return "".join(lines)[:size]


async def deflate_echoes(port: int, name: str, factory: ClientPerMessageDeflateFactory) -> None:
    """Everything that is sent comes back through both compressors, whatever was agreed on."""
    async with dial(port, compression=None, extensions=[factory]) as peer:
        answer = peer.response.headers.get("Sec-WebSocket-Extensions") or ""
        checks.check(f"{name} is agreed on", answer.startswith("permessage-deflate"), answer)
        sizes = [0, 1, 100, 300, 16383, 16384, 16385, 70_000, 1 << 20]
        good = True
        for number, size in enumerate(sizes * 2):
            message = json_like(number, size) if number % 3 else os.urandom(size)
            await peer.send(message)
            good = good and await peer.recv() == message
        await peer.send([json_like(7, 5000), "", json_like(8, 40_000)])
        good = good and await peer.recv() == json_like(7, 5000) + json_like(8, 40_000)
        checks.check(f"{name}: every message comes back", good)


async def deflate(port: int) -> None:
    """Every window and every takeover, both ways."""
    for server_takeover, client_takeover in itertools.product([False, True], repeat=2):
        for bits in [None, *range(9, 16)]:
            factory = ClientPerMessageDeflateFactory(
                server_no_context_takeover=not server_takeover,
                client_no_context_takeover=not client_takeover,
                server_max_window_bits=bits,
                client_max_window_bits=True if bits is None else 24 - bits,
            )
            name = f"deflate, {bits} bits, takeover {server_takeover}/{client_takeover}"
            with checks.scenario(name):
                await deflate_echoes(port, name, factory)


def main() -> None:
    takeover = "--deflate=server_no_context_takeover=0,client_no_context_takeover=0,threshold=0"
    for options in (takeover, "--deflate"):
        with checks.scenario(options), server(options) as port:
            asyncio.run(asyncio.wait_for(deflate(port), 120))
    with checks.scenario("the server"), server() as port:
        for scenario in (echoes, fragments, pings, closes, handshakes, crowd):
            with checks.scenario(scenario.__name__):
                asyncio.run(asyncio.wait_for(scenario(port), 60))
    checks.finish()


if __name__ == "__main__":
    main()
