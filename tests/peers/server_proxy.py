#!/usr/bin/env python3
"""Our server as a proxy, in front of the servers of others: nginx over TCP, TLS and a Unix socket, nghttpd over HTTP/2 with and without TLS,
WebSockets of Python, node and hypercorn over HTTP/1.1 and HTTP/2, with and without TLS. curl, h2load, and Python's `websockets` and `h2` ask.
Not one request may be lost, and content is compared octet for octet."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import websockets

from certificates import Authority
from checks import Checks, free_port, running, server, server_binary
from nginx import nginx
from server_http2 import Client, WebSocket

checks = Checks("proxy")

#: Requests of h2load, over each version.
REQUESTS = int(os.environ.get("PROXY_REQUESTS", "20000"))
#: Octets of the long file.
LONG = 8 << 20


def nginx_behind(folder: Path, port: int, tls_port: int, pair: tuple[Path, Path]) -> list[str]:
    """Serves the folder on a port, on another one over TLS, where ALPN chooses HTTP/2, and on a Unix socket."""
    return nginx(folder, f"""
  keepalive_requests 1000000;
  server {{
    listen 127.0.0.1:{port};
    listen 127.0.0.1:{tls_port} ssl http2;
    listen unix:{folder}/nginx.sock;
    ssl_certificate {pair[0]};
    ssl_certificate_key {pair[1]};
    root {folder}/www;
    location = /early {{ return 204; }}
    location = /moved {{ return 302 /long; }}
  }}
""")

class Upload(BaseHTTPRequestHandler):
    """Answers a POST with the digest of its content, and a GET with the fields that have come."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        digest = hashlib.sha256()
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                digest.update(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        else:
            digest.update(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(digest.hexdigest())

    def do_GET(self) -> None:
        self.answer("".join(f"{name.lower()}: {value}\n" for name, value in self.headers.items()))

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def uploads() -> Iterator[int]:
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Upload)
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    try:
        yield serving.server_address[1]
    finally:
        serving.shutdown()


def curl(*arguments: str) -> bytes:
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def load(port: int, *arguments: str) -> None:
    """h2load loses nothing."""
    command = ["h2load", "-n", str(REQUESTS), "-c", "50", *arguments, f"http://127.0.0.1:{port}/short"]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text)
    name = f"h2load {' '.join(arguments)} is answered {REQUESTS} times"
    checks.equal(name, counts and counts.groups(), (str(REQUESTS), "0", "0"))
    statuses = re.search(r"status codes: (\d+) 2xx", text)
    checks.equal(f"{name}, with 200", statuses and statuses.group(1), str(REQUESTS))


def calls(folder: Path, upstream: int) -> None:
    """Whom a request is from, the system is asked once for each connection, however many requests come on it."""
    port, counted = free_port(), folder / "strace.txt"
    # The program is the child, and strace beside it, so that it is the program that is ended.
    command = ["strace", "-D", "-f", "-qq", "-e", "trace=getpeername", "-o", str(counted), server_binary(), "--port", str(port), "--quiet"]
    with running([*command, "--proxy", f"/=http://127.0.0.1:{upstream}"], port):
        h2load = ["h2load", "--h1", "-n", "600", "-c", "3", f"http://127.0.0.1:{port}/short"]
        text = subprocess.run(h2load, check=True, stdout=subprocess.PIPE, text=True).stdout
        checks.check("600 requests on three connections are answered", "600 succeeded" in text, text)
        fields = curl("--http1.1", f"http://127.0.0.1:{port}/short", "--next", "--http1.1", f"http://127.0.0.1:{port}/short")
        checks.equal("and two more", fields, b"hellohello")
    # The connections to the upstream, three at most for each of those in front, ask when they are made.
    asked = counted.read_text().count("getpeername(")
    checks.check("getpeername is called for connections, and not for requests", 0 < asked <= 30, asked)


