#!/usr/bin/env python3
"""The chat with rooms of lws-server's examples, visited by the Python package `websockets`."""

from __future__ import annotations

import asyncio
import os

from websockets.asyncio.client import ClientConnection, connect

from checks import Checks, free_port, running

checks = Checks("rooms")

#: Members of each room, and messages that each of them sends.
MEMBERS, MESSAGES = 8, 25


def visit(port: int, room: str) -> connect:
    return connect(f"ws://127.0.0.1:{port}/rooms/{room}", max_size=None, open_timeout=20, close_timeout=20)


async def enter(port: int, room: str) -> ClientConnection:
    peer = await visit(port, room)
    checks.equal(f"{room} welcomes", await peer.recv(), f"welcome to {room}")
    return peer


async def rooms(port: int) -> None:
    members = {room: [await enter(port, room) for _ in range(MEMBERS)] for room in ["red", "blue"]}

    async def talk(room: str, number: int) -> list[str]:
        peer = members[room][number]
        for count in range(MESSAGES):
            await peer.send(f"{room} {number} {count}")
        expected = MESSAGES * (MEMBERS - 1)
        return [await asyncio.wait_for(peer.recv(), 30) for _ in range(expected)]

    speakers = [(room, number) for room in members for number in range(MEMBERS)]
    heard = await asyncio.gather(*(talk(room, number) for room, number in speakers))
    for (room, number), messages in zip(speakers, heard, strict=True):
        others = [other for other in range(MEMBERS) if other != number]
        by_sender = {other: [text for text in messages if text.startswith(f"{room} {other} ")] for other in others}
        expected = {other: [f"{room} {other} {count}" for count in range(MESSAGES)] for other in others}
        checks.check(f"member {number} of {room} hears every other in order, and no other room", by_sender == expected)
    for peer in [*members["red"], *members["blue"]]:
        await peer.close()


async def main(port: int) -> None:
    with checks.scenario("rooms"):
        await asyncio.wait_for(rooms(port), 120)


binary = os.environ.get("ROOMS", "target/debug/examples/rooms")
for threads in ["1", "3"]:
    port = free_port()
    with running([binary, f"127.0.0.1:{port}", threads], port):
        asyncio.run(main(port))
checks.finish()
