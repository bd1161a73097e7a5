#!/usr/bin/env python3
"""Members of a room who come back with the position that they had got to, beside a real Redis server with history.

They get what they have missed, once and in order, or are told of a gap; and ten thousand who come back at once cost the server one history
read for each process."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import Iterator

from websockets.asyncio.client import ClientConnection, connect

from checks import Checks, free_port, running, wait_for_port

checks = Checks("resume")

BINARY = os.environ.get("ROOMS_RESUME", "target/debug/examples/rooms_resume")
HISTORY = 256
#: Those who come back at once.
HERD = 10_000


class Redis:
    """A server without files."""

    def __init__(self) -> None:
        self.port = free_port()
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def ask(self, command: str) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as stream:
            stream.sendall(f"{command}\r\n".encode())
            return stream.recv(1 << 16).decode()

    def scripts(self) -> int:
        """Calls of scripts since the last look: publications and reads of history."""
        stats = self.ask("INFO commandstats")
        self.ask("CONFIG RESETSTAT")
        lines = [line for line in stats.splitlines() if line.startswith("cmdstat_evalsha:")]
        return int(lines[0].split("calls=")[1].split(",")[0]) if lines else 0


@contextmanager
def process(redis: Redis, threads: int) -> Iterator[int]:
    port = free_port()
    command = [BINARY, f"127.0.0.1:{port}", f"redis://127.0.0.1:{redis.port}?history={HISTORY}", str(threads)]
    with running(command, port, stderr=subprocess.DEVNULL):
        yield port


async def open_socket(port: int, room: str) -> ClientConnection:
    return await connect(f"ws://127.0.0.1:{port}/rooms/{room}", max_size=None, max_queue=None, open_timeout=30)


async def enter(peer: ClientConnection, position: str = "") -> list[str]:
    """Comes to the room behind a position. Gives what is said of it: where it is, whether something is missing, and how much follows."""
    await peer.send(f"< {position}")
    return (await asyncio.wait_for(peer.recv(), 30)).split(" ")[1:]


async def receive(peer: ClientConnection, count: int) -> list[str]:
    return [await asyncio.wait_for(peer.recv(), 30) for _ in range(count)]


def texts(lines: list[str]) -> list[str]:
    return [line.split(" ", 1)[1] for line in lines]


async def come_back(ports: list[int]) -> None:
    speaker, member = await open_socket(ports[0], "a"), await open_socket(ports[1], "a")
    first, word, count = await enter(speaker)
    checks.equal("one who comes for the first time has missed nothing", (word, count), ("complete", "0"))
    await enter(member)
    for number in range(70):
        await speaker.send(f"message {number}")
    lines = await receive(speaker, 70)
    checks.equal("messages have positions", texts(lines), [f"message {number}" for number in range(70)])
    checks.equal("which are the same in all processes", await receive(member, 70), lines)
    # To the process where it was, and to the other one.
    for port in ports:
        for count in [70, 50, 1, 0]:
            peer = await open_socket(port, "a")
            position = first if count == len(lines) else lines[len(lines) - count - 1].split(" ")[0]
            said = await enter(peer, position)
            missed = await receive(peer, int(said[2]))
            checks.equal(f"one that has missed {count} gets them", (said[1], missed), ("complete", lines[len(lines) - count :]))
            await speaker.send("more")
            more = await receive(speaker, 1)
            checks.equal("and then what follows", await receive(peer, 1), more)
            lines.append(more[0])
            first = lines.pop(0).split(" ")[0]
            await peer.close()
    epoch, offset = lines[-1].split(" ")[0].split("-")
    for at, why in [(f"{int(epoch) + 1}-{offset}", "of another stream"), (f"{epoch}-{int(offset) + 1000}", "of one that was longer")]:
        peer = await open_socket(ports[0], "a")
        said = await enter(peer, at)
        checks.equal(f"a position {why} is a gap", said[1:], ["gap", "0"])
        await peer.close()
    for peer in [speaker, member]:
        await peer.close()


async def too_late(ports: list[int]) -> None:
    """One whose position is older than the history has a gap, in a process that has not had the room until then."""
    speaker = await open_socket(ports[0], "late")
    first, _, _ = await enter(speaker)
    for number in range(HISTORY + 10):
        await speaker.send(f"many {number}")
    lines = await receive(speaker, HISTORY + 10)
    late = await open_socket(ports[1], "late")
    said = await enter(late, first)
    checks.equal("it has a gap", said, [lines[-1].split(" ")[0], "gap", "0"])
    await speaker.send("more")
    checks.equal("and gets what follows", texts(await receive(late, 1)), ["more"])
    for peer in [speaker, late]:
        await peer.close()


async def while_others_talk(ports: list[int]) -> None:
    """One that comes back again and again while others talk misses nothing, and gets nothing twice."""
    speakers = [await open_socket(port, "talk") for port in ports]
    member = await open_socket(ports[0], "talk")
    position, _, _ = await enter(member)
    start, heard, talk = int(position.split("-")[1]), [], True

    async def speak(peer: ClientConnection, name: str) -> int:
        number = 0
        while talk:
            await peer.send(f"{name} {number}")
            number += 1
            await asyncio.sleep(0.001)
        return number

    tasks = [asyncio.create_task(speak(peer, name)) for peer, name in zip(speakers, "AB", strict=True)]
    gaps = 0
    for turn in range(30):
        try:
            async with asyncio.timeout(0.05):
                while True:
                    line = await member.recv()
                    position = line.split(" ")[0]
                    heard.append(int(position.split("-")[1]))
        except TimeoutError:
            pass
        await member.close()
        member = await open_socket(ports[turn % 2], "talk")
        _, word, count = await enter(member, position)
        gaps += word == "gap"
    talk = False
    sent = sum(await asyncio.gather(*tasks))
    while len(heard) < sent:
        heard.append(int((await receive(member, 1))[0].split(" ")[0].split("-")[1]))
    checks.equal("it has never been told of a gap", gaps, 0)
    checks.check("it has everything, once and in order", heard == list(range(start + 1, start + 1 + sent)), (len(heard), sent))
    for peer in [member, *speakers]:
        await peer.close()


def frame(text: str) -> bytes:
    """A text of a client, masked with zeros."""
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text.encode()


async def join_raw(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /rooms/herd HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def herd(redis: Redis, port: int) -> None:
    """All come back at once, to a process that has not had the room until then."""
    with_room = free_port()
    command = [BINARY, f"127.0.0.1:{with_room}", f"redis://127.0.0.1:{redis.port}?history={HISTORY}", "1"]
    with running(command, with_room, stderr=subprocess.DEVNULL):
        speaker = await open_socket(with_room, "herd")
        position, _, _ = await enter(speaker)
        for number in range(20):
            await speaker.send(f"missed {number}")
        await receive(speaker, 20)
        await speaker.close()
    peers = []
    while len(peers) < HERD:
        peers += await asyncio.gather(*[join_raw(port) for _ in range(min(200, HERD - len(peers)))])
    redis.scripts()
    begun = time.monotonic()
    for _, writer in peers:
        writer.write(frame(f"< {position}"))
    answers = [asyncio.create_task(reader.readuntil(b"missed 19")) for reader, _ in peers]
    wrong = sum(b"complete 20" not in answer for answer in await asyncio.gather(*answers))
    seconds = time.monotonic() - begun
    # That of the subscription, where the room is; and the history.
    scripts = redis.scripts()
    print(f"{HERD} clients recovered 20 messages each in {seconds:.2f} s, with {scripts} history reads")
    checks.equal("everybody in the herd has what was missed", wrong, 0)
    checks.check("the broker was asked once for where the room is, and once for its history", scripts <= 2, scripts)
    for _, writer in peers:
        writer.close()


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
HERD = min(HERD, hard - 1_000)
redis = Redis()
try:
    with process(redis, 1) as one, process(redis, 3) as other:
        for check in [come_back, too_late, while_others_talk]:
            with checks.scenario(check.__name__):
                asyncio.run(asyncio.wait_for(check([one, other]), 120))
    with checks.scenario("herd"), process(redis, 2) as port:
        asyncio.run(asyncio.wait_for(herd(redis, port), 300))
finally:
    redis.process.kill()
    redis.process.wait()
checks.finish()
