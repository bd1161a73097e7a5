#!/usr/bin/env python3
"""Our client over HTTP/2, against servers that we did not write: nghttpd, Python `hypercorn` and Node `http2`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from checks import Checks, client_binary, free_port, running

checks = Checks("client http2")

HERE = Path(__file__).parent
#: The second client under test lies beside the first.
HTTP2_CLIENT = str(Path(client_binary()).with_name("http2-client"))


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)


def good(name: str, *command: str) -> None:
    """`command` ends with 0 and has nothing to complain of."""
    done = run(*command)
    checks.equal(name, (done.returncode, done.stderr), (0, ""))
    print(done.stdout, end="")


def requests(peer: str, url: str) -> None:
    for count in (1, 500):
        good(f"{peer} answers {count} requests on one connection", HTTP2_CLIENT, url, str(count))


def uploads(peer: str, url: str) -> None:
    for count, size in [(1, 0), (200, 1_000), (20, 200_000), (1, 10_000_000)]:
        good(f"{peer} sends {count} times {size} octets back", HTTP2_CLIENT, url, str(count), str(size))


def websockets(peer: str, url: str) -> None:
    for count in (1, 200):
        good(f"{peer} echoes {count} messages", client_binary(), "--http2", "--echo", url, str(count))


def nghttpd() -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "hello").write_bytes(b"Hello, world!" * 10_000)
        command = ["nghttpd", "--no-tls", "--address=127.0.0.1", "-d", folder]
        with running([*command, str(port)], port):
            requests("nghttpd", f"http://127.0.0.1:{port}/hello")
        port = free_port()
        # Fewer streams than the client has requests waiting and under way, whenever it comes to know of that.
        with running([*command, "--echo-upload", "--max-concurrent-streams=10", str(port)], port):
            uploads("nghttpd", f"http://127.0.0.1:{port}/")
        port = free_port()
        with running([*command, str(port)], port):
            done = run(client_binary(), "--http2", "--echo", f"ws://127.0.0.1:{port}/", "1")
            checks.check("a server without RFC 8441 is reported as such", done.returncode == 1 and "handshake" in done.stderr, done.stderr)


def main() -> None:
    with checks.scenario("nghttpd"):
        nghttpd()
    for peer, command in [
        ("Python hypercorn", [sys.executable, str(HERE / "http2_server.py")]),
        ("Node http2", ["node", str(HERE / "http2_server.mjs")]),
    ]:
        port = free_port()
        with checks.scenario(peer), running([*command, str(port)], port):
            requests(peer, f"http://127.0.0.1:{port}/")
            uploads(peer, f"http://127.0.0.1:{port}/")
            websockets(peer, f"ws://127.0.0.1:{port}/")
    checks.finish()


if __name__ == "__main__":
    main()
