#!/usr/bin/env python3
"""A response that cannot be completed is never one that looks complete: a file that becomes shorter while it is sent, as curl, nghttp,
Python `h2` and Node get it. `cut_responses.mjs` is Node's part.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from checks import Checks, server

checks = Checks("cut responses")

#: Octets of the file: more than buffers on the way hold, so that some are not yet read when it is cut.
FILE = 64 << 20
#: What is left of it.
LEFT = 1_000
SECONDS = 60
#: Error codes that clients take for a response that is complete: hyper, for one, ends the content without an error. RFC 9113 §7.
LOOKS_COMPLETE = {0: "NO_ERROR", 8: "CANCEL"}


@contextmanager
def file_in(folder: Path) -> Iterator[Path]:
    """A whole file, again for each client."""
    path = folder / "large.bin"
    with path.open("wb") as file:
        file.truncate(FILE)
    yield path


def cut(path: Path) -> None:
    os.truncate(path, LEFT)


def by_program(name: str, path: Path, *command: str) -> None:
    """A client that writes what it gets to a pipe, which is read once, then after the cut to its end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        first = process.stdout.read(1_000)
        cut(path)
        rest, said = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        process.wait()
    got = len(first) + len(rest)
    checks.check(f"{name}: the response was cut", 0 < got < FILE, got)
    checks.check(f"{name}: and that is an error", process.returncode != 0, (process.returncode, said))


def by_h2(name: str, path: Path, port: int) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as peer:
        connection.initiate_connection()
        head = [(":method", "GET"), (":scheme", "http"), (":authority", f"127.0.0.1:{port}"), (":path", "/large.bin")]
        connection.send_headers(1, head, end_stream=True)
        peer.sendall(connection.data_to_send())
        end, seen = None, 0
        while end is None:
            octets = peer.recv(65_536)
            if not octets:
                break
            for event in connection.receive_data(octets):
                match event:
                    case h2.events.DataReceived():
                        if seen == 0:
                            cut(path)
                        seen += len(event.data)
                        connection.acknowledge_received_data(event.flow_controlled_length, 1)
                    case h2.events.StreamEnded():
                        end = "END_STREAM"
                    case h2.events.StreamReset():
                        end = int(event.error_code)
            peer.sendall(connection.data_to_send())
    checks.check(f"{name}: the response was cut", 0 < seen < FILE, seen)
    checks.check(f"{name}: it ends with an error code", isinstance(end, int), end)
    checks.check(f"{name}: which no client takes for success", end not in LOOKS_COMPLETE, LOOKS_COMPLETE.get(end))


def by_node(path: Path, port: int) -> None:
    script = Path(__file__).parent / "cut_responses.mjs"
    for protocol in ("http1", "http2"):
        with file_in(path.parent):
            done = subprocess.run(["node", str(script), protocol, str(port), str(path)], capture_output=True, text=True, timeout=SECONDS, check=False)
        checks.equal(f"Node, {protocol}: the response was cut, and that is an error", done.stdout.strip() or done.stderr, "cut")


def main() -> None:
    with tempfile.TemporaryDirectory() as name, checks.scenario("a file becomes shorter"), server(directory=Path(name)) as port:
        folder, url = Path(name), f"http://127.0.0.1:{port}/large.bin"
        for client, *command in [
            ("curl", "curl", "--silent", "--show-error"),
            ("curl over HTTP/2", "curl", "--silent", "--show-error", "--http2-prior-knowledge"),
        ]:
            with checks.scenario(client), file_in(folder) as path:
                by_program(client, path, *command, url)
        with checks.scenario("h2"), file_in(folder) as path:
            by_h2("h2", path, port)
        with checks.scenario("Node"):
            by_node(folder / "large.bin", port)
    checks.finish()


if __name__ == "__main__":
    main()
