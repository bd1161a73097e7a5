#!/usr/bin/env python3
"""Requests with two meanings through our proxy: it and each back end must count the same requests.

Each try sends one piece of octets on a connection of its own to our server, which passes requests on to nginx, node and Python's h11. It is a
head from a list of ways to frame content that readers have disagreed about, mutated at random from a seed, with a whole request inside of
the content. What the back end has counted, by the name of the try in each target, must be what the proxy says it has passed on: the
responses with its `Via`. A try that one of the two reads as more requests than the other is the failure that smuggling is made of."""

from __future__ import annotations

import os
import random
import re
import socket
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import h11

from checks import Checks, free_port, running, server

checks = Checks("proxy desync")

TRIES = int(os.environ.get("PROXY_DESYNC_TRIES", "300"))
SEED = int(os.environ.get("PROXY_DESYNC_SEED", "9112"))

#: Lines that frame content, or seem to. LEN is the length of what follows the head, and SHORT one that ends before the request inside.
FRAMINGS = [
    ["Content-Length: LEN"],
    ["Content-Length: SHORT"],
    ["Transfer-Encoding: chunked"],
    ["Content-Length: LEN", "Content-Length: SHORT"],
    ["Content-Length: SHORT, LEN"],
    ["Content-Length: LEN", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked", "Content-Length: SHORT"],
    ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
    ["Transfer-Encoding: identity"],
    ["Transfer-Encoding: gzip, chunked"],
    ["Transfer-Encoding: chunked, chunked"],
    ["Transfer-Encoding : chunked"],
    ["Transfer-Encoding:\x0bchunked"],
    [" Transfer-Encoding: chunked", "Content-Length: LEN"],
    ["X: y\n\nTransfer-Encoding: chunked"],
    ["Content-Length: +SHORT"],
    ["Content-Length: 0xLEN"],
    ["Content_Length: SHORT"],
    ["Content-Length: LEN", "Connection: Content-Length"],
    ["Transfer-Encoding: chunked", "Connection: Transfer-Encoding"],
    ["Content-Length: LEN", "Expect: 100-continue"],
    ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", "Connection: Upgrade, HTTP2-Settings"],
    ["Upgrade: websocket", "Connection: Upgrade", "Content-Length: SHORT"],
    [],
]
#: Chunks before and behind the request inside: SIZE is its length.
CHUNKS = [("SIZE\r\n", "\r\n0\r\n\r\n"), ("0\r\n\r\n", ""), ("SIZE;a=b\r\n", "\r\n0\r\n\r\n"), ("SIZE\n", "\n0\n\n"), ("SIZE ;\n\r\n", "\r\n0\r\n\r\n"), ("0;\n", "\r\n0\r\n\r\n")]
#: What one octet becomes.
OCTETS = [b"\r", b"\n", b"\0", b" ", b"\t", b";", b",", b"0", b"", b"\r\n"]


#: The name of a try in its targets: long enough that no mutation makes the name of another one of it.
MARK = re.compile(r"/(t[0-9a-f]{8})/")


class Backend:
    """What a back end has counted: how many requests of each try."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.lock = threading.Lock()

    def note(self, target: str) -> None:
        with self.lock:
            self.counted.update(MARK.findall(target))


def answer_with_h11(peer: socket.socket, backend: Backend) -> None:
    """Serves one connection by another implementation's reading of it."""
    connection = h11.Connection(h11.SERVER)
    with peer:
        peer.settimeout(10)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(peer.recv(65_536))
            elif isinstance(event, h11.Request):
                backend.note(event.target.decode("latin-1"))
            elif isinstance(event, h11.EndOfMessage):
                head = h11.Response(status_code=200, headers=[("Content-Length", "0")])
                peer.sendall(connection.send(head) + connection.send(h11.EndOfMessage()))
                if connection.our_state is h11.MUST_CLOSE:
                    return
                connection.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed):
                return


