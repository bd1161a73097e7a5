#!/usr/bin/env python3
"""Protocols as plugins: a library in C that the server loads, with real clients, over reloads; and the protocols that are built in."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

import websockets
from websockets.asyncio.client import connect

from checks import Checks, accepts, free_port, server_binary, server_options

checks = Checks("plugins")

ROOT = Path(__file__).parent.parent.parent
#: Seconds that a step of the server may take.
PATIENCE = 20
#: Bytes of one thing on the shelf.
SHELF_BYTES = 2_000_000


def compile_examples(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    for source in (ROOT / "lws-plugin/examples").glob("*.c"):
        library = folder / f"{source.stem}.so"
        subprocess.run(
            ["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fPIC", "-shared", "-o", library]
            + [f"-I{ROOT / 'lws-plugin/include'}", f"-I{ROOT / 'lws-ffi/include'}", source],
            check=True,
        )
        library.chmod(0o755)


class Serving:
    """The program with a configuration of two hosts with the protocol of the library, and listeners of raw connections."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.raw, self.fallback, self.guarded, self.shelf = (free_port() for _ in range(5))
        compile_examples(folder / "plugins")
        (folder / "conf.d").mkdir()
        (folder / "conf").write_text(
            f'{{ "global": {{ "count-threads": 2, "plugin-dir": "{folder}/plugins" }} }}'
        )
        self.host("a.example", '"tally": { "greeting": "hello", "default": 1, "status": "ok" }, "dumb-increment-protocol": { "update-ms": 20 }')
        self.host("b.example", '"tally": { "greeting": "moin" }')
        self.write("raw", f'"name": "localhost", "port": {self.raw}, "onlyraw": 1, "ws-protocols": [ {{ "shout": {{ "raw": 1 }} }} ]')
        self.write(
            "fallback",
            f'"name": "localhost", "port": {self.fallback}, "fallback-listen-accept": 1, "listen-accept-role": "raw-skt", '
            '"listen-accept-protocol": "raw-test", "mounts": [ { "mountpoint": "/form", "origin": "callback://protocol-post-demo" } ], '
            '"ws-protocols": [ { "raw-test": {}, "protocol-post-demo": { "content-bytes-max": 2000 } } ]',
        )

        (folder / "users").write_text("ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")
        password = f'"basic-auth": "{folder}/users"'
        self.write(
            "guarded",
            f'"name": "localhost", "port": {self.guarded}, "fallback-listen-accept": 1, '
            '"mounts": [ { "mountpoint": "/form", "origin": "callback://protocol-post-demo" } ], '
            f'"ws-protocols": [ {{ "raw-test": {{ "raw": 1, {password} }}, "protocol-post-demo": {{ {password} }} }} ]',
        )

        self.write(
            "shelf",
            f'"name": "localhost", "port": {self.shelf}, "ws-protocols": [ {{ "shelf": {{ "bytes-max": {SHELF_BYTES} }} }} ], '
            '"mounts": [ { "mountpoint": "/shelf", "origin": "callback://shelf" } ]',
        )

    def write(self, name: str, members: str) -> None:
        (self.folder / "conf.d" / name).write_text(f'{{ "vhosts": [ {{ {members} }} ] }}')

    def host(self, name: str, protocols: str) -> None:
        self.write(name, f'"name": "{name}", "port": {self.port}, "ws-protocols": [ {{ {protocols} }} ]')

    def start(self) -> None:
        self.log = open(self.folder / "log", "wb")
        self.child = subprocess.Popen(
            [server_binary(), "--config", self.folder, *server_options()],
            stdout=self.log,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TALLY_NOTES": str(self.folder / "notes")},
        )
        for port in (self.port, self.raw, self.fallback, self.guarded, self.shelf):
            until(lambda port=port: accepts(port))

    def reload(self, done: str) -> bool:
        """Has the configuration read again, and waits for a line of the log."""
        seen = self.said().count(done)
        self.child.send_signal(signal.SIGHUP)
        return until(lambda: self.said().count(done) > seen)

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def notes(self) -> Counter[str]:
        """What the library has noted: how many sites and sessions have begun and ended."""
        path = self.folder / "notes"
        return Counter(path.read_text().split("\n") if path.exists() else [])

    def noted(self, **expected: int) -> bool:
        """Whether so many of each were noted, soon."""
        return until(lambda: all(self.notes()[name] == count for name, count in expected.items()))

    def open(self, host: str, **options: object) -> connect:
        return connect(f"ws://{host}/", host="127.0.0.1", port=self.port, **options)


