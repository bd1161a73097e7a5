#!/usr/bin/env python3
"""The C programs of `lws-ffi/examples`, each with a foreign peer.

    capi.py FOLDER           programs as they were built into FOLDER
    capi.py FOLDER WRAPPER   each under a program such as valgrind, whose words stand in one argument
"""

from __future__ import annotations

import shlex
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from checks import Checks, free_port
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

FOLDER = Path(sys.argv[1])
WRAPPER = shlex.split(sys.argv[2]) if len(sys.argv) > 2 else []
#: Seconds that anything may take; under valgrind all is slow.
PATIENCE = 60 if WRAPPER else 15

checks = Checks("capi")


def there(name: str) -> bool:
    """Whether the folder has a program: one of older programs has not got all."""
    return (FOLDER / name).exists()


class Program:
    """A program that runs, and the lines that it prints."""

    def __init__(self, name: str, *arguments: str) -> None:
        command = [*WRAPPER, str(FOLDER / name), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self) -> str:
        return self.process.stdout.readline().strip()

    def address(self) -> str:
        return self.line().rsplit(" ", 1)[1]


@contextmanager
def running(name: str, *arguments: str) -> Iterator[Program]:
    """Starts a program, and checks how it ends once it was told to."""
    program = Program(name, *arguments)
    try:
        yield program
        checks.equal(f"{name} ends well", program.process.wait(PATIENCE), 0)
    finally:
        program.process.kill()
        program.process.wait()


def curl(*arguments: str) -> str:
    done = subprocess.run(["curl", "-sS", "--max-time", str(PATIENCE), *arguments], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def stop(address: str) -> None:
    checks.equal("it is asked to end", curl("-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", f"http://{address}/stop"), "202")


def echo(name: str) -> None:
    with running(name, "127.0.0.1:0") as program:
        address = program.address()
        checks.check(f"{name} serves a page", "WebSockets at /echo" in curl(f"http://{address}/"))
        checks.check(f"{name} serves it over HTTP/2", curl("--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version}", f"http://{address}/") == "2")
        with connect(f"ws://{address}/echo", open_timeout=PATIENCE) as websocket:
            for message in ["hello", "", "ü" * 1000, b"\0" * 125, b"x" * 70_000, b"y" * 900_000]:
                websocket.send(message)
                checks.check(f"{name} echoes {len(message)}", websocket.recv(PATIENCE) == message)
            websocket.send("one for each turn")
            websocket.ping().wait(PATIENCE)
            checks.equal(f"{name} goes on", websocket.recv(PATIENCE), "one for each turn")
        stop(address)


def engine() -> None:
    for name, arguments, expected in [
        ("engine_pipe", [], ["status 200", "content: hello over a pipe", "message: ping-pong", "closed: closed 1000"]),
        ("engine_fuzz", ["300" if WRAPPER else "3000", "7"], ["runs"]),
    ]:
        done = subprocess.run([*WRAPPER, str(FOLDER / name), *arguments], capture_output=True, text=True, timeout=600, check=False)
        checks.equal(f"{name} ends well", done.returncode, 0)
        for text in expected:
            checks.check(f"{name} says {text}", text in done.stdout, done.stdout + done.stderr)


def external_poll() -> None:
    with running("external_poll", "127.0.0.1:0") as program:
        address = program.address()
        with connect(f"ws://{address}/lines") as first, connect(f"ws://{address}/lines") as second:
            # The answer to a Ping comes behind the subscription.
            for websocket in (first, second):
                websocket.ping().wait(PATIENCE)
            program.process.stdin.write("a line\n")
            program.process.stdin.flush()
            for websocket in (first, second):
                checks.equal("a line of the program's own descriptor is published", websocket.recv(PATIENCE), "a line\n")
            program.process.stdin.close()
            with checks.scenario("the end of its input is the end of the service"):
                try:
                    first.recv(PATIENCE)
                except ConnectionClosed as closed:
                    checks.equal("WebSockets are told", closed.rcvd and closed.rcvd.code, 1001)


def next_of(websocket, wanted: str) -> bool:
    return any(websocket.recv(PATIENCE) == wanted for _ in range(100))


def chat() -> None:
    with running("chat", "127.0.0.1:0") as program:
        address = program.address()
        with connect(f"ws://{address}/chat/rust") as alice, connect(f"ws://{address}/chat/rust") as bob, connect(f"ws://{address}/chat/c") as carol:
            for websocket in (alice, bob, carol):
                websocket.ping().wait(PATIENCE)
            alice.send("hello, room")
            checks.check("the writer gets it", next_of(alice, "hello, room"))
            checks.check("the room gets it", next_of(bob, "hello, room"))
            carol.send("hello, others")
            checks.check("another room is apart", next_of(carol, "hello, others"))
            checks.check("another thread posts", next_of(carol, "from another thread"))
            checks.check("a timer publishes", next_of(carol, "3 connected"))
        refused = curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "Upgrade: websocket", "-H", "Connection: Upgrade", "-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"http://{address}/chat/%23")
        checks.equal("a room that is a wildcard is refused", refused, "403")
        stop(address)


def chat_cpp() -> None:
    with running("chat_cpp", "127.0.0.1:0") as program:
        address = program.address()
        raw, udp = program.address(), program.address()
        # Whichever comes first where the program is slow.
        lines = sorted([program.line(), program.line()])
        checks.equal("another thread posts, and a timer of a lambda is due", lines, ["a timer", "from another thread"])
        with socket.create_connection(host_port(raw)) as peer:
            peer.sendall(b"to and fro")
            checks.equal("a raw stream of lambdas", receive(peer, 14), b"raw\nto and fro")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(PATIENCE)
            peer.sendto(b"datagram", host_port(udp))
            checks.equal("a datagram of a lambda", peer.recv(64), b"datagram")
        checks.equal("a page of a lambda", curl(f"http://{address}/"), "a chat in C++\n")
        with connect(f"ws://{address}/chat/a") as first, connect(f"ws://{address}/chat/a") as second:
            for websocket in (first, second):
                websocket.ping().wait(PATIENCE)
            first.send("hello")
            first.send("again")
            for expected in ("1: hello", "2: again"):
                checks.equal("what is kept of a stream", [first.recv(PATIENCE), second.recv(PATIENCE)], [expected, expected])
            first.send("throw")
            try:
                first.recv(PATIENCE)
            except ConnectionClosed as closed:
                checks.equal("an exception ends its stream", closed.rcvd and closed.rcvd.code, 1011)
            second.send("still there")
            checks.equal("and no other", second.recv(PATIENCE), "1: still there")
        with connect(f"ws://{address}/chat/log") as log, pages() as page, echoes() as peer:
            log.ping().wait(PATIENCE)
            curl(f"http://{address}/ask/{page}")
            for expected in ("status 200", "a page of Python", "closed 1"):
                checks.equal("a client in C++ asks", log.recv(PATIENCE), expected)
            curl(f"http://{address}/join/{peer}")
            checks.equal("a WebSocket in C++ joins", log.recv(PATIENCE), "hello from C++")
        stop(address)


def certificate(folder: Path) -> tuple[str, str]:
    chain, key = str(folder / "chain.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", chain],
        check=True, capture_output=True,
    )  # fmt: skip
    return chain, key


