#!/usr/bin/env python3
"""Our server while it is operated: its configuration is read again and again under load, a new program takes its place, and nothing is cut."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

from checks import Checks, accepts, free_port, server_binary, server_options

checks = Checks("operate")

#: WebSockets and downloads that stay open, and how often the configuration is read again meanwhile.
WEBSOCKETS, DOWNLOADS, RELOADS = 200, 8, 100
#: Sites of the large configuration, and what one of its reloads may keep an answer waiting for.
SITES, ANSWER_SECONDS = 1_000, 0.1
#: Upgrades in a row.
UPGRADES = 3


def host(name: str, port: int, mounts: str, protocols: str = "") -> str:
    return f'{{ "name": "{name}", "port": {port}, "mounts": [ {mounts} ], "ws-protocols": [ {{ {protocols} }} ] }}'


class Serving:
    """The program with a configuration in a folder of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.program = folder / "lwsws"
        shutil.copy(server_binary(), self.program)
        (folder / "conf.d").mkdir()
        self.write("conf", '{ "global": { "count-threads": 2 } }')

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    async def start(self) -> None:
        log = self.folder / "log"
        self.log = open(log, "wb")
        self.child = subprocess.Popen(
            [self.program, "--config", self.folder, *server_options(), *self.options],
            stdout=self.log,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
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

    def replace_program(self, content: bytes | None = None) -> None:
        """Puts another program in the place of the one that runs, or the same once more."""
        other = self.folder / "lwsws.new"
        if content is None:
            shutil.copy(server_binary(), other)
        else:
            other.write_bytes(content)
            other.chmod(0o755)
        other.replace(self.program)

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait(30)
        self.log.close()


async def get(port: int, name: str, target: str = "/") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
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


async def echoes(peer: ClientConnection) -> bool:
    await peer.send("still here")
    return await asyncio.wait_for(peer.recv(), 30) == "still here"


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


class KeptConnection:
    """A client that asks again and again on one connection, and opens another one when it was told that this was the last answer."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers = self.failures = 0
        self.done = asyncio.Event()

    async def run(self) -> None:
        while not self.done.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            is_last = False
            while not self.done.is_set() and not is_last:
                try:
                    writer.write(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
                    await asyncio.wait_for(reader.readexactly(5), 30)
                except (OSError, asyncio.IncompleteReadError):
                    self.failures += 1
                    break
                self.failures += not head.startswith(b"HTTP/1.1 200 ")
                self.answers += 1
                is_last = b"connection: close" in head.lower()
                await asyncio.sleep(0.002)
            writer.close()


async def upgrade(folder: Path) -> None:
    port, unix = free_port(), folder / "socket"
    pid_file = folder / "pid"
    serving = Serving(folder, "--pid-file", str(pid_file))
    large = os.urandom(16 << 20)
    (folder / "www").mkdir()
    (folder / "www" / "large").write_bytes(large)
    (folder / "www" / "small").write_text("small")
    mount = f'{{ "mountpoint": "/", "origin": "file://{folder}/www" }}'
    unix_host = f'{{ "name": "unix", "unix-socket": 1, "interface": "{unix}", "mounts": [ {mount} ] }}'
    hosts = [host("localhost", port, mount, '"lws-echo": {}'), unix_host]
    serving.write("conf.d/a", f'{{ "vhosts": [ {", ".join(hosts)} ] }}')
    await serving.start()
    old = serving.child.pid
    checks.equal("the file has the number of the process", pid_file.read_text(), f"{old}\n")
    url = f"ws://localhost:{port}/chat"

    async def websockets() -> list[ClientConnection]:
        return list(await asyncio.gather(*(connect(url, subprotocols=["lws-echo"]) for _ in range(WEBSOCKETS))))

    sockets = await websockets()
    done = asyncio.Event()
    wanted = hashlib.sha256(large).hexdigest()
    downloads = [asyncio.create_task(download(port, len(large), wanted, done)) for _ in range(DOWNLOADS)]
    kept = [KeptConnection(port) for _ in range(4)]
    keeping = [asyncio.create_task(client.run()) for client in kept]
    failed = asked = 0

    async def ask_until_done() -> None:
        nonlocal failed, asked
        while not done.is_set():
            asked += 1
            try:
                failed += b"HTTP/1.1 200 " not in await get(port, "localhost", "/small")
            except OSError:
                failed += 1

    asking = [asyncio.create_task(ask_until_done()) for _ in range(4)]
    pids = [old]
    for _ in range(UPGRADES):
        serving.replace_program()
        os.kill(pids[-1], signal.SIGUSR2)
        deadline = time.monotonic() + 30
        while pid_file.read_text() in ("", f"{pids[-1]}\n") and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        pids.append(int(pid_file.read_text()))
        await asyncio.sleep(0.3)
    checks.check(f"{UPGRADES} upgrades, each to another process", len(set(pids)) == UPGRADES + 1, pids)
    answers = await asyncio.gather(*(echoes(peer) for peer in sockets), return_exceptions=True)
    checks.equal("every WebSocket of the first process is open", answers.count(True), WEBSOCKETS)
    new = await websockets()
    answers = await asyncio.gather(*(echoes(peer) for peer in new), return_exceptions=True)
    checks.equal("the last process takes WebSockets", answers.count(True), WEBSOCKETS)
    checks.check("the Unix socket is where it was", unix.exists() and unix_answers(unix))
    done.set()
    for client in kept:
        client.done.set()
    await asyncio.gather(*asking, *keeping)
    checks.check("no request is refused or fails", failed == 0 and asked > 100, f"{failed} of {asked}")
    broken = sum(client.failures for client in kept)
    answered = sum(client.answers for client in kept)
    checks.check("no kept connection ends without a word", broken == 0 and answered > 100, f"{broken} of {answered}")
    whole = await asyncio.gather(*downloads, return_exceptions=True)
    checks.equal("every download comes whole", whole.count(True), DOWNLOADS)
    checks.check("the first process stays for its WebSockets", serving.child.poll() is None)
    await asyncio.gather(*(peer.close() for peer in sockets))
    status = await asyncio.to_thread(serving.child.wait, 90)
    checks.equal("the first process ends when the last of them has ended", status, 0)
    checks.check("and leaves what is the other's", unix_answers(unix) and pid_file.read_text() == f"{pids[-1]}\n")
    os.kill(pids[-1], signal.SIGTERM)
    await asyncio.gather(*(peer.wait_closed() for peer in new))
    await gone(pids[-1])
    checks.check("the last process takes its files with it", not unix.exists() and not pid_file.exists())
    checks.check("nothing listens any more", not accepts(port))
    serving.log.close()


def unix_answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(str(path))
        peer.sendall(b"GET /small HTTP/1.1\r\nHost: unix\r\nConnection: close\r\n\r\n")
        return peer.recv(4_096).startswith(b"HTTP/1.1 200 ")


async def gone(pid: int) -> None:
    """Waits until a process that is not ours has ended."""
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return
        await asyncio.sleep(0.05)


async def no_upgrade(folder: Path) -> None:
    """A program, or a configuration, that does not become ready leaves the old one as it was."""
    port = free_port()
    pid_file = folder / "pid"
    serving = Serving(folder, "--pid-file", str(pid_file), "--ready-timeout", "2")
    redirect = '{ "mountpoint": "/", "origin": ">http://there.example/" }'
    good = f'{{ "vhosts": [ {host("localhost", port, redirect, chr(34) + "lws-echo" + chr(34) + ": {}")} ] }}'
    serving.write("conf.d/a", good)
    await serving.start()
    peer = await connect(f"ws://localhost:{port}/chat", subprotocols=["lws-echo"])
    refused = 0
    for name, program, configuration, words in [
        ("a program that ends", b"#!/bin/sh\nexit 3\n", good, "it ended and said nothing"),
        ("a program that is none", b"\x7fELF no program", good, "lwsws: "),
        ("a program that hangs", b"#!/bin/sh\nexec sleep 60\n", good, "not ready within 2 s (--ready-timeout)"),
        ("a broken configuration", None, "{ broken", "cannot be served as it is"),
        ("a folder that is not there", None, good.replace(">http://there.example/", "file:///no/such/folder"), "No such file"),
    ]:
        serving.replace_program(program)
        serving.write("conf.d/a", configuration)
        os.kill(serving.child.pid, signal.SIGUSR2)
        refused += 1
        # The log and standard error are one file here.
        said = await serving.said("there was no upgrade, and everything goes on as it was", 2 * refused)
        log = (folder / "log").read_text()
        checks.check(f"{name}: one line says why there was no upgrade", said and words in log, log[-400:])
        checks.check(f"{name}: the server goes on", await echoes(peer) and b"HTTP/1.1 301 " in await get(port, "localhost"))
        checks.equal(f"{name}: the file has its number", pid_file.read_text(), f"{serving.child.pid}\n")
    serving.write("conf.d/a", good)
    serving.replace_program()
    os.kill(serving.child.pid, signal.SIGUSR2)
    checks.check("the next upgrade succeeds", await serving.said(" serves, and this one goes when its connections have ended"))
    await peer.close()
    checks.equal("and the old process ends", await asyncio.to_thread(serving.child.wait, 30), 0)
    checks.check("the new one serves", b"HTTP/1.1 301 " in await get(port, "localhost"))
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGTERM)
    await gone(pid)
    serving.log.close()


async def main() -> None:
    for scenario in [under_load, many_sites, upgrade, no_upgrade]:
        with tempfile.TemporaryDirectory() as folder:
            await scenario(Path(folder))
    checks.finish()


asyncio.run(main())