def until(is_so) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.005)
    return False


async def ask(socket: websockets.ClientConnection, text: str = "x") -> str:
    await socket.send(text)
    return await asyncio.wait_for(socket.recv(), PATIENCE)


async def ends(socket: websockets.ClientConnection, message: str | bytes) -> tuple[int, str]:
    """How a session ends that sends this."""
    await socket.send(message)
    try:
        await asyncio.wait_for(socket.recv(), PATIENCE)
    except websockets.ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason)
    return (0, "it goes on")


async def sessions(serving: Serving) -> None:
    with checks.scenario("sessions"):
        async with serving.open("a.example", subprotocols=["tally"]) as one, serving.open("a.example") as two:
            checks.equal("the protocol that was asked for is chosen", (one.subprotocol, two.subprotocol), ("tally", None))
            answers = [await ask(one), await ask(two), await ask(one)]
            checks.equal("sessions of a site share it", answers, ["hello 1", "hello 2", "hello 3"])
            begun = time.monotonic()
            checks.equal("a timer of a session", await ask(two, "later"), "hello 4")
            checks.check("comes when it is due", time.monotonic() - begun >= 0.02, time.monotonic() - begun)
            await one.send("all")
            both = [await asyncio.wait_for(socket.recv(), PATIENCE) for socket in (one, two)]
            checks.equal("every session of a site is asked to write, on each thread", both, ["call 1", "call 1"])
            async with serving.open("b.example", subprotocols=["other", "tally"]) as other:
                checks.equal("each site has its own options and state", await ask(other), "moin 1")
            # More than are open at a time, on both threads, and one after the other.
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(visit(serving)) for _ in range(50)]
            counts = sorted(int(task.result().split()[1]) for task in tasks)
            checks.equal("no message of 50 sessions is lost or counted twice", counts, list(range(5, 55)))
        checks.check("each session has one begin and one end", serving.noted(open=53, closed=53), serving.notes())


async def visit(serving: Serving) -> str:
    async with serving.open("a.example", subprotocols=["tally"]) as socket:
        return await ask(socket)


async def errors(serving: Serving) -> None:
    with checks.scenario("errors"):
        for message, expected in [("stop", (1011, "")), (b"binary", (1003, "texts only"))]:
            async with serving.open("a.example") as socket:
                checks.equal(f"{message!r} ends the session as the plugin says", await ends(socket, message), expected)
        try:
            async with serving.open("b.example"):
                checks.check("a site without a default protocol refuses those that ask for none", False)
        except websockets.InvalidStatus as refused:
            checks.equal("a site without a default protocol refuses those that ask for none", refused.response.status_code, 403)
        checks.check("each of them has ended for the plugin, too", serving.noted(open=55, closed=55), serving.notes())


async def reloads(serving: Serving) -> None:
    with checks.scenario("reloads"):
        checks.equal("each site begins once, on however many threads", serving.notes()["init"], 3)
        async with serving.open("b.example", subprotocols=["tally"]) as old, serving.open("a.example") as stays:
            serving.host("b.example", '"tally": { "greeting": "tach" }')
            checks.check("other options are a change of the site", serving.reload("~ b.example"), serving.said())
            checks.equal("the site begins anew", serving.notes()["init"], 4)
            checks.equal("a session of before has the site of before", await ask(old), "moin 2")
            checks.equal("which has not ended", serving.notes()["destroy"], 0)
            async with serving.open("b.example", subprotocols=["tally"]) as new:
                checks.equal("a new session has the new one", await ask(new), "tach 1")
            before = int((await ask(stays)).split()[1])
            serving.host("b.example", f'"tally": {{ "greeting": "{"g" * 64}" }}')
            checks.check("options that the plugin refuses change nothing", serving.reload("nothing was reloaded"), serving.said())
            why = 'protocol "tally" (' + str(serving.folder / "plugins/tally.so") + '): "greeting" has 1 to 63 bytes (LWX_E_ARGUMENT)'
            checks.check("and why is said with the place and the key", why in serving.said(), serving.said())
            checks.equal("nothing has begun then", serving.notes()["init"], 4)
            checks.equal("sessions of others go on", await ask(stays), f"hello {before + 1}")
        checks.check("the old site ends behind its last session", serving.noted(destroy=1), serving.notes())
        (serving.folder / "conf.d/b.example").unlink()
        checks.check("a site that goes", serving.reload("- b.example"), serving.said())
        checks.check("ends for the plugin", serving.noted(destroy=2, init=4), serving.notes())