def files(long: bytes, target: str, name: str, *, ranges: bool = True) -> None:
    with server("--proxy", f"/={target}") as port:
        for version in ("--http1.1", "--http2-prior-knowledge"):
            url = f"http://127.0.0.1:{port}"
            got = curl(version, f"{url}/long")
            checks.check(f"{name}: curl {version} gets {LONG} octets", got == long, len(got))
            part = curl(version, "--range", "1000-1999", f"{url}/long")
            wanted = long[1000:2000] if ranges else long
            checks.check(f"{name}: curl {version} asks for a part and gets {len(wanted)}", part == wanted, len(part))
            head = curl(version, "--head", f"{url}/long").decode().lower()
            checks.check(f"{name}: curl {version} gets the length of a HEAD", f"content-length: {LONG}" in head, head)
            checks.check(f"{name}: the way is named", re.search(r"^via: .*\blws\r?$", head, re.MULTILINE) is not None, head)
            missing = curl(version, "--output", "/dev/null", "--write-out", "%{http_code}", f"{url}/none")
            checks.equal(f"{name}: curl {version} is told that there is nothing", missing, b"404")


def posts(upstream: int) -> None:
    content = os.urandom(3 << 20)
    digest = hashlib.sha256(content).hexdigest().encode()
    with tempfile.NamedTemporaryFile() as file, server("--proxy", f"/=http://127.0.0.1:{upstream}") as port:
        file.write(content)
        file.flush()
        url = f"http://127.0.0.1:{port}/"
        for version in ("--http1.1", "--http2-prior-knowledge"):
            for framing in ((), ("--header", "Transfer-Encoding: chunked"), ("--header", "Expect: 100-continue")):
                answer = curl(version, *framing, "--data-binary", f"@{file.name}", url)
                checks.equal(f"curl {version} {' '.join(framing)} posts 3 MiB", answer, digest)
        fields = curl("--header", "X-Forwarded-For: 203.0.113.9", "--header", "Connection: X-Mine", "--header", "X-Mine: 1", url)
        checks.check("whom a request is from is said by the proxy", b"x-forwarded-for: 127.0.0.1\n" in fields, fields)
        checks.check("what Connection names stays", b"x-mine" not in fields, fields)


def websocket(upstream: str, name: str) -> None:
    """One client over HTTP/1.1 and one over HTTP/2 talk to an upstream that sends everything back."""

    async def talk(port: int) -> None:
        async with websockets.connect(f"ws://127.0.0.1:{port}/", max_size=None) as peer:
            for message in ("hello", b"\x00\x01", "x" * 1_000_000, b"y" * 3_000_000):
                await peer.send(message)
                got = await peer.recv()
                checks.check(f"{name}: {len(message)} octets come back", got == message, len(got))
            await asyncio.gather(*(peer.send(f"message {number}") for number in range(1000)))
            got = [await peer.recv() for _ in range(1000)]
            checks.equal(f"{name}: a thousand come back in order", got, [f"message {number}" for number in range(1000)])
            await peer.close(4001, "enough")
            checks.equal(f"{name}: the close is answered", peer.close_code, 4001)

    with server("--proxy", f"/={upstream}") as port:
        asyncio.run(talk(port))
        websocket_over_http2(port, name)


def websocket_over_http2(port: int, name: str) -> None:
    with Client(port) as client:
        peers = [WebSocket(client, "/") for _ in range(3)]
        checks.equal(f"{name}: three WebSockets on one connection of HTTP/2", [peer.status for peer in peers], ["200"] * 3)
        for size in (5, 70_000, 1_000_000):
            sent = [os.urandom(size) for _ in peers]
            for peer, octets in zip(peers, sent):
                peer.send(peer.frames.send_data(octets, fin=True))
            got = []
            for peer in peers:
                back = bytearray()
                while len(back) < size:
                    back += peer.frame().payload
                got.append(bytes(back))
            checks.check(f"{name}: {size} octets come back on each stream", got == sent, [len(back) for back in got])
        for peer in peers:
            peer.send(peer.frames.close(4001, "enough"))
        codes = [peer.frame().payload[0] for peer in peers]
        checks.equal(f"{name}: each Close is answered on its stream", codes, [4001] * 3)


