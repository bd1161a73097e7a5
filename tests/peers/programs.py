"""Programs that serve an echo: started, driven by foreign peers, and asked to end."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from checks import Checks
from websockets.sync.client import connect

#: Seconds that anything may take.
PATIENCE = 20


class Program:
    """A program that runs, and the lines that it prints."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
        )
        # One that prints nothing is ended, so that nothing waits for it for ever.
        self.limit = threading.Timer(6 * PATIENCE, self.process.kill)
        self.limit.start()

    def line(self, start: str) -> str:
        """What stands behind `start` in the next line that begins so."""
        for line in self.process.stdout:
            if line.startswith(start):
                return line.removeprefix(start).strip()
        raise RuntimeError(f"it ended without a line that begins with {start!r}")


@contextmanager
def running(checks: Checks, name: str, command: list[str], environment: dict[str, str] | None = None) -> Iterator[Program]:
    """Starts a program, and checks how it ends once it was told to."""
    program = Program(command, environment)
    try:
        yield program
        checks.equal(f"{name} ends well", program.process.wait(PATIENCE), 0)
    finally:
        program.limit.cancel()
        program.process.kill()
        program.process.wait()


def curl(*arguments: str) -> str:
    done = subprocess.run(["curl", "-sS", "--max-time", str(PATIENCE), *arguments], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def stop(checks: Checks, address: str) -> None:
    checks.equal("it is asked to end", curl("-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", f"http://{address}/stop"), "202")


def echo(checks: Checks, name: str, address: str) -> None:
    """A page over HTTP/1.1 and HTTP/2, and messages that come back."""
    checks.check(f"{name} serves a page", "WebSockets at /echo" in curl(f"http://{address}/"))
    version = curl("--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version}", f"http://{address}/")
    checks.equal(f"{name} serves it over HTTP/2", version, "2")
    with connect(f"ws://{address}/echo", open_timeout=PATIENCE, max_size=None) as websocket:
        for message in ["hello", "", "ü" * 1000, b"\0" * 125, b"x" * 70_000, b"y" * 900_000]:
            websocket.send(message)
            checks.check(f"{name} echoes {len(message)}", websocket.recv(PATIENCE) == message)
        for number in range(200):
            websocket.send(f"message {number}")
        came = [websocket.recv(PATIENCE) for _ in range(200)]
        checks.equal(f"{name} echoes many in order", came, [f"message {number}" for number in range(200)])
        # Behind a second of nothing it is awake at once.
        websocket.ping().wait(PATIENCE)