def receive(peer: socket.socket, size: int) -> bytes:
    peer.settimeout(PATIENCE)
    received = b""
    while len(received) < size:
        piece = peer.recv(size - len(received))
        if not piece:
            break
        received += piece
    return received


def host_port(address: str) -> tuple[str, int]:
    host, port = address.rsplit(":", 1)
    return host, int(port)


def mixed() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chain, key = certificate(folder)
        public = folder / "public"
        public.mkdir()
        (public / "index.html").write_text("<h1>files</h1>")
        (public / "large.bin").write_bytes(bytes(range(256)) * 4096)
        with running("mixed", str(public), chain, key) as program:
            http, https, raw, udp = (program.address() for _ in range(4))
            checks.equal("files", curl(f"http://{http}/"), "<h1>files</h1>")
            checks.equal("ranges", curl("-r", "1-3", "-o", "-", f"http://{http}/large.bin"), "\x01\x02\x03")
            checks.equal("an upload", curl("--data-binary", f"@{public}/large.bin", f"http://{http}/upload"), "1048576 bytes\n")
            numbers = curl(f"http://{http}/numbers").split()
            checks.equal("a response piece by piece", numbers, [str(number) for number in range(10_000)])
            tls_port = https.rsplit(":", 1)[1]
            over_tls = ["--cacert", chain, "--resolve", f"localhost:{tls_port}:127.0.0.1", f"https://localhost:{tls_port}/"]
            checks.equal("files over TLS", curl(*over_tls), "<h1>files</h1>")
            context = ssl.create_default_context(cafile=chain)
            with socket.create_connection(host_port(https)) as plain, context.wrap_socket(plain, server_hostname="localhost") as secured:
                checks.check("TLS is of 2018", secured.version() == "TLSv1.3", secured.version())
            with socket.create_connection(host_port(raw)) as peer:
                checks.equal("a raw stream greets", receive(peer, 4), b"raw\n")
                peer.sendall(b"to and fro")
                checks.equal("and echoes", receive(peer, 10), b"to and fro")
                peer.shutdown(socket.SHUT_WR)
                checks.equal("and ends when the peer has", receive(peer, 1), b"")
            with socket.create_connection(host_port(http)) as peer:
                peer.sendall(b"\0no request\n")
                checks.equal("what is no HTTP is a raw stream", receive(peer, 8), b"no http\n")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.settimeout(PATIENCE)
                peer.sendto(b"datagram", host_port(udp))
                checks.equal("a datagram comes back", peer.recv(64), b"datagram")
            stop(http)
            checks.check("a watched pipe was read", "the pipe says !" in program.process.stdout.read())