def main() -> None:
    long = os.urandom(LONG)
    here = Path(__file__).parent
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lws-proxy-")))
        # nginx may serve as another user.
        folder.chmod(0o755)
        (folder / "www").mkdir()
        (folder / "www" / "long").write_bytes(long)
        (folder / "www" / "short").write_bytes(b"hello")
        authority = Authority(folder)
        # What the proxy believes instead of the roots of the system.
        os.environ["SSL_CERT_FILE"] = str(authority.root)
        certificate, key = authority.issue("server", "localhost")

        def start(*command: str, port: int | None = None, stderr: int | None = None) -> int:
            """Runs a peer whose PORT is filled in."""
            port = port or free_port()
            stack.enter_context(running([str(port) if word == "PORT" else word for word in command], port, stderr=stderr))
            return port

        nginx_port, nginx_tls_port = free_port(), free_port()
        start(*nginx_behind(folder, nginx_port, nginx_tls_port, (certificate, key)), port=nginx_port)
        nghttpd_port = start("nghttpd", "--no-tls", "--address=127.0.0.1", "-d", str(folder / "www"), "PORT")
        nghttpd_tls_port = start("nghttpd", "--address=127.0.0.1", "-d", str(folder / "www"), "PORT", str(key), str(certificate))
        pair = (str(certificate), str(key))
        echo, http2_echo = str(here / "echo_server.py"), str(here / "http2_server.py")
        node, http2_node = str(here / "echo_server.mjs"), str(here / "http2_server.mjs")
        python_port, python_tls_port = start(sys.executable, echo, "PORT"), start(sys.executable, echo, "PORT", *pair)
        node_port, http2_node_port = start("node", node, "PORT"), start("node", http2_node, "PORT")
        # It complains of a stream that ends behind a Close, which it has forgotten by then.
        hypercorn_port = start(sys.executable, http2_echo, "PORT", stderr=subprocess.DEVNULL)
        hypercorn_tls_port = start(sys.executable, http2_echo, "PORT", *pair, stderr=subprocess.DEVNULL)
        upload_port = stack.enter_context(uploads())

        with checks.scenario("files"):
            files(long, f"http://127.0.0.1:{nginx_port}", "nginx")
            files(long, f"unix:{folder}/nginx.sock", "nginx on a Unix socket")
            files(long, f"h2c://127.0.0.1:{nghttpd_port}", "nghttpd", ranges=False)
            files(long, f"https://localhost:{nginx_tls_port}", "nginx over TLS")
            files(long, f"h2://localhost:{nghttpd_tls_port}", "nghttpd over TLS", ranges=False)
        with checks.scenario("posts"):
            posts(upload_port)
        with checks.scenario("load"), server("--proxy", f"/=http://127.0.0.1:{nginx_port}") as port:
            load(port, "--h1")
            load(port, "-m", "10")
        with checks.scenario("system calls"):
            calls(folder, nginx_port)
        with checks.scenario("load over HTTP/2"), server("--proxy", f"/=h2c://127.0.0.1:{nghttpd_port}") as port:
            load(port, "-m", "10")
        for name, upstream in [
            ("Python", f"http://127.0.0.1:{python_port}"),
            ("Python over TLS", f"https://localhost:{python_tls_port}"),
            ("node", f"http://127.0.0.1:{node_port}"),
            ("node over HTTP/2", f"h2c://127.0.0.1:{http2_node_port}"),
            ("hypercorn over HTTP/2", f"h2c://127.0.0.1:{hypercorn_port}"),
            ("hypercorn over HTTP/2 and TLS", f"h2://localhost:{hypercorn_tls_port}"),
        ]:
            with checks.scenario(f"WebSockets of {name}"):
                websocket(upstream, name)
        with checks.scenario("a name that the certificate does not have"), server("--proxy", f"/=https://127.0.0.1:{nginx_tls_port}") as port:
            status = curl("--output", "/dev/null", "--write-out", "%{http_code} %header{proxy-status}", f"http://127.0.0.1:{port}/short")
            checks.equal("is a bad gateway", status, b"502 lws; error=tls_certificate_error")
        with checks.scenario("nobody is there"), server("--proxy", f"/=http://127.0.0.1:{free_port()}") as port:
            with socket.create_connection(("127.0.0.1", port)) as peer:
                peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = peer.makefile("rb").read()
            checks.check("502 says why", answer.startswith(b"HTTP/1.1 502") and b"connection_refused" in answer, answer)
    checks.finish()


if __name__ == "__main__":
    main()
