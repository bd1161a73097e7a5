#!/usr/bin/env python3
"""Rooms that two processes share by a real Redis server, which is killed, stopped, restarted, and cuts connections off; by one of NATS; and
by a folder of sockets, without a server, while each process is replaced.

What each member of a room receives of one speaker is a subsequence without repeats, and where something is missing, a line before it
says that messages may be missing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Iterator

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from checks import Checks, free_port, running, wait_for_port

checks = Checks("brokers")

BINARY = os.environ.get("ROOMS_BROKER", "target/debug/examples/rooms_broker")
#: Members of the room in each process.
MEMBERS = 4
GAP = "* messages may be missing"


def make_certificate(directory: str) -> str:
    """One of `localhost`, whose key is beside it."""
    certificate = f"{directory}/certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=broker", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-addext", "basicConstraints=critical,CA:FALSE"]
    command += ["-keyout", f"{directory}/key.pem", "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return certificate


class Redis:
    """A server on a port of its own, which can be killed and started again."""

    def __init__(self, directory: str) -> None:
        self.port, self.tls_port, self.directory = free_port(), free_port(), directory
        self.certificate = make_certificate(directory)
        self.process: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.directory]
        command += ["--tls-port", str(self.tls_port), "--tls-auth-clients", "no"]
        command += ["--tls-cert-file", self.certificate, "--tls-key-file", f"{self.directory}/key.pem"]
        command += ["--tls-ca-cert-file", self.certificate]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, command: str) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as stream:
            stream.sendall(f"{command}\r\n".encode())
            return stream.recv(1 << 16).decode()


class Nats:
    """A server of NATS on a port of its own, which can be killed and started again: with JetStream and TLS if there is a folder."""

    def __init__(self, directory: str = "") -> None:
        self.port = free_port()
        self.process: subprocess.Popen | None = None
        self.certificate, self.arguments = "/dev/null", []
        if directory:
            self.certificate = make_certificate(directory)
            self.arguments = ["-js", "-sd", f"{directory}/store", "--tls", "--tlscert", self.certificate, "--tlskey", f"{directory}/key.pem"]
        self.start()

    def start(self) -> None:
        command = ["nats-server", "-a", "127.0.0.1", "-p", str(self.port), *self.arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Guarded:
    """A primary of Redis and its replica, with a sentinel that makes one of the other."""

    certificate = "/dev/null"

    def __init__(self, directory: str) -> None:
        self.ports = [free_port() for _ in range(3)]
        primary, replica, sentinel = map(str, self.ports)
        lines = [f"sentinel monitor main 127.0.0.1 {primary} 1", "sentinel down-after-milliseconds main 500"]
        Path(directory, "sentinel.conf").write_text("\n".join([f"port {sentinel}", *lines, "sentinel failover-timeout main 3000", ""]))
        each = ["--bind", "127.0.0.1", "--save", "", "--dir", directory]
        commands = [
            ["redis-server", "--port", primary, *each],
            ["redis-server", "--port", replica, *each, "--replicaof", "127.0.0.1", primary, "--repl-diskless-sync-delay", "0"],
            ["redis-server", f"{directory}/sentinel.conf", "--sentinel", "--dir", directory],
        ]
        self.processes = []
        for command, port in zip(commands, self.ports, strict=True):
            self.processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            wait_for_port(port, self.processes[-1])
        give_up = time.monotonic() + 20
        while "num-slaves\r\n$1\r\n1" not in self.ask(self.ports[2], "SENTINEL MASTER main") and time.monotonic() < give_up:
            time.sleep(0.05)

    def ask(self, port: int, command: str) -> str:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
            stream.sendall(f"{command}\r\n".encode())
            return stream.recv(1 << 16).decode()

    def kill(self) -> None:
        self.processes[0].kill()
        self.processes[0].wait()

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


class Member:
    """A member of the room, with everything that it has received."""

    def __init__(self, peer: ClientConnection) -> None:
        self.peer, self.lines = peer, []
        self.reader = asyncio.create_task(self.read())

    async def read(self) -> None:
        try:
            async for line in self.peer:
                self.lines.append(line)
        except ConnectionClosed:
            # Its process was killed.
            return

    async def until(self, what: str, line: str, seconds: float = 20) -> None:
        give_up = time.monotonic() + seconds
        while line not in self.lines:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{what}: {self.lines[-3:]}")
            await asyncio.sleep(0.005)

    def said(self) -> list[str]:
        return [line for line in self.lines if not line.startswith("*")]

    def judge(self) -> str:
        """What is wrong with the sequence, or nothing."""
        last: dict[str, int] = {}
        covered: set[str] = set()
        for line in self.lines:
            if line == GAP:
                covered = set(last)
            elif not line.startswith("*"):
                speaker, number = line.split(" ")[:2]
                before = last.get(speaker, 0)
                if int(number) <= before:
                    return f"{line} after {before}"
                if int(number) > before + 1 and speaker not in covered and before > 0:
                    return f"{line} after {before} without a gap"
                last[speaker] = int(number)
                covered.discard(speaker)
        return ""


class Room:
    """Two processes with members of one room each."""

    def __init__(self, redis: Redis | Nats | Guarded, members: list[Member]) -> None:
        self.redis, self.members, self.numbers = redis, members, [0, 0]

    async def say(self, process: int, count: int, pause: float = 0) -> None:
        speaker = self.members[process * MEMBERS]
        for _ in range(count):
            self.numbers[process] += 1
            await speaker.peer.send(f"{'AB'[process]} {self.numbers[process]}")
            if pause:
                await asyncio.sleep(pause)

    async def settle(self) -> None:
        """Says something until everybody has received it: what was on its way when the connection ended may be lost."""
        give_up = time.monotonic() + 20
        while True:
            await self.say(0, 1)
            await self.say(1, 1)
            last = {f"A {self.numbers[0]}", f"B {self.numbers[1]}"}
            for _ in range(40):
                if all(last <= set(member.lines[-50:]) for member in self.members):
                    return
                await asyncio.sleep(0.005)
            if time.monotonic() > give_up:
                raise TimeoutError(f"the room is silent: {[member.lines[-2:] for member in self.members]}")

    def judge(self, name: str) -> None:
        wrong = [found for member in self.members if (found := member.judge())]
        checks.check(f"{name}: each sequence is one of the topic without repeats, and holes have gaps", not wrong, wrong[:3])

    def gaps(self) -> list[int]:
        return [member.lines.count(GAP) for member in self.members]


async def enter(port: int, room: str) -> Member:
    url = f"ws://127.0.0.1:{port}/rooms/{room}"
    return Member(await connect(url, max_size=None, open_timeout=20, close_timeout=20, max_queue=None))


async def open_room(redis: Redis | Nats | Guarded, ports: list[int], name: str) -> Room:
    members = []
    for port in ports:
        first = await enter(port, name)
        await first.until("the room is shared", "* shared")
        members += [first, *[await enter(port, name) for _ in range(MEMBERS - 1)]]
    for member in members:
        await member.until("welcome", "* welcome")
    return Room(redis, members)


async def exchange(room: Room) -> None:
    await asyncio.gather(room.say(0, 200), room.say(1, 200))
    await room.settle()
    # A server of NATS keeps the order of each publisher only, which `judge` looks at.
    in_one_order = isinstance(room.redis, Redis)
    sequences = {tuple(member.said() if in_one_order else sorted(member.said())) for member in room.members}
    order = ", in the same order" if in_one_order else ""
    checks.equal(f"everybody receives the same{order}, across processes", len(sequences), 1)
    expected = sum(room.numbers)
    checks.equal("everything, once", {len(member.said()) for member in room.members}, {expected})
    room.judge("exchange")
    if isinstance(room.redis, Redis):
        answer = room.redis.ask("PUBSUB NUMSUB lws/room/exchange")
        checks.equal("each process has subscribed once", answer.split("\r\n")[-2], ":2")


async def latency(room: Room) -> None:
    """Deliveries in the other process, beside an idle broker. What a busy machine makes of it is reported, and not judged."""
    times = []
    listener = room.members[MEMBERS]
    for _ in range(200):
        begun = time.perf_counter()
        await room.say(0, 1)
        line = f"A {room.numbers[0]}"
        while line not in listener.lines[-3:]:
            await asyncio.sleep(0)
        times.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(0.002)
    times.sort()
    print(f"through two processes: median {times[100]:.2f} ms, 95 % under {times[190]:.2f} ms")
    checks.check("a delivery takes no tenth of a second", times[190] < 100, times[190])


async def killed(room: Room) -> None:
    for _ in range(2):
        talk = asyncio.gather(room.say(0, 300, 0.001), room.say(1, 300, 0.001))
        await asyncio.sleep(0.1)
        room.redis.kill()
        await asyncio.sleep(0.1)
        room.redis.start()
        await talk
        await room.settle()
    room.judge("killed")
    checks.check("each of two connections that were lost is a gap", min(room.gaps()) >= 2, room.gaps())


async def cut_off(room: Room) -> None:
    for _ in range(3):
        talk = asyncio.gather(room.say(0, 100, 0.001), room.say(1, 100, 0.001))
        await asyncio.sleep(0.05)
        checks.equal("both are cut off", room.redis.ask("CLIENT KILL TYPE pubsub"), ":2\r\n")
        await talk
        await room.settle()
    room.judge("cut off")
    checks.check("each is a gap", min(room.gaps()) >= 3, room.gaps())


async def stopped(room: Room) -> None:
    room.redis.process.send_signal(signal.SIGSTOP)
    try:
        # More than may wait, in the kernel as well.
        await room.say(0, 30_000)
        refused = "* not sent: for the broker of the topic: as many publications as may wait for the broker are waiting"
        await room.members[0].until("what is too much is refused", refused)
    finally:
        room.redis.process.send_signal(signal.SIGCONT)
    await room.settle()
    # A hole is what was refused, and no one else's loss: the numbers of A are not judged.
    said = [line for line in room.members[MEMBERS].said() if line.startswith("A")]
    numbers = [int(line.split(" ")[1]) for line in said]
    checks.check("what was accepted arrives in order, once", numbers == sorted(set(numbers)) and len(numbers) > 4_096)
    checks.equal("without a gap", room.gaps(), [0] * len(room.members))


async def recovered(room: Room) -> None:
    """Only the process that listens is cut off: history fills in everything."""
    for _ in range(3):
        talk = asyncio.create_task(room.say(0, 200, 0.001))
        await asyncio.sleep(0.05)
        clients = room.redis.ask("CLIENT LIST TYPE pubsub").splitlines()
        ids = [line.split(" ")[0].removeprefix("id=") for line in clients if "name=listener" in line]
        checks.equal("it is cut off", room.redis.ask(f"CLIENT KILL ID {ids[0]}"), ":1\r\n")
        await talk
        await room.settle()
    room.judge("recovered")
    checks.equal("nothing is missing", room.gaps(), [0] * len(room.members))
    for speaker in "A":
        said = [line for line in room.members[MEMBERS].said() if line.startswith(speaker)]
        checks.equal(f"everything of {speaker} is there", len(said), room.numbers[0])


async def kept(room: Room) -> None:
    """A server that is killed while no one speaks, and keeps its store."""
    for _ in range(2):
        await asyncio.gather(room.say(0, 100, 0.001), room.say(1, 100, 0.001))
        await room.settle()
        room.redis.kill()
        await asyncio.sleep(0.1)
        await room.say(0, 20)
        room.redis.start()
        await room.settle()
    room.judge("kept")
    checks.equal("nothing is missing", room.gaps(), [0] * len(room.members))


async def failed_over(room: Room) -> None:
    """The primary dies, and its replica takes its place."""
    await asyncio.gather(room.say(0, 100, 0.001), room.say(1, 100, 0.001))
    await room.settle()
    room.redis.kill()
    await asyncio.sleep(0.1)
    await room.settle()
    room.judge("failed over")
    checks.check("what the replica may lack is a gap", min(room.gaps()) >= 1, room.gaps())


async def fan_out(process: subprocess.Popen, port: int) -> float:
    """Processor time of a server, in microseconds for each delivery of 128 octets."""
    count, messages, rounds = 200, 50, 3
    speaker = await enter(port, "crowd")
    listeners = [await enter(port, "crowd") for _ in range(count)]
    for member in [speaker, *listeners]:
        # Its greeting, which each example has its own words for.
        while not member.lines:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)

    def spent() -> int:
        tasks = Path(f"/proc/{process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)

    best = float("inf")
    for turn in range(rounds):
        before = spent()
        for number in range(messages):
            await speaker.peer.send(f"{turn} {number} ".ljust(128, "x"))
            last = f"{turn} {number} ".ljust(128, "x")
            while any(member.lines[-1] != last for member in listeners):
                await asyncio.sleep(0)
        best = min(best, (spent() - before) / 1000 / messages / count)
    for member in [speaker, *listeners]:
        await member.peer.close()
    return best


def compare(redis: Redis) -> None:
    """What a delivery costs by way of the broker, beside the same within one process."""
    with checks.scenario("fan-out"):
        costs = []
        for command in [[os.environ.get("ROOMS", "target/debug/examples/rooms")], [BINARY, f"redis://127.0.0.1:{redis.port}"]]:
            port = free_port()
            command.insert(1, f"127.0.0.1:{port}")
            with running(command, port, stderr=subprocess.DEVNULL) as process:
                costs.append(asyncio.run(fan_out(process, port)))
        local, shared = costs
        print(f"to 200 subscribers: {local:.2f} us a delivery locally, {shared:.2f} us by the broker: {shared / local:.2f}")
        checks.check("a delivery by the broker costs what it costs locally, within a half", shared < local * 1.5, costs)


@contextmanager
def processes(redis: Redis | Nats | Guarded, urls: list[str]) -> Iterator[list[int]]:
    with ExitStack() as stack:
        ports = []
        for url, threads in zip(urls, ["1", "3"], strict=True):
            port = free_port()
            environment = {**os.environ, "SSL_CERT_FILE": redis.certificate}
            command = [BINARY, f"127.0.0.1:{port}", url, threads]
            stack.enter_context(running(command, port, stderr=subprocess.DEVNULL, env=environment))
            ports.append(port)
        yield ports


@contextmanager
def process(url: str, threads: str) -> Iterator[tuple[subprocess.Popen, int]]:
    port = free_port()
    with running([BINARY, f"127.0.0.1:{port}", url, threads], port, stderr=subprocess.DEVNULL) as server:
        yield server, port


async def shared_room(ports: list[int], name: str) -> list[Member]:
    """A member of the room in each process, all of whom hear each other."""
    members = [await enter(port, name) for port in ports]
    for member in members:
        await member.until("the room is shared", "* shared")
    return members


def holes(lines: list[str]) -> str:
    """What is wrong with sequences of which nothing may be missing."""
    last: dict[str, int] = {}
    for line in lines:
        speaker, number = line.split(" ")[:2]
        if speaker in last and int(number) != last[speaker] + 1:
            return f"{line} after {last[speaker]}"
        last[speaker] = int(number)
    return ""


async def replaced(url: str) -> None:
    """A rolling restart: each of two processes is replaced, the new one begins first, and someone talks all the time."""
    with ExitStack() as stack:
        servers = [stack.enter_context(process(url, threads)) for threads in ["1", "3"]]
        members = await shared_room([port for _, port in servers], "replaced")
        talk, number = True, [0] * 4

        async def speak(who: int) -> None:
            while talk and members[who].reader and not members[who].reader.done():
                number[who] += 1
                try:
                    await members[who].peer.send(f"{'ABCD'[who]} {number[who]}")
                except ConnectionClosed:
                    return
                await asyncio.sleep(0.002)

        speakers = [asyncio.create_task(speak(who)) for who in range(2)]
        for old in range(2):
            await asyncio.sleep(0.3)
            servers.append(stack.enter_context(process(url, "2")))
            members += await shared_room([servers[-1][1]], "replaced")
            speakers.append(asyncio.create_task(speak(len(members) - 1)))
            await asyncio.sleep(0.3)
            # Its member is silent first: what is on its way to a server that ends is no one's yet.
            speakers[old].cancel()
            await asyncio.sleep(0.2)
            servers[old][0].send_signal(signal.SIGTERM)
            await asyncio.to_thread(servers[old][0].wait, 20)
        await asyncio.sleep(0.3)
        talk = False
        await asyncio.gather(*speakers, return_exceptions=True)
        for member in members[2:]:
            for who in "CD":
                await member.until("the last words", f"{who} {number['ABCD'.index(who)]}")
        checks.equal("a rolling restart leaves no gap", [member.lines.count(GAP) for member in members], [0] * 4)
        wrong = [found for member in members if (found := holes(member.said()))]
        checks.check("and nothing is missing, or there twice", not wrong, wrong)
        heard = {line.split(" ")[0] for line in members[2].said()}
        checks.equal("those who spoke meanwhile were heard in another process", heard, {"A", "B", "C", "D"})
        folder = Path(url.removeprefix("mesh:"))
        checks.equal("two processes are left in the folder", len(list(folder.iterdir())), 2)
        servers[2][0].kill()
        await members[3].until("one that is killed leaves a gap", GAP)
        give_up = time.monotonic() + 20
        while len(list(folder.iterdir())) > 1 and time.monotonic() < give_up:
            await asyncio.sleep(0.01)
        checks.equal("and its socket is removed", len(list(folder.iterdir())), 1)
        for member in members:
            await member.peer.close()


async def scenario(redis: Redis | Nats | Guarded, ports: list[int], check: object) -> None:
    with checks.scenario(check.__name__):
        room = await open_room(redis, ports, check.__name__)
        await asyncio.wait_for(check(room), 60)
        for member in room.members:
            await member.peer.close()


with tempfile.TemporaryDirectory() as directory:
    redis = Redis(directory)
    try:
        plain = f"redis://127.0.0.1:{redis.port}"
        with processes(redis, [plain, plain]) as ports:
            for check in [exchange, latency, killed, cut_off, stopped]:
                asyncio.run(scenario(redis, ports, check))
        # One of them by TLS.
        urls = [f"{plain}?history=2000", f"rediss://localhost:{redis.tls_port}?history=2000&name=listener"]
        with processes(redis, urls) as ports:
            for check in [exchange, recovered]:
                asyncio.run(scenario(redis, ports, check))
        compare(redis)
    finally:
        redis.kill()
nats = Nats()
try:
    with processes(nats, [f"nats://127.0.0.1:{nats.port}"] * 2) as ports:
        for check in [exchange, latency, killed, stopped]:
            asyncio.run(scenario(nats, ports, check))
finally:
    nats.kill()
with tempfile.TemporaryDirectory() as directory:
    nats = Nats(directory)
    try:
        # TLS begins behind the first line; what is missing is in the stream.
        with processes(nats, [f"tls://localhost:{nats.port}?history=2000"] * 2) as ports:
            for check in [exchange, latency, kept]:
                asyncio.run(scenario(nats, ports, check))
    finally:
        nats.kill()
with tempfile.TemporaryDirectory() as directory:
    guarded = Guarded(directory)
    try:
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{guarded.ports[2]}/main?history=2000"
        with processes(guarded, [url] * 2) as ports:
            asyncio.run(scenario(guarded, ports, failed_over))
    finally:
        guarded.end()
with tempfile.TemporaryDirectory() as directory, checks.scenario("replaced"):
    asyncio.run(asyncio.wait_for(replaced(f"mesh:{directory}/rooms"), 120))
checks.finish()