class Page(BaseHTTPRequestHandler):
    """A server of Python's own that the clients ask."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/page")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = b"x" * 100_000 if self.path == "/large" else b"a page of Python"
        self.send_response(200 if self.path != "/missing" else 404)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content) + (self.path == "/short")))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = self.path == "/short"

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def pages(context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


@contextmanager
def echoes(context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[int]:
    """WebSockets of the package `websockets`, which send back what they receive."""

    def handle(peer: ServerConnection) -> None:
        try:
            for message in peer:
                peer.send(message)
                if message == "hang up":
                    peer.socket.shutdown(socket.SHUT_RDWR)
        except ConnectionClosed:
            pass

    with serve(handle, "127.0.0.1", port, ssl=context) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.socket.getsockname()[1]
        server.shutdown()


def asked(*arguments: str, text: str = "") -> list[str]:
    """What the client prints."""
    done = subprocess.run([*WRAPPER, str(FOLDER / "client"), *arguments], input=text, capture_output=True, text=True, timeout=PATIENCE, check=False)
    checks.equal(f"client {arguments[0].rsplit('/', 1)[-1]} ends well", (done.returncode, done.stderr), (0, ""))
    return done.stdout.splitlines()


def client() -> None:
    with pages() as port:
        for path, expected in [
            ("page", ["status 200", "type text/plain", "a page of Python", "closed 1 0 complete ()"]),
            ("moved", ["status 200", "type text/plain", "a page of Python", "closed 1 0 complete ()"]),
            ("missing", ["status 404", "type text/plain", "a page of Python", "closed 1 0 complete ()"]),
        ]:
            checks.equal(f"a client gets {path}", asked(f"http://127.0.0.1:{port}/{path}"), expected)
        checks.check("large content comes whole", "x" * 100_000 in asked(f"http://127.0.0.1:{port}/large"))
        short = asked(f"http://127.0.0.1:{port}/short")
        checks.check("content that is cut is no success", short[-1].endswith(")") and "closed 9 " in short[-1], short)
    gone = asked(f"http://127.0.0.1:{free_port()}/")
    checks.check("what cannot be reached is said", gone[0].startswith("closed 13 0 unreachable (tcp: "), gone)
    with echoes() as port:
        lines = ["one", "two", "ü" * 100, "x" * 20_000]
        seen = asked(f"ws://127.0.0.1:{port}/", text="".join(line + "\n" for line in lines))
        checks.equal("a WebSocket sends and receives", seen, ["status 101", "open", *lines, "closed 2 1000 closed ()"])
    reconnecting()
    over_tls()


def reconnecting() -> None:
    with echoes() as port:
        program = Program("client", f"ws://127.0.0.1:{port}/", "", "reconnect")
        checks.equal("a WebSocket is opened", [program.line(), program.line()], ["status 101", "open"])
        program.process.stdin.write("hang up\n")
        program.process.stdin.flush()
        seen = [program.line() for _ in range(4)]
        checks.equal("one that is lost comes back", seen, ["hang up", "lost 9", "status 101", "open"])
        program.process.stdin.close()
        checks.equal("and is closed", (program.line(), program.process.wait(PATIENCE)), ("closed 2 1000 closed ()", 0))


def over_tls() -> None:
    with tempfile.TemporaryDirectory() as name:
        chain, key = certificate(Path(name))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chain, key)
        with pages(context) as port:
            seen = asked(f"https://127.0.0.1:{port}/page", chain)
            checks.equal("a client speaks TLS", seen, ["status 200", "type text/plain", "a page of Python", "closed 1 0 complete ()"])
            unknown = asked(f"https://127.0.0.1:{port}/page")
            checks.check("a certificate that is not trusted is refused", unknown[0].startswith("closed 13 0 unreachable (tls: "), unknown)
        with echoes(context) as port:
            seen = asked(f"wss://127.0.0.1:{port}/", chain, text="over TLS\n")
            checks.equal("a WebSocket over TLS", seen, ["status 101", "open", "over TLS", "closed 2 1000 closed ()"])


def main() -> None:
    if there("engine_pipe"):
        with checks.scenario("the engine"):
            engine()
    for name in filter(there, ["echo_poll", "echo_epoll", "echo_epoll_each", "echo_run", "echo_uv", "echo_glib", "echo_libevent"]):
        with checks.scenario(name):
            echo(name)
    for scenario in (external_poll, chat, chat_cpp, mixed, client):
        if not there(scenario.__name__):
            continue
        with checks.scenario(scenario.__name__):
            scenario()
    checks.finish()


main()
