#!/usr/bin/env python3
"""Our client, against servers that we did not write: WebSockets of Python `websockets` and Node `ws`; requests to nginx, h2o, hyper and Node,
over HTTP/1.1 and HTTP/2, with and without TLS."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from certificates import Authority
from checks import Checks, client_binary, free_port, running
from nginx import nginx

checks = Checks("client")

HERE = Path(__file__).parent
#: The client with a pool lies beside the first.
POOL_CLIENT = str(Path(client_binary()).with_name("pool-client"))
#: The server on hyper, which the step builds.
HYPER_SERVER = os.environ.get("HYPER_SERVER", "target/test-environment/hyper/debug/hyper-server")
#: A server on Node's own `http`: what is posted comes back. It closes connections that have been idle for 5 s, and says so.
NODE = """
require("http")
  .createServer((request, response) => (request.method === "POST" ? request.pipe(response) : response.end("Hello, world!".repeat(1000))))
  .listen(Number(process.argv[1]), "127.0.0.1");
"""

#: What our client offers to a server of others: every window, and every takeover.
OFFERS = [
    f"--deflate=threshold=0,server_no_context_takeover={server},client_no_context_takeover={client},"
    f"server_max_window_bits={bits},client_max_window_bits={24 - bits}"
    for server in (0, 1)
    for client in (0, 1)
    for bits in range(9, 16)
]


def echo(url: str, count: int, *options: str) -> subprocess.CompletedProcess:
    """Our client sends `count` messages of growing size and compares what comes back."""
    command = [client_binary(), *options, "--echo", url, str(count)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


def nginx_peer(folder: Path, plain: int, http2: int, tls: int, pair: tuple[Path, Path], behind: int) -> list[str]:
    """Files below the folder, and what `behind` answers to `/echo`, when it has all content: nginx ends the request where the answer comes earlier.
    Over HTTP/1.1, HTTP/2, and TLS where ALPN chooses."""
    return nginx(folder, f"""
  # A connection ends behind a hundred requests, as it did by default for long.
  keepalive_requests 100;
  server {{
    listen 127.0.0.1:{plain};
    listen 127.0.0.1:{http2} http2;
    listen 127.0.0.1:{tls} ssl http2;
    ssl_certificate {pair[0]};
    ssl_certificate_key {pair[1]};
    client_max_body_size 0;
    root {folder}/www;
    location /echo {{ proxy_pass http://127.0.0.1:{behind}/collected; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
""")


def h2o(folder: Path, plain: int, tls: int, pair: tuple[Path, Path], behind: int) -> list[str]:
    """The same. Its plain port speaks both versions."""
    config = folder / "h2o.conf"
    config.write_text(f"""
num-threads: 1
listen:
  host: 127.0.0.1
  port: {plain}
listen:
  host: 127.0.0.1
  port: {tls}
  ssl:
    certificate-file: {pair[0]}
    ocsp-update-interval: 0
    key-file: {pair[1]}
hosts:
  default:
    paths:
      /: {{ file.dir: {folder}/www }}
      /echo: {{ proxy.reverse.url: "http://127.0.0.1:{behind}/collected" }}
""")
    return ["h2o", "--mode", "worker", "--conf", str(config)]


def requests(peer: str, origin: str, *options: str, get: str, post: str, connections_max: int) -> None:
    """A pool of ours asks, and posts content of each size, of which every octet comes back."""
    for count, parallel, size in [(1, 1, None), (1_000, 20, None), (50, 10, 0), (100, 10, 1_000), (40, 8, 200_000), (2, 2, 5_000_000)]:
        content = () if size is None else ("--bytes", str(size))
        command = [POOL_CLIENT, origin + (get if size is None else post), str(count), str(parallel), *content, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
        name = f"{peer}{''.join(f' {option}' for option in options)}: {count} times, {'GET' if size is None else f'POST of {size} octets'}"
        if checks.equal(f"{name}, {parallel} at a time", (done.returncode, done.stderr), (0, "")):
            connections = int(re.search(r"on (\d+) connections", done.stdout)[1])
            # Those that the server has ended are replaced; and a second one is begun where ALPN takes its time.
            most = connections_max + (count // 100 if peer.startswith("nginx") else 0)
            checks.check(f"{name}: connections are used again", connections <= most, done.stdout)


def servers() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lws-peers-")))
        # A server may run as another user.
        folder.chmod(0o755)
        (folder / "www").mkdir()
        (folder / "www" / "page").write_bytes(b"Hello, world!" * 10_000)
        pair = Authority(folder).issue("server", "localhost")
        pair[1].chmod(0o644)

        hyper = free_port()
        stack.enter_context(running([HYPER_SERVER, str(hyper)], hyper))
        with checks.scenario("hyper"):
            for options, most in (("--http1", 6), ("--http2", 1)):
                for get in ("/", "/long"):
                    requests("hyper", f"http://127.0.0.1:{hyper}", options, get=get, post="/", connections_max=most)
        node = free_port()
        with checks.scenario("node"), running(["node", "-e", NODE, str(node)], node):
            requests("node", f"http://127.0.0.1:{node}", get="/", post="/", connections_max=6)
        plain, http2, tls = free_port(), free_port(), free_port()
        with checks.scenario("nginx"), running(nginx_peer(folder, plain, http2, tls, pair, hyper), plain):
            requests("nginx", f"http://127.0.0.1:{plain}", get="/page", post="/echo", connections_max=6)
            requests("nginx", f"http://127.0.0.1:{http2}", "--http2", get="/page", post="/echo", connections_max=1)
            requests("nginx over TLS", f"https://localhost:{tls}", "--insecure", get="/page", post="/echo", connections_max=2)
            requests("nginx over TLS", f"https://localhost:{tls}", "--insecure", "--http1", get="/page", post="/echo", connections_max=6)
        plain, tls = free_port(), free_port()
        with checks.scenario("h2o"), running(h2o(folder, plain, tls, pair, hyper), plain, stderr=subprocess.DEVNULL):
            requests("h2o", f"http://127.0.0.1:{plain}", get="/page", post="/echo", connections_max=6)
            requests("h2o", f"http://127.0.0.1:{plain}", "--http2", get="/page", post="/echo", connections_max=1)
            requests("h2o over TLS", f"https://localhost:{tls}", "--insecure", get="/page", post="/echo", connections_max=2)
            requests("h2o over TLS", f"https://localhost:{tls}", "--insecure", "--http1", get="/page", post="/echo", connections_max=6)


def main() -> None:
    for peer, command in [
        ("Python websockets", [sys.executable, str(HERE / "echo_server.py")]),
        ("Node ws", ["node", str(HERE / "echo_server.mjs")]),
    ]:
        port = free_port()
        with checks.scenario(peer), running([*command, str(port)], port):
            for count in (1, 200):
                done = echo(f"ws://127.0.0.1:{port}/", count)
                checks.equal(f"{peer} echoes {count} messages", done.returncode, 0)
                print(done.stdout, done.stderr, sep="", end="")
            for offer in OFFERS:
                done = echo(f"ws://127.0.0.1:{port}/", 60, offer)
                checks.equal(f"{peer} echoes 60 messages, {offer}", (done.returncode, done.stderr), (0, ""))
    servers()
    nobody = echo(f"ws://127.0.0.1:{free_port()}/", 1)
    checks.check("a server that is not there is an error in one line", nobody.returncode not in (0, 101) and nobody.stderr.count("\n") == 1, nobody.stderr)
    checks.finish()


if __name__ == "__main__":
    main()
