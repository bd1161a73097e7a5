#!/usr/bin/env python3
"""Our server writes down what happens to its connections: they can be replayed, Wireshark reads them, and credentials are in neither.

LWSWS names a server that was built with `--features record`, LWS_REPLAY the program that replays.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

from websockets.asyncio.client import connect

from checks import Checks, free_port, running, server_binary

checks = Checks("records")

REPLAY = os.environ.get("LWS_REPLAY", "target/debug/lws-replay")
SECRET = "s3cr3t-t0ken"
COOKIE = ("-H", f"Cookie: session={SECRET}; other={SECRET}")
FIELDS = (*COOKIE, "-H", f"Authorization: Bearer {SECRET}", "-H", f"Proxy-Authorization: Basic {SECRET}")
SECONDS = 60


def run(*command: str, content: bytes | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(command, input=content, capture_output=True, timeout=SECONDS, check=False)


async def talk(url: str, *, compressed: bool) -> list[str]:
    """A WebSocket: what came back."""
    headers = {"Cookie": f"session={SECRET}"}
    compression = "deflate" if compressed else None
    async with connect(url, compression=compression, additional_headers=headers) as peer:
        back = []
        for message in ("first", "x" * 5_000, "first"):
            await peer.send(message)
            back.append(await peer.recv())
        await peer.ping()
        return back


def ask(base: str, websocket: str, *options: str) -> None:
    """Exchanges over HTTP/1.1 and HTTP/2, and WebSockets."""
    for version in ("--http1.1", "--http2-prior-knowledge" if base.startswith("http:") else "--http2"):
        done = run("curl", "--silent", *options, version, *FIELDS, f"{base}/hello")
        checks.equal(f"{base} {version}: served while it is recorded", done.stdout, b"Hello, world!")
        content = os.urandom(300_000)
        done = run("curl", "--silent", *options, version, *FIELDS, "--data-binary", "@-", f"{base}/echo", content=content)
        checks.check(f"{base} {version}: 300 kB come back", done.stdout == content, len(done.stdout))
    if websocket:
        done = run("nghttp", "-m", "20", *FIELDS, f"{base}/hello")
        checks.equal(f"{base}: twenty streams of one connection", done.stdout, b"Hello, world!" * 20)
        for compressed in (False, True):
            back = asyncio.run(talk(websocket, compressed=compressed))
            checks.equal(f"{websocket}: messages come back, compressed: {compressed}", back, ["first", "x" * 5_000, "first"])


def recorded(folder: Path, *arguments: str) -> None:
    """Runs a server that records into `folder`, until it has been asked everything."""
    port = free_port()
    secure = "--tls-self-signed" in arguments
    command = [server_binary(), "--port", str(port), "--record", str(folder), "--deflate=server_no_context_takeover=0,threshold=0", *arguments]
    with running(command, port, stdout=subprocess.PIPE, text=True) as process:
        scheme = "https" if secure else "http"
        ask(f"{scheme}://127.0.0.1:{port}", "" if secure else f"ws://127.0.0.1:{port}/echo", *(["--insecure"] if secure else []))
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=SECONDS)
    checks.check(f"the log warns of it {arguments}", "WARNING" in said and str(folder) in said, said)


def fields(capture: Path, show: str, name: str) -> list[str]:
    """A field of all packets that `show` selects."""
    done = run("tshark", "-n", "-r", str(capture), "-Y", show, "-T", "fields", "-e", name)
    return done.stdout.decode().split()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        plain, secure, nobody = Path(name, "plain"), Path(name, "secure"), Path(name, "nobody")
        with checks.scenario("a server that records"):
            recorded(plain)
            recorded(secure, "--tls-self-signed")
            recorded(nobody, "--record-peer", "192.0.2.1")
        records = sorted(file for folder in (plain, secure) for file in folder.glob("*.lwsrec"))
        captures = sorted(file for folder in (plain, secure) for file in folder.glob("*.pcapng"))
        checks.check("there is a record for each connection", len(records) > 8 and len(records) == len(captures), (records, captures))
        checks.equal("and none for those of others", list(nobody.iterdir()), [])
        modes = {stat.S_IMODE(file.stat().st_mode) for file in records + captures}
        checks.equal("only their owner can read them", modes, {0o600})
        with checks.scenario("replays"):
            done = run(REPLAY, *map(str, records))
            checks.check("each connection goes again as it went", done.returncode == 0, done.stdout.decode())
            checks.check("and to its end", b"cannot be replayed" not in done.stdout, done.stdout.decode())
            corpus = Path(name, "corpus")
            run(REPLAY, "--corpus", str(corpus), *map(str, records))
            checks.equal("each becomes an input of a fuzzer", len(list(corpus.iterdir())), len(records))
        found = [file.name for file in records + captures if SECRET.encode() in file.read_bytes()]
        checks.equal("no credential is in any file", found, [])
        with checks.scenario("Wireshark"):
            paths = [path for capture in captures for path in fields(capture, "http.request", "http.request.uri")]
            checks.check("finds requests of HTTP/1.1", "/hello" in paths and "/echo" in paths, paths)
            paths = [path for capture in captures for path in fields(capture, "http2.headers.path", "http2.headers.path")]
            checks.check("finds requests of HTTP/2", "/hello" in paths, paths)
            messages = [message for capture in captures for message in fields(capture, "websocket", "websocket.payload.text")]
            checks.check("finds messages of WebSockets", "first" in messages, messages)
            shown = b"".join(run("tshark", "-n", "-V", "-r", str(capture)).stdout for capture in captures)
            checks.check("shows no credential", SECRET.encode() not in shown)
            checks.check("finds nothing malformed", b"Malformed Packet" not in shown)
    checks.finish()


if __name__ == "__main__":
    main()
