#!/usr/bin/env python3
"""Our server while it is operated: its configuration is read again and again under load, and nothing is cut."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

from checks import Checks, free_port, server_binary

checks = Checks("operate")

#: WebSockets and downloads that stay open, and how often the configuration is read again meanwhile.
WEBSOCKETS, DOWNLOADS, RELOADS = 200, 8, 100
#: Sites of the large configuration, and what one of its reloads may keep an answer waiting for.
SITES, ANSWER_SECONDS = 1_000, 0.1


def host(name: str, port: int, mounts: str, protocols: str = "") -> str:
    return f'{{ "name": "{name}", "port": {port}, "mounts": [ {mounts} ], "ws-protocols": [ {{ {protocols} }} ] }}'


class Serving:
    """The program with a configuration in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "conf.d").mkdir()
        self.write("conf", '{ "global": { "count-threads": 2 } }')

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    async def start(self) -> None:
        log = self.folder / "log"
        self.log = open(log, "wb")
        self.child = subprocess.Popen(
            [server_binary(), "--config", str(self.folder)], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL
        )
        await self.said("serving")

    async def said(self, words: str, times: int = 1) -> bool:
        """Whether the log has these words so many times, soon."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if (self.folder / "log").read_bytes().count(words.encode()) >= times:
                return True
            await asyncio.sleep(0.005)
        return False

    def reload(self) -> None:
        self.child.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait(30)
        self.log.close()


async def get(port: int, name: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(-1), 30)
    writer.close()
    return answer


async def download(port: int, length: int, wanted: str, slow: asyncio.Event) -> bool:
    """Reads a file slowly until the event, and then to its end. Whether it came whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
    writer.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    content = bytearray()
    while len(content) < length:
        chunk = await asyncio.wait_for(reader.read(4_096), 30)
        if not chunk:
            break
        content += chunk
        if not slow.is_set():
            await asyncio.sleep(0.02)
    writer.close()
    return head.startswith(b"HTTP/1.1 200 ") and hashlib.sha256(content).hexdigest() == wanted


async def under_load(folder: Path) -> None:
    port = free_port()
    serving = Serving(folder)
    large = os.urandom(16 << 20)
    (folder / "www").mkdir()
    (folder / "www" / "large").write_bytes(large)
    mount = f'{{ "mountpoint": "/", "origin": "file://{folder}/www" }}'
    serving.write("conf.d/a", f'{{ "vhosts": [ {host("localhost", port, mount, chr(34) + "lws-echo" + chr(34) + ": {}")} ] }}')

    def moving(round_: int) -> None:
        redirect = f'{{ "mountpoint": "/", "origin": ">http://round-{round_}.example/" }}'
        serving.write("conf.d/b", f'{{ "vhosts": [ {host("moving.example", port, redirect)} ] }}')

    moving(0)
    await serving.start()
    url = f"ws://localhost:{port}/chat"
    opened = [connect(url, subprotocols=["lws-echo"]) for _ in range(WEBSOCKETS)]
    sockets: list[ClientConnection] = list(await asyncio.gather(*opened))
    done = asyncio.Event()
    wanted = hashlib.sha256(large).hexdigest()
    downloads = [asyncio.create_task(download(port, len(large), wanted, done)) for _ in range(DOWNLOADS)]
    failed = asked = 0

    async def ask_until_done() -> None:
        nonlocal failed, asked
        while not done.is_set():
            asked += 1
            if b"HTTP/1.1 301 " not in await get(port, "moving.example"):
                failed += 1

    asking = asyncio.create_task(ask_until_done())
    followed = 0
    for round_ in range(1, RELOADS + 1):
        moving(round_)
        serving.reload()
        await serving.said("~ moving.example", round_)
        followed += f"round-{round_}.example".encode() in await get(port, "moving.example")
    serving.write("conf.d/c", "{ broken")
    serving.reload()
    checks.check("a broken configuration is refused in one line", await serving.said("nothing was reloaded"))
    done.set()
    await asking
    checks.equal(f"{RELOADS} reloads under load are each followed", followed, RELOADS)
    checks.check("no request fails meanwhile", failed == 0 and asked > RELOADS, f"{failed} of {asked}")

    async def echoes(peer: ClientConnection) -> bool:
        await peer.send("still here")
        return await asyncio.wait_for(peer.recv(), 30) == "still here"

    answers = await asyncio.gather(*(echoes(peer) for peer in sockets), return_exceptions=True)
    checks.equal("every WebSocket is still open", answers.count(True), WEBSOCKETS)
    whole = await asyncio.gather(*downloads, return_exceptions=True)
    checks.equal("every download comes whole", whole.count(True), DOWNLOADS)
    serving.stop()


async def many_sites(folder: Path) -> None:
    port = free_port()
    serving = Serving(folder)

    def sites(changed: str) -> None:
        redirect = '{ "mountpoint": "/", "origin": ">http://there.example/" }'
        hosts = [host(f"site-{n}.example", port, redirect.replace("there", changed) if n == 500 else redirect) for n in range(SITES)]
        serving.write("conf.d/sites", f'{{ "vhosts": [ {", ".join(hosts)} ] }}')

    sites("there")
    await serving.start()
    slowest, done = 0.0, asyncio.Event()

    async def ask_until_done() -> None:
        nonlocal slowest
        while not done.is_set():
            begun = time.perf_counter()
            await get(port, "site-7.example")
            slowest = max(slowest, time.perf_counter() - begun)

    asking = asyncio.create_task(ask_until_done())
    for round_ in range(5):
        sites(f"changed-{round_}")
        serving.reload()
        await serving.said("~ site-500.example", round_ + 1)
    done.set()
    await asking
    changed = b"changed-4.example" in await get(port, "site-500.example")
    checks.check(f"one of {SITES} sites changes", changed)
    print(f"the slowest answer while one of {SITES} sites changed: {slowest * 1_000:.1f} ms")
    checks.check("answers do not wait for a reload", slowest < ANSWER_SECONDS, slowest)
    serving.stop()


async def main() -> None:
    for scenario in [under_load, many_sites]:
        with tempfile.TemporaryDirectory() as folder:
            await scenario(Path(folder))
    checks.finish()


asyncio.run(main())
