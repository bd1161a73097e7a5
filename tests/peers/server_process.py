#!/usr/bin/env python3
"""Our server as a program: its arguments, a port that is taken, and how it ends on a signal."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time

import websockets
from websockets.asyncio.client import connect

from checks import Checks, accepts, free_port, running, server_binary, server_options

checks = Checks("program")

#: Seconds within which a server that drains must be gone.
DRAIN_SECONDS = 15


def run(*arguments: str) -> subprocess.CompletedProcess:
    """The program, when it is expected to end by itself."""
    return subprocess.run([server_binary(), *arguments], capture_output=True, text=True, timeout=15, check=False, stdin=subprocess.DEVNULL)


def arguments() -> None:
    done = run("--help")
    checks.equal("--help ends with 0", done.returncode, 0)
    for option in ("--port", "--address"):
        checks.check(f"--help names {option}", option in done.stdout, done.stdout)
    done = run("--version")
    checks.equal("--version ends with 0", done.returncode, 0)

    for name, wrong in [
        ("an unknown option", ["--no-such-option"]),
        ("a port that is no number", ["--port", "many"]),
        ("a port past 65535", ["--port", "65536"]),
        ("a directory that is not there", ["/no/such/directory"]),
        ("an address that is none", ["--address", "not an address"]),
    ]:
        done = run(*wrong)
        checks.check(f"{name} ends with an error", done.returncode not in (0, 101), done.returncode)
        first = done.stderr.strip().split("\n")[0]
        checks.check(f"{name} is named in the first line", bool(first) and "panicked" not in done.stderr, done.stderr)


def busy_port() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = run("--port", str(port))
    checks.check("a busy port ends with an error", done.returncode not in (0, 101), done.returncode)
    lines = done.stderr.strip().split("\n")
    checks.check("a busy port is reported in one line that names it", len(lines) == 1 and str(port) in lines[0], done.stderr)


async def drain(number: signal.Signals) -> None:
    port = free_port()
    with running([server_binary(), "--port", str(port), "--quiet", *server_options()], port) as process:
        async with connect(f"ws://127.0.0.1:{port}/echo", ping_interval=None) as peer:
            await peer.send("before")
            checks.equal(f"{number.name}: served before", await peer.recv(), "before")
            begin = time.monotonic()
            process.send_signal(number)
            try:
                await asyncio.wait_for(peer.recv(), DRAIN_SECONDS)
                checks.check(f"{number.name}: a WebSocket is closed with 1001", False, "it got a message")
            except websockets.ConnectionClosed as closed:
                checks.equal(f"{number.name}: a WebSocket is closed with 1001", closed.rcvd and closed.rcvd.code, 1001)
        status = await asyncio.to_thread(process.wait, DRAIN_SECONDS)
        took = time.monotonic() - begin
    checks.equal(f"{number.name}: ends with 0", status, 0)
    checks.check(f"{number.name}: ends within {DRAIN_SECONDS} s", took < DRAIN_SECONDS, took)
    checks.check(f"{number.name}: there is no listener afterwards", not accepts(port))


def drain_in_the_middle() -> None:
    """A peer that never answers the Close frame cannot hold the server past its deadline, new
    connections are turned away meanwhile, and an exchange under way is finished."""
    port = free_port()
    with running([server_binary(), "--port", str(port), "--quiet", *server_options()], port) as process:
        mute = socket.create_connection(("127.0.0.1", port), timeout=10)
        mute.sendall(
            b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = mute.recv(65536)
        checks.check("the sample key gets the sample answer", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer, answer)
        half = socket.create_connection(("127.0.0.1", port), timeout=10)
        half.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello")
        echoed = b""
        while b"hello" not in echoed:
            echoed += half.recv(65536)
        process.send_signal(signal.SIGTERM)
        frame = mute.recv(65536)
        checks.check("a Close frame with 1001 is on the wire", frame[:1] == b"\x88" and frame[2:4] == (1001).to_bytes(2, "big"), frame)
        give_up = time.monotonic() + 5
        while accepts(port) and time.monotonic() < give_up:
            time.sleep(0.02)
        checks.check("the listener is closed while it drains", not accepts(port))
        half.sendall(b"world")
        rest = b""
        while more := half.recv(65536):
            rest += more
        checks.check("an exchange under way is finished", (echoed + rest).endswith(b"world"), rest)
        try:
            status = process.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            status = "still there"
        checks.equal("a peer that never answers does not hold it past its deadline", status, 0)
        mute.close()
        half.close()


def main() -> None:
    with checks.scenario("arguments"):
        arguments()
    with checks.scenario("busy port"):
        busy_port()
    for number in (signal.SIGTERM, signal.SIGINT):
        with checks.scenario(number.name):
            asyncio.run(drain(number))
    with checks.scenario("drain"):
        drain_in_the_middle()
    checks.finish()


if __name__ == "__main__":
    main()