def exchange(port: int, sent: bytes) -> bytes:
    """What a connection gets that sends this and then ends its direction."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def slowly(port: int, sent: bytes) -> bytes:
    """The same for one that reads nothing until it has sent all that is taken of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.setblocking(False)
        taken = 0
        idle = time.monotonic()
        while taken < len(sent) and time.monotonic() < idle + 0.2:
            try:
                taken += connection.send(sent[taken : taken + (1 << 16)])
                idle = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        connection.settimeout(PATIENCE)
        connection.shutdown(socket.SHUT_WR)
        back = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        checks.check(f"port {port} holds a peer up that does not read", taken < len(sent), taken)
        return back if len(back) == taken else b"lost"


def raw(serving: Serving) -> None:
    with checks.scenario("raw"):
        checks.equal("a raw protocol of a library", exchange(serving.raw, b"hello\n"), b"HELLO\n")
        checks.equal("a raw protocol that is built in, where no HTTP comes", exchange(serving.fallback, b"\0hello\n"), b"\0hello\n")
        for name, port, octet in [("of a library", serving.raw, b"X"), ("that is built in", serving.fallback, b"\1")]:
            back = slowly(port, octet.lower() * (64 << 20))
            checks.check(f"a raw protocol {name} loses nothing to a slow peer", set(back) == set(octet), back[:10])


def forms(serving: Serving) -> None:
    with checks.scenario("forms"):
        url = f"http://127.0.0.1:{serving.fallback}/form"
        host = {"Host": "localhost"}

        def post(content: bytes, content_type: str) -> tuple[int, str]:
            request = urllib.request.Request(url, content, {**host, "Content-Type": content_type})
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                    return response.status, response.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        form = urllib.request.urlopen(urllib.request.Request(url, headers=host), timeout=PATIENCE).read().decode()
        checks.check("a form is there", 'method="post"' in form, form)
        page = post(b"text=a%3Cb&send=yes", "application/x-www-form-urlencoded")
        checks.check("a simple form is read and shown as text", page[0] == 200 and "<td>text<td>3<td><td>a&lt;b" in page[1], page)
        parts = (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
            + bytes(1_000)
            + b"\r\n--x--\r\n"
        )
        page = post(parts, "multipart/form-data; boundary=x")
        checks.check("a file is counted and not kept", page[0] == 200 and "<td>file<td>1000<td>a.bin<td>" in page[1], page)
        for name, content, content_type, status in [
            ("past the limit of the site", bytes(3_000), "multipart/form-data; boundary=x", 413),
            ("that ends too early", parts[:-20], "multipart/form-data; boundary=x", 400),
            ("of another kind", b"a", "text/plain", 415),
        ]:
            checks.equal(f"a form {name}", post(content, content_type)[0], status)


def curl(serving: Serving, path: str, *options: str, content: bytes = b"") -> tuple[int, bytes]:
    """The status of a request by curl, and the content of its response."""
    asked = ["curl", "-s", "-S", "-H", "Expect:", "-w", "\n%{http_code}", "--max-time", str(PATIENCE), *options]
    done = subprocess.run([*asked, f"http://localhost:{serving.shelf}/shelf/{path}"], input=content, capture_output=True, check=False)
    got, _, status = done.stdout.rpartition(b"\n")
    return int(status), got


