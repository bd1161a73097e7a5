#!/usr/bin/env python3
"""Spans of `tracing`, which our server writes to standard error: one for each connection, in it one for each request, on whatever loop it runs."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from pathlib import Path

from websockets.asyncio.client import connect

from checks import Checks, free_port, running, server_binary, server_options

checks = Checks("spans")

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#: Seconds until a line is there.
PATIENCE = 10


def curl(port: int, *options: str) -> None:
    subprocess.run(["curl", "-s", "-o", "/dev/null", *options, f"http://localhost:{port}/hello"], check=True, timeout=PATIENCE)


async def talk(port: int) -> None:
    async with connect(f"ws://127.0.0.1:{port}/echo") as socket:
        await socket.send("four")
        await socket.recv()


def line_with(log: Path, *words: str) -> str:
    """The first line that has all of these words, soon."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if all(word in line for word in words):
                return line
        time.sleep(0.02)
    return ""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, checks.scenario("spans"):
        log, port = Path(folder, "stderr"), free_port()
        command = [server_binary(), "--port", str(port), "--quiet", "--trace", "debug", *server_options()]
        with log.open("wb") as stderr, running(command, port, stderr=stderr):
            curl(port, "--http1.1", "-H", f"traceparent: {TRACE}")
            curl(port, "--http2-prior-knowledge")
            asyncio.run(talk(port))
            opened = line_with(log, "lws_server::connection: opened")
            checks.check("a connection is a span", all(word in opened for word in ("DEBUG connection{key=", "peer=127.0.0.1:", 'side="server"')), opened)
            for protocol, *words in (("HTTP/1.1", f"traceparent={TRACE}"), ("HTTP/2",)):
                line = line_with(log, "request ended", f'protocol="{protocol}"')
                expected = ("connection{", ":request{key=", 'method="GET" uri=/hello', "status=200", *words)
                checks.check(f"a request over {protocol} is a span in it", all(word in line for word in expected), line)
            line = line_with(log, "WebSocket ended")
            expected = ("connection{", ":request{key=", "messages_in=1 messages_out=1 close_code=1000", "bytes_in=4 bytes_out=4")
            checks.check("a WebSocket says what came and went", all(word in line for word in expected), line)
            checks.check("and the connection why it ended", line_with(log, "lws_server::connection: closed", "requests=1", "cause="), log.read_text()[-400:])
    checks.finish()


if __name__ == "__main__":
    main()
