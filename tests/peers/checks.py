"""What every peer script shares: counting checks, and keeping a program under test running.

Knows nothing about HTTP or WebSocket. A check prints one line, `ok` or `FAIL`, and a script ends
with `N passed, N failed` and exits 1 when anything failed, or when nothing was checked at all.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Seconds that a program may take to listen, and to go after SIGTERM.
START_SECONDS = 15
STOP_SECONDS = 15


class Checks:
    """Counts checks and prints a line for each."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.passed = 0
        self.failed = 0

    def check(self, name: str, good: bool, seen: object = "") -> bool:
        """One fact. `seen` is printed when the fact does not hold."""
        if good:
            self.passed += 1
            print(f"ok   {self.title}: {name}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL {self.title}: {name}: {str(seen)[:400]}", flush=True)
        return good

    def equal(self, name: str, actual: object, expected: object) -> bool:
        """`actual` must equal `expected`."""
        return self.check(name, actual == expected, f"got {actual!r}, expected {expected!r}")

    @contextmanager
    def scenario(self, name: str) -> Iterator[None]:
        """A group of steps: an exception in it is one failed check, and the script goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever a peer library raises is the finding
            self.check(name, False, f"{type(error).__name__}: {error}")
            traceback.print_exc()

    def finish(self) -> None:
        """Prints the closing line and ends the program."""
        if self.passed + self.failed == 0:
            self.check("the script ran a check", False)
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed else 0)


def server_binary() -> str:
    """The server under test, named by the environment variable `LWSWS`."""
    return os.environ.get("LWSWS", "target/release/lwsws")


def server_options() -> list[str]:
    """Options that the server under test gets besides those of a check, from the environment variable `LWSWS_OPTIONS`: `--loop uv`, say."""
    return os.environ.get("LWSWS_OPTIONS", "").split()


def client_binary() -> str:
    """The client under test, named by the environment variable `LWS_CLIENT`."""
    return os.environ.get("LWS_CLIENT", "target/release/autobahn-client")


def free_port() -> int:
    """A port of the loopback address without a listener at this moment. The system chooses none below 32,768 itself, so that
    no connection that is made meanwhile takes it."""
    for _ in range(100):
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("of a hundred ports not one is free")


def wait_for_port(port: int, process: subprocess.Popen | None = None) -> None:
    """Returns once connections to `port` are accepted; raises when `process` ends first or time is up."""
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process is not None and process.poll() is not None:
                raise RuntimeError(f"ended with {process.returncode} before it listened") from None
            if time.monotonic() > give_up:
                raise TimeoutError(f"there is no listener on port {port}") from None
            time.sleep(0.02)


def accepts(port: int) -> bool:
    """Whether a new connection to `port` is taken."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True
    except OSError:
        return False


@contextmanager
def running(command: list[str], port: int, **options: object) -> Iterator[subprocess.Popen]:
    """Runs `command` until the block ends, then asks it to stop and insists if it must."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    try:
        wait_for_port(port, process)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def server(*arguments: str, directory: Path | None = None) -> Iterator[int]:
    """Runs the server under test on a free port, and gives the port."""
    port = free_port()
    command = [server_binary(), *([str(directory)] if directory else [])]
    with running([*command, "--port", str(port), "--quiet", *server_options(), *arguments], port):
        yield port