def refused(serving: Serving, path: str, content: bytes, version: str) -> int:
    """The status that ends an upload. curl 7.88 drops a response over HTTP/2 whose stream is reset behind it, which RFC 9113 §8.1 has
    servers do."""
    if version == "--http1.1":
        return curl(serving, path, version, "-T", "-", content=content)[0]
    file = serving.folder / "upload"
    file.write_bytes(content)
    asked = ["nghttp", "-v", "-t", str(PATIENCE), "-H", ":method: PUT", "-d", file, f"http://localhost:{serving.shelf}/shelf/{path}"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    status = re.search(r":status: (\d+)", re.sub(r"\x1b\[[0-9;]*m", "", said))
    return int(status[1]) if status else 0


def requests(serving: Serving) -> None:
    """Requests that a library answers."""
    large = os.urandom(SHELF_BYTES)
    put = ("-T", "-")
    for version in ("--http1.1", "--http2-prior-knowledge"):
        with checks.scenario(f"requests, {version}"):

            def ask(path: str, *options: str, content: bytes = b"", version: str = version) -> tuple[int, bytes]:
                return curl(serving, path, version, *options, content=content)

            name = version.strip("-")
            checks.equal("what is not there", ask(name), (404, b""))
            checks.equal("content in pieces, to the limit", ask(name, *put, "-H", "Content-Type: text/x", content=large), (201, b""))
            checks.equal("past the limit", refused(serving, name, large + b"a", version), 413)
            checks.check("it is sent as the peer takes it, and nothing is lost", ask(name) == (200, large))
            head = ask(name, "-I")
            checks.check("with its fields", head[0] == 200 and b"content-type: text/x" in head[1].lower(), head)
            checks.check("and its length", f"content-length: {SHELF_BYTES}".encode() in head[1].lower(), head)
            begun = time.monotonic()
            checks.check("a response by a timer, asked for in the query", ask(f"{name}?after=50") == (200, large))
            checks.check("comes when it is due", time.monotonic() - begun >= 0.05, time.monotonic() - begun)
            checks.equal("another thing in its place, without content", ask(name, "-X", "PUT"), (204, b""))
            checks.equal("which has a length of nothing", ask(name), (200, b""))
            checks.equal("a method that it has not", ask(name, "-X", "POST", "-d", "a")[0], 405)
            checks.equal("it goes", (ask(name, "-X", "DELETE"), ask(name, "-X", "DELETE")[0]), ((204, b""), 404))
    with checks.scenario("requests that end early"):
        curl(serving, "slow", *put, content=large)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", serving.shelf), timeout=PATIENCE) as connection:
                connection.sendall(b"GET /shelf/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.recv(1)
            with socket.create_connection(("127.0.0.1", serving.shelf), timeout=PATIENCE) as connection:
                connection.sendall(b"PUT /shelf/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
        checks.check("leave what is there as it was", curl(serving, "slow") == (200, large))
        checks.equal("and keep no half of anything", curl(serving, "half")[0], 404)
        full = [curl(serving, str(index), *put)[0] for index in range(64)]
        checks.equal("the library refuses what it has no room for", (full[:63], full[63]), ([201] * 63, 507))


def passwords(serving: Serving) -> None:
    with checks.scenario("passwords"):

        def get(fields: bytes) -> bytes:
            head = b"GET /form HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            return exchange(serving.guarded, head + fields + b"\r\n").split(b"\r\n")[0]

        checks.equal("requests need the password of their protocol", get(b""), b"HTTP/1.1 401 Unauthorized")
        checks.equal("and are served with it", get(b"Authorization: Basic YW5uOnNlY3JldA==\r\n"), b"HTTP/1.1 200 OK")
        answer = exchange(serving.guarded, b"\0hello\n")
        checks.check("a raw protocol with a password is not served", b"hello" not in answer, answer)


async def counters(serving: Serving) -> None:
    with checks.scenario("counters"):
        async with serving.open("a.example", subprotocols=["dumb-increment-protocol"]) as socket:
            numbers = [await asyncio.wait_for(socket.recv(), PATIENCE) for _ in range(3)]
        checks.equal("a protocol that is built in counts", numbers, ["0", "1", "2"])


def end(serving: Serving) -> None:
    with checks.scenario("the end"):
        serving.child.send_signal(signal.SIGTERM)
        checks.equal("the server ends", serving.child.wait(PATIENCE), 0)
        notes = serving.notes()
        checks.equal("every site that has begun has ended", notes["destroy"], notes["init"])
        checks.equal("so has every session", notes["closed"], notes["open"])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        serving = Serving(Path(folder))
        serving.start()
        try:
            asyncio.run(sessions(serving))
            asyncio.run(errors(serving))
            asyncio.run(counters(serving))
            raw(serving)
            forms(serving)
            requests(serving)
            passwords(serving)
            asyncio.run(reloads(serving))
            end(serving)
        finally:
            serving.child.kill()
    checks.finish()


if __name__ == "__main__":
    main()
