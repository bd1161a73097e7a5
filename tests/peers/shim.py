#!/usr/bin/env python3
"""The programs of `lws-shim/programs`, written for libwebsockets, on this project's library and, where it is installed, on libwebsockets itself:
what peers see of both is the same.

    shim.py OURS [ORIGINAL]   folders of programs that were built against the one and the other
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from checks import Checks, free_port
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect
from websockets.sync.server import serve

OURS = Path(sys.argv[1])
ORIGINAL = Path(sys.argv[2]) if len(sys.argv) > 2 else None
PATIENCE = 20

checks = Checks("shim")

Observation = object
Scenario = Callable[[Path], list[Observation]]


def start(program: Path, port: int, *arguments: str) -> subprocess.Popen[str]:
    command = [str(program), str(port), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens at {port}")


@contextmanager
def running(program: Path, *arguments: str) -> Iterator[tuple[int, list[Observation]]]:
    """Runs a server, and notes with which status it ended."""
    port, seen = free_port(), []
    process = start(program, port, *arguments)
    try:
        wait_for(port, process)
        yield port, seen
        process.send_signal(signal.SIGTERM)
        # libwebsockets 4.1 notices no signal while it waits.
        with socket.socket() as probe:
            probe.connect_ex(("127.0.0.1", port))
            seen.append(("ended", process.wait(PATIENCE)))
    finally:
        process.kill()
        process.wait()


def curl(url: str, *arguments: str) -> tuple[str, str]:
    """Status and content; of the head what a program decides."""
    command = ["curl", "-sS", "--http1.1", "--max-time", str(PATIENCE), "-w", "\n%{http_code} %{content_type} %{redirect_url}", *arguments, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    content, _, status = done.stdout.rpartition("\n")
    # Ours says the character set of its files.
    return status.replace("; charset=utf-8", ""), content


def websocket(port: int, protocol: str):
    return connect(f"ws://127.0.0.1:{port}/", subprotocols=[protocol], open_timeout=PATIENCE, compression=None)


def files(program: Path) -> list[Observation]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "index.html").write_text("<h1>hello</h1>")
        (Path(folder) / "large.txt").write_text("line\n" * 40_000)
        with running(program, folder) as (port, seen):
            base = f"http://127.0.0.1:{port}"
            seen.append(curl(f"{base}/"))
            seen.append(curl(f"{base}/large.txt"))
            seen.append(curl(f"{base}/missing.txt", "-o", "/dev/null")[0].split()[0])
            seen.append(curl(f"{base}/old/page", "-o", "/dev/null", "-w", "\n%{http_code} %{redirect_url}"))
    return seen


def dynamic(program: Path) -> list[Observation]:
    with running(program) as (port, seen):
        seen.append(curl(f"http://127.0.0.1:{port}/dyn/some/path"))
        seen.append(curl(f"http://127.0.0.1:{port}/dyn"))
        seen.append(curl(f"http://127.0.0.1:{port}/dyn/x", "-o", "/dev/null", "-w", "%header{x-made-by}"))
    return seen


def post(program: Path) -> list[Observation]:
    with running(program) as (port, seen), tempfile.NamedTemporaryFile() as large:
        large.write(bytes(range(256)) * 2000)
        large.flush()
        url = f"http://127.0.0.1:{port}/upload"
        seen.append(curl(url, "--data-binary", "small"))
        seen.append(curl(url, "-H", "Expect:", "--data-binary", f"@{large.name}"))
        seen.append(curl(url, "-o", "/dev/null")[0].split()[0])
    return seen


def echo(program: Path) -> list[Observation]:
    with running(program) as (port, seen), websocket(port, "echo") as peer:
        seen.append(peer.subprotocol)
        for message in ["hello", "ü" * 500, b"\0\1\2", "x" * 30_000]:
            peer.send(message)
            seen.append(peer.recv(PATIENCE) == message)
        peer.ping().wait(PATIENCE)
        peer.send("close")
        try:
            peer.recv(PATIENCE)
        except ConnectionClosed as closed:
            seen.append(closed.rcvd and (closed.rcvd.code, closed.rcvd.reason))
    return seen


def broadcast(program: Path) -> list[Observation]:
    with running(program) as (port, seen), websocket(port, "room") as first, websocket(port, "room") as second, websocket(port, "quiet") as quiet:
        seen.append([peer.subprotocol for peer in (first, second, quiet)])
        for number, peer in enumerate([first, second, first]):
            peer.send(f"message {number}")
            seen.append([first.recv(PATIENCE), second.recv(PATIENCE)])
        try:
            quiet.recv(0.1)
        except TimeoutError:
            seen.append("nothing for the other protocol")
        try:
            websocket(port, "unknown")
        except (InvalidHandshake, EOFError, OSError):
            seen.append("an unknown protocol is refused")
    return seen


def threads(program: Path) -> list[Observation]:
    with running(program) as (port, seen), websocket(port, "items") as peer:
        received = [peer.recv(PATIENCE) for _ in range(16)]
        for thread in ("first", "second"):
            seen.append([message for message in received if message.startswith(thread)])
    return seen


def timers(program: Path) -> list[Observation]:
    with running(program) as (port, seen), websocket(port, "beat") as peer:
        seen.extend(peer.recv(PATIENCE).split()[0] for _ in range(3))
        try:
            peer.recv(0.2)
        except TimeoutError:
            seen.append("and no more")
    return seen


def receive(peer: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size and (piece := peer.recv(size - len(received))):
        received += piece
    return received


def raw(program: Path) -> list[Observation]:
    with running(program) as (port, seen), socket.create_connection(("127.0.0.1", port), PATIENCE) as peer:
        seen.append(receive(peer, 6))
        peer.sendall(b"\0to and fro")
        seen.append(receive(peer, 11))
        peer.sendall(b"bye")
        seen.append(receive(peer, 100))
    return seen


def udp(program: Path) -> list[Observation]:
    port, seen = free_port(), []
    process = start(program, port)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(0.2)
            for _ in range(100):
                peer.sendto(b"is it there", ("127.0.0.1", port))
                try:
                    peer.recv(64)
                    break
                except (TimeoutError, ConnectionRefusedError):
                    time.sleep(0.02)
            peer.settimeout(PATIENCE)
            for message in (b"one", b"two" * 300, b""):
                peer.sendto(message or b"last", ("127.0.0.1", port))
                seen.append(peer.recv(2000))
            process.send_signal(signal.SIGTERM)
            peer.sendto(b"look", ("127.0.0.1", port))
        seen.append(("ended", process.wait(PATIENCE)))
    finally:
        process.kill()
        process.wait()
    return seen


def pipe(program: Path) -> list[Observation]:
    port, seen = free_port(), []
    process = start(program, port)
    try:
        wait_for(port, process)
        with websocket(port, "lines") as first, websocket(port, "lines") as second:
            for peer in (first, second):
                peer.ping().wait(PATIENCE)
            process.stdin.write("a line\n")
            process.stdin.flush()
            seen.append([first.recv(PATIENCE), second.recv(PATIENCE)])
            process.stdin.close()
            seen.append(("ended", process.wait(PATIENCE)))
    finally:
        process.kill()
        process.wait()
    return seen


def ws_client(program: Path) -> list[Observation]:
    seen = []

    def handle(peer) -> None:
        seen.append(peer.subprotocol)
        for message in peer:
            seen.append(message)
            peer.send(message)
        seen.append(peer.protocol.close_code)

    with serve(handle, "127.0.0.1", 0, subprotocols=["echo"], compression=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run([str(program), str(server.socket.getsockname()[1])], capture_output=True, text=True, timeout=PATIENCE, check=False)
        server.shutdown()
    seen.append((done.returncode, done.stdout.splitlines()))
    gone = subprocess.run([str(program), str(free_port())], capture_output=True, text=True, timeout=PATIENCE, check=False)
    seen.append((gone.returncode, gone.stdout.splitlines()))
    return seen


def http_client(program: Path) -> list[Observation]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "page.txt").write_text("line\n" * 3000)
        port, seen = free_port(), []
        server = subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "-d", folder, str(port)], stderr=subprocess.DEVNULL)
        try:
            wait_for(port, server)
            for path in ("/page.txt", "/missing"):
                done = subprocess.run([str(program), str(port), path], capture_output=True, text=True, timeout=PATIENCE, check=False)
                lines = done.stdout.splitlines()
                seen.append((done.returncode, lines[0], len(lines) if path == "/page.txt" else 0, lines[-1]))
        finally:
            server.kill()
            server.wait()
    return seen


def external_poll(program: Path) -> list[Observation]:
    port, seen = free_port(), []
    process = start(program, port)
    try:
        wait_for(port, process)
        with websocket(port, "echo") as first, websocket(port, "echo") as second:
            for peer in (first, second):
                for message in ["hello", "x" * 20_000, "again"]:
                    peer.send(message)
                    seen.append(peer.recv(PATIENCE) == message)
            process.stdin.close()
            seen.append(("ended", process.wait(PATIENCE)))
    finally:
        process.kill()
        process.wait()
    checks.equal("a program polls by itself", seen, [True] * 6 + [("ended", 0)])
    return seen


SCENARIOS: list[Scenario] = [files, dynamic, post, echo, broadcast, threads, timers, raw, udp, pipe, ws_client, http_client, external_poll]


def main() -> None:
    for scenario in SCENARIOS:
        name = scenario.__name__
        with checks.scenario(name):
            ours = scenario(OURS / name)
            checks.check(f"{name} has been seen at work", bool(ours))
            # Debian's libwebsockets was built without external polling.
            if ORIGINAL is not None and (ORIGINAL / name).exists():
                theirs = scenario(ORIGINAL / name)
                checks.equal(f"{name} is the same on both", json.dumps(ours, default=repr, indent=1), json.dumps(theirs, default=repr, indent=1))
    checks.finish()


main()
