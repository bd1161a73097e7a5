#!/usr/bin/env python3
"""Two processes of our server that share the demo's drawing board and counter: by a Redis server that is killed and started again, and by a
folder of sockets while each process is replaced. A client on each does what the page does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from websockets.asyncio.client import ClientConnection, connect

from checks import Checks, free_port, running, server_binary, wait_for_port

checks = Checks("lwsws_broker")

#: How far two counters may be apart: answers to questions take time, and this machine may be busy.
COUNTER_SPREAD = 20


class Redis:
    """A server without files, which comes back empty."""

    def __init__(self) -> None:
        self.port = free_port()
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def lwsws(url: str, *arguments: str) -> Iterator[tuple[subprocess.Popen, int]]:
    port = free_port()
    with running([server_binary(), "--port", str(port), "--quiet", "--broker", url, *arguments], port) as process:
        yield process, port


class Page:
    """The board and the counter as the page has them."""

    def __init__(self, mirror: ClientConnection, counter: ClientConnection) -> None:
        self.mirror, self.counter = mirror, counter
        self.board: list[str] = []
        self.number = -1
        self.tasks = [asyncio.create_task(self.look()), asyncio.create_task(self.count())]

    async def look(self) -> None:
        async for message in self.mirror:
            for command in message.split("\n"):
                if command == "c":
                    self.board.clear()
                else:
                    self.board.append(command)

    async def count(self) -> None:
        async for message in self.counter:
            self.number = int(message)

    async def draw(self, number: int) -> str:
        command = f"d #{number:06x} {number % 9999} 1 2 3"
        await self.mirror.send(command)
        return command

    async def close(self) -> None:
        await asyncio.gather(self.mirror.close(), self.counter.close())


async def visit(port: int) -> Page:
    origin = f"http://127.0.0.1:{port}"
    mirror = await connect(f"ws://127.0.0.1:{port}/demo/mirror", origin=origin, subprotocols=["lws-mirror"], max_size=None)
    counter = await connect(f"ws://127.0.0.1:{port}/demo/counter", origin=origin, subprotocols=["lws-counter"])
    return Page(mirror, counter)


async def until(what: str, holds: object, seconds: float = 30) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > give_up:
            raise TimeoutError(what)
        await asyncio.sleep(0.01)


async def agree(pages: list[Page], what: str, drawn: set[str]) -> None:
    """All pages come to show what was drawn."""
    try:
        await until(what, lambda: all(set(page.board) == drawn for page in pages))
        checks.check(what, True)
    except TimeoutError:
        checks.equal(what, [set(page.board) ^ drawn for page in pages], [set()] * len(pages))


async def draw_until_seen(page: Page, other: Page, numbers: Iterator[int]) -> set[str]:
    """Draws until the other has seen the last: what is on its way when the broker dies may be lost."""
    drawn = set()
    for number in numbers:
        command = await page.draw(number)
        drawn.add(command)
        try:
            await until("seen", lambda: command in other.board, 0.5)
            return drawn
        except TimeoutError:
            continue
    raise TimeoutError("nothing was seen")


async def counted(pages: list[Page]) -> None:
    try:
        await until("counts", lambda: 0 <= max(it.number for it in pages) - min(it.number for it in pages) < COUNTER_SPREAD)
        checks.check("counters of all processes agree", True)
    except TimeoutError:
        checks.check("counters of all processes agree", False, [page.number for page in pages])
    await until("it has counted on", lambda: all(page.number >= 2 * COUNTER_SPREAD for page in pages))
    await pages[0].counter.send("reset")
    await until("it begins again in each process", lambda: all(page.number < COUNTER_SPREAD for page in pages))


async def by_redis(redis: Redis) -> None:
    url = f"redis://127.0.0.1:{redis.port}"
    with lwsws(url, "--threads", "2") as (_, one), lwsws(url) as (_, other):
        pages = [await visit(one), await visit(other)]
        drawn = await draw_until_seen(pages[0], pages[1], iter(range(1, 100)))
        drawn |= await draw_until_seen(pages[1], pages[0], iter(range(101, 200)))
        await agree(pages, "what is drawn in one process shows in the other", drawn)
        await counted(pages)
        # A process that comes later has what was drawn before.
        with lwsws(url) as (_, late):
            third = await visit(late)
            await agree([*pages, third], "one that comes later shows the same", drawn)
            await counted([*pages, third])
            await third.close()
        for turn in range(2):
            redis.kill()
            # In each while the broker is away, and some of it is lost perhaps.
            for number in range(20):
                for at, page in enumerate(pages):
                    drawn.add(await page.draw(1_000 * (turn + 1) + 100 * at + number))
            await asyncio.sleep(0.3)
            redis.start()
            drawn |= await draw_until_seen(pages[0], pages[1], iter(range(5_000 + turn * 100, 5_100 + turn * 100)))
            # What was lost on its way to one of them, the other has.
            sent, drawn = drawn, set(pages[0].board) | set(pages[1].board)
            await agree(pages, "behind a broker that was killed both show the same", drawn)
            checks.check("and nothing that was not drawn", drawn <= sent, drawn - sent)
        # What waited was sent, and only what was on its way can be missing.
        checks.check("and most of what was drawn meanwhile", len(drawn) > 60, len(drawn))
        await counted(pages)
        await pages[0].mirror.send("c")
        await agree(pages, "a wiped board is wiped everywhere", set())
        for page in pages:
            await page.close()


async def by_folder(directory: str) -> None:
    url = f"mesh:{directory}/mesh"
    with lwsws(url) as (_, one):
        first = await visit(one)
        drawn = {await first.draw(1)}
        await agree([first], "a process alone draws", drawn)
        for turn in range(3):
            with lwsws(url) as (process, port):
                page = await visit(port)
                await agree([first, page], f"process {turn} has what was drawn before it began", drawn)
                drawn.add(await page.draw(10 + turn))
                await agree([first, page], f"and draws with the others {turn}", drawn)
                await counted([first, page])
                await page.close()
                process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(process.wait, 30)
        await agree([first], "nothing is lost with them", drawn)
        await first.close()
    checks.equal("the folder is empty", list(Path(directory, "mesh").iterdir()), [])


def has_ended(process: int) -> bool:
    """One that is no child of this process, and that its own parent has perhaps not waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def upgraded(directory: str) -> None:
    """SIGUSR2: the program runs anew at the same socket, with the board of the one before, which ends with its last client."""
    pid_file = Path(directory, "pid")
    with lwsws(f"mesh:{directory}/upgraded", "--pid-file", str(pid_file)) as (process, port):
        old = await visit(port)
        drawn = {await old.draw(number) for number in range(10)}
        await agree([old], "it is drawn", drawn)
        process.send_signal(signal.SIGUSR2)
        await until("another process serves", lambda: pid_file.read_text().strip() != str(process.pid))
        successor = int(pid_file.read_text())
        try:
            new = await visit(port)
            await agree([old, new], "a program that runs anew has what was drawn", drawn)
            drawn |= {await old.draw(100), await new.draw(200)}
            await agree([old, new], "and both draw on", drawn)
            checks.equal("the one before serves its client", process.poll(), None)
            await old.close()
            # Its connections in the mesh do not keep it.
            checks.equal("and ends with it", await asyncio.to_thread(process.wait, 30), 0)
            drawn.add(await new.draw(300))
            await agree([new], "nothing is lost with it", drawn)
            await new.close()
        finally:
            os.kill(successor, signal.SIGTERM)
            await until("it has ended", lambda: has_ended(successor))


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([server_binary(), *arguments], capture_output=True, text=True, timeout=60)


