#!/usr/bin/env python3
"""The examples `wscat` and `fetch` on a terminal: lines that are edited, those before them, commands, pings, losses; a bar for what takes long. And
`wscat` without one, where lines are what they are. The server is Python's `websockets`."""

from __future__ import annotations

import errno
import logging
import os
import pty
import re
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from checks import Checks

checks = Checks("client terminal")

FETCH = os.environ.get("FETCH", "target/debug/examples/fetch")
WSCAT = os.environ.get("WSCAT", "target/debug/examples/wscat")
#: Seconds that anything may take.
PATIENCE = 20
#: What moves the cursor, and what a terminal is told by programs.
LEFT, UP, CONTROL = "\x1b[D", "\x1b[A", {name: chr(ord(name) - 64) for name in "ADEUWC"}
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])")


class Server:
    """Says of each message that it has got it, and knows how connections have ended."""

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.ends: list[tuple[int | None, str | None]] = []
        self.pings = 0
        logger = logging.getLogger("terminal")
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addFilter(self.note)
        self.server = serve(self.talk, "127.0.0.1", 0, logger=logger, ping_interval=None)
        self.url = f"ws://127.0.0.1:{self.server.socket.getsockname()[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def note(self, record: logging.LogRecord) -> bool:
        self.pings += record.getMessage().startswith("< PING")
        return False

    def talk(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        with suppress(ConnectionClosed):
            for message in connection:
                connection.send(f"got:{message}" if isinstance(message, str) else b"got:" + message)
        self.ends.append((connection.close_code, connection.close_reason))


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *command: str) -> None:
        self.ours, theirs = pty.openpty()
        self.before = termios.tcgetattr(theirs)
        environment = {**os.environ, "TERM": "xterm"}
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True)
        self.theirs = theirs
        self.shown = ""
        self.seen = 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        octets = b""
        while True:
            try:
                more = os.read(self.ours, 65536)
            except OSError as error:
                if error.errno in (errno.EIO, errno.EBADF):
                    return
                raise
            octets += more
            self.shown = ESCAPES.sub("", octets.decode(errors="replace"))

    def type(self, *keys: str) -> None:
        os.write(self.ours, "".join(keys).encode())

    def expect(self, pattern: str) -> bool:
        """Whether this is shown, behind what was expected before."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            if found := re.compile(pattern).search(self.shown, self.seen):
                self.seen = found.end()
                return True
            time.sleep(0.02)
        return False

    def check(self, name: str, pattern: str) -> None:
        checks.check(name, self.expect(pattern), self.shown[self.seen :][-300:])

    def end(self) -> int | str:
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return "still there"


@contextmanager
def terminal(*command: str) -> Iterator[Terminal]:
    screen = Terminal(*command)
    try:
        yield screen
    finally:
        screen.process.kill()
        screen.process.wait()
        os.close(screen.theirs)
        os.close(screen.ours)


def editing(server: Server) -> None:
    with terminal(WSCAT, server.url) as screen:
        screen.check("it says that it is open", "open")
        for name, keys, got in [
            ("a line is a message", ["hello"], "hello"),
            ("Ctrl-A goes to the beginning", ["world", CONTROL["A"], "hello "], "hello world"),
            ("Ctrl-E goes to the end", ["b", CONTROL["A"], "a", CONTROL["E"], "c"], "abc"),
            ("Ctrl-U takes what is before the cursor", ["junk", CONTROL["U"], "clean"], "clean"),
            ("Ctrl-W takes a word", ["one two", CONTROL["W"], "three"], "one three"),
            ("arrows move the cursor", ["xz", LEFT, "y"], "xyz"),
            ("the line before comes back", [UP], "xyz"),
            ("and the one before that, changed", [UP, UP, "!"], "one three!"),
            ("a character is taken back whole", ["grüx", "\x7f", "\x7f", "ün"], "grün"),
            ("a message may begin with a slash", ["//slash"], "/slash"),
        ]:
            screen.type(*keys, "\r")
            screen.check(name, f"got:{re.escape(got)}\r?\n")
        screen.type("/binary 00 ff\r")
        screen.check("octets are a binary message", re.escape(r"got:\x00\xff"))
        screen.type("/ping hi\r")
        screen.check("a ping is answered, and its time is told", r"pong hi in \d+\.\d ms")
        screen.type("/what\r")
        screen.check("what is no command is said", r"/ping \[TEXT\]")
        screen.type("half")
        screen.check("a line is begun", "half")
        server.connections[-1].send("news")
        screen.check("what comes meanwhile is above it, and it is there again", r"news\r?\n.*half")
        screen.type("-way\r")
        screen.check("and goes on", "got:half-way")
        screen.type(CONTROL["D"])
        checks.equal("the end of the input ends it", screen.end(), 0)
        screen.check("with a code", "closed: 1000")
        checks.equal("the terminal is as it was before", termios.tcgetattr(screen.theirs), screen.before)
    with terminal(WSCAT, server.url) as screen:
        screen.check("another one is open", "open")
        screen.type("/close 4001 enough\r")
        checks.equal("it closes when it is told", screen.end(), 0)
        checks.equal("the terminal is as it was before, though a line was begun", termios.tcgetattr(screen.theirs), screen.before)
        give_up = time.monotonic() + PATIENCE
        while len(server.ends) < 2 and time.monotonic() < give_up:
            time.sleep(0.02)
        checks.equal("with the code and reason that it was told", server.ends[1:], [(4001, "enough")])


def losses(server: Server) -> None:
    with terminal(WSCAT, "-i", "1", server.url) as screen:
        screen.check("one that asks every second is open", "open")
        before, give_up = server.pings, time.monotonic() + PATIENCE
        while server.pings < before + 2 and time.monotonic() < give_up:
            time.sleep(0.05)
        checks.check("pings come by the clock", server.pings >= before + 2, server.pings)
        server.connections[-1].socket.shutdown(2)
        screen.check("it says that it was lost, and when it comes back", r"lost: .*; again in \d+\.\d s")
        screen.type("waited\r")
        screen.check("it comes back", r"connecting \(2\)[\s\S]*open")
        screen.check("what was written meanwhile has waited", "got:waited")
        screen.type(CONTROL["C"])
        checks.equal("Ctrl-C ends it", screen.end(), 0)


def plain(server: Server) -> None:
    lines = "one\n/ping\n//two\n"
    done = subprocess.run([WSCAT, "-n", server.url], input=lines, capture_output=True, text=True, timeout=PATIENCE, check=False)
    # Those that had not come when the server closed are not shown.
    checks.check("without a terminal lines are what they are", "got:one\ngot:/ping\ngot://two\n".startswith(done.stdout), done)
    checks.equal("and it ends with its input", (done.returncode, "closed: 1000" in done.stderr), (0, True))
    with subprocess.Popen([WSCAT, "-b", "-n", server.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as cat:
        cat.stdin.write("/ping\n")
        cat.stdin.flush()
        checks.equal("a binary message is shown as it is", cat.stdout.readline(), "got:/ping\n")
        cat.stdin.close()


class Long(BaseHTTPRequestHandler):
    """3 MB in pieces, with a length or without."""

    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path == "/length":
            self.send_header("Content-Length", str(3_000_000))
        self.end_headers()
        for _ in range(3):
            self.wfile.write(b"x" * 1_000_000)

    def log_message(self, *_: object) -> None:
        pass


def bars() -> None:
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Long)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{serving.server_address[1]}"
    for path, shown in [("/length", r"\[#{40}\] 3000000 of 3000000"), ("/none", "3000000 bytes")]:
        with terminal("/bin/sh", "-c", f'"{FETCH}" {url}{path} > /dev/null') as screen:
            screen.check(f"{path}: how far it is, is shown", shown)
            checks.equal(f"{path}: it ends", screen.end(), 0)
    done = subprocess.run([FETCH, f"{url}/length"], capture_output=True, timeout=PATIENCE, check=False)
    checks.equal("without a terminal nothing is", (len(done.stdout), done.stderr), (3_000_000, b""))
    serving.shutdown()


def main() -> None:
    server = Server()
    with checks.scenario("editing"):
        editing(server)
    with checks.scenario("losses"):
        losses(server)
    with checks.scenario("plain"):
        plain(server)
    with checks.scenario("bars"):
        bars()
    checks.finish()


if __name__ == "__main__":
    sys.exit(main())