@contextmanager
def h11_server(backend: Backend) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)

    def serve(peer: socket.socket) -> None:
        try:
            answer_with_h11(peer, backend)
        except (OSError, h11.ProtocolError):
            # What it cannot read ends the connection, which the proxy has to bear.
            pass

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


NODE = """
const http = require('node:http');
http.createServer((request, response) => {
  console.log(request.url);
  request.resume();
  request.on('end', () => response.end('ok'));
}).listen(Number(process.argv[1]), '127.0.0.1');
"""

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log /dev/null crit;
events {{ }}
http {{
  log_format target $request_uri;
  access_log {folder}/targets target;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ok"; }} }}
}}
"""


def octets(chance: random.Random, name: str) -> bytes:
    """One try."""
    inside = f"GET /{name}/inside HTTP/1.1\r\nHost: localhost\r\n\r\n"
    framing = chance.choice(FRAMINGS)
    before, behind = chance.choice(CHUNKS) if any("chunked" in line for line in framing) else ("hello", "")
    content = (before + inside + behind).replace("SIZE", f"{len(inside):x}")
    lines = [f"POST /{name}/first HTTP/1.1", "Host: localhost", *framing]
    head = "\r\n".join(lines).replace("LEN", str(len(content))).replace("SHORT", str(len(before)))
    sent = f"{head}\r\n\r\n{content}".encode("latin-1")
    for _ in range(chance.choice([0, 0, 1, 1, 2])):
        at = chance.randrange(len(sent))
        sent = sent[:at] + chance.choice(OCTETS) + sent[at + chance.choice([0, 1]) :]
    return sent + f"GET /{name}/last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def passed_on(port: int, sent: bytes) -> int:
    """How many responses come back that the proxy has from its upstream."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        answers = b""
        try:
            while chunk := peer.recv(65_536):
                answers += chunk
        except ConnectionError:
            pass
    return len(re.findall(rb"(?im)^via: ", answers))


def compare(name: str, upstream: int, counts: Callable[[], Counter[str]]) -> dict[int, int]:
    """All tries through the proxy to one back end, and then without the proxy: what the back end counts of each of those."""
    chance, direct = random.Random(SEED), {}
    tries = {}
    for n in range(TRIES):
        mark, other = (f"t{chance.getrandbits(32):08x}" for _ in range(2))
        sent = octets(chance, mark)
        tries[mark], direct[other] = sent, sent.replace(mark.encode(), other.encode())
    with server("--proxy", f"/=http://127.0.0.1:{upstream}") as port:
        said = {mark: passed_on(port, sent) for mark, sent in tries.items()}
    for sent in direct.values():
        passed_on(upstream, sent)
    counted = counts()
    different = [(said[mark], counted[mark], tries[mark]) for mark in tries if said[mark] < counted[mark]]
    checks.check(f"{name} counts no request that the proxy has not passed on", not different, different[:3])
    checks.check(f"{name} answers what has one meaning", sum(said.values()) >= TRIES // 4, sum(said.values()))
    return {n: counted[mark] for n, mark in enumerate(direct)}


def main() -> None:
    alone = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lws-desync-")))
        # nginx may serve as another user.
        folder.chmod(0o755)
        with checks.scenario("h11"):
            backend = Backend()
            with h11_server(backend) as port:
                alone.append(compare("h11", port, lambda: backend.counted))
        with checks.scenario("nginx"):
            port = free_port()
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
            with running(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], port):
                alone.append(compare("nginx", port, lambda: Counter(MARK.findall((folder / "targets").read_text()))))
        with checks.scenario("node"):
            port = free_port()
            with open(folder / "node", "w") as log, running(["node", "-e", NODE, str(port)], port, stdout=log):
                alone.append(compare("node", port, lambda: Counter(MARK.findall((folder / "node").read_text()))))
    disputed = sum(len({counted[n] for counted in alone}) > 1 for n in range(TRIES))
    checks.check("the back ends do not agree about some of them by themselves", disputed > 0, disputed)
    print(f"note: {disputed} of {TRIES} tries have more than one meaning to the back ends alone")
    checks.finish()


if __name__ == "__main__":
    main()