def refused(directory: str) -> None:
    """What is wrong with a URL is said in one line, without its password, and by --test as well."""
    wrong = run("--broker", "http://user:secret@db.example")
    checks.check("a URL of no broker is refused", wrong.returncode == 1 and "a broker is redis://HOST" in wrong.stderr, wrong.stderr)
    configuration = Path(directory, "configuration")
    configuration.mkdir()

    def conf(url: str) -> None:
        vhost = '{"name": "localhost", "port": "0", "mounts": [{"mountpoint": "/", "origin": "file:///tmp"}]}'
        Path(configuration, "conf").write_text(f'{{"global": {{"broker": "{url}"}}, "vhosts": [{vhost}]}}')

    conf("redis://user:secret@db.example?history=9")
    good = run("--config", str(configuration), "--test")
    checks.equal("one of a broker passes --test", (good.returncode, good.stderr), (0, ""))
    printed = run("--config", str(configuration), "--print").stdout
    checks.check("its password is not printed", "secret" not in printed and "@db.example?history=9" in printed, printed[:600])
    conf("redis://user:secret@db.example?nothing=9")
    bad = run("--config", str(configuration), "--test")
    said = "secret" not in bad.stderr and "broker" in bad.stderr
    checks.check("another does not, and says why", bad.returncode == 1 and said, bad.stderr)


with tempfile.TemporaryDirectory() as directory:
    with checks.scenario("refused"):
        refused(directory)
    with checks.scenario("folder"):
        asyncio.run(asyncio.wait_for(by_folder(directory), 180))
    with checks.scenario("upgraded"):
        asyncio.run(asyncio.wait_for(upgraded(directory), 120))
    redis = Redis()
    try:
        with checks.scenario("redis"):
            asyncio.run(asyncio.wait_for(by_redis(redis), 180))
    finally:
        redis.kill()
checks.finish()
