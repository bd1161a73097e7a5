#!/usr/bin/env python3
"""Our server behind the front ends of others: haproxy over HTTP/1.1 and HTTP/2, nginx and varnish; and with our proxy in between. Not one
request may be lost.

    front_ends.py [REQUESTS [FRONT...]]

FRONT is `haproxy-http1`, `haproxy-http2`, `nginx` or `varnish`; without one it is all of them. h2load asks each front end REQUESTS
times (100,000), over HTTP/2 where it speaks that and otherwise over HTTP/1.1, and then posts a tenth as many; with our proxy in between it
is a tenth of each. No front end tries again
what it has sent, so that what our server loses is seen.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from checks import Checks, free_port, running, server
from nginx import nginx

checks = Checks("front ends")

REQUESTS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
FRONTS = sys.argv[2:]
#: Seconds that a load may take: a tenth of the rate that one core has with a build that is not optimised.
SECONDS = 60 + REQUESTS // 100
#: Octets that are posted.
POSTED = 3_000

Front = Callable[[Path, int, int], list[str]]


def haproxy(protocol: str) -> Front:
    """HTTP/2 in front; `protocol` is what the back end is told to speak, with nothing sent twice."""

    def command(folder: Path, port: int, ours: int) -> list[str]:
        config = folder / "haproxy.cfg"
        config.write_text(f"""
global
  maxconn 4000
  nbthread 1
defaults
  mode http
  retries 0
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port} proto h2
  default_backend ours
backend ours
  http-reuse always
  server ours 127.0.0.1:{ours} {protocol}
""")
        return ["haproxy", "-db", "-q", "-f", str(config)]

    return command


def nginx_in_front(folder: Path, port: int, ours: int) -> list[str]:
    return nginx(folder, f"""
  upstream ours {{ server 127.0.0.1:{ours} max_fails=0; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} http2;
    keepalive_requests 1000000;
    location / {{
      proxy_pass http://ours;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_next_upstream off;
    }}
  }}
""", complaints="warn")


def varnish(folder: Path, port: int, ours: int) -> list[str]:
    config = folder / "front.vcl"
    config.write_text(f"""
vcl 4.1;
backend ours {{ .host = "127.0.0.1"; .port = "{ours}"; }}
sub vcl_recv {{ return (pass); }}
""")
    return [
        "varnishd", "-F", "-j", "none", "-n", str(folder / "varnish"), "-a", f"127.0.0.1:{port}", "-f", str(config),
        "-s", "malloc,64m", "-p", "thread_pools=1",
    ]  # fmt: skip


@contextmanager
def before(front: Front, ours: int) -> Iterator[int]:
    """A front end before the server on port `ours`; gives its port."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        with running(front(folder, port, ours), port, stdout=subprocess.DEVNULL):
            yield port


def load(name: str, port: int, protocol: list[str], path: str, requests: int, content: Path | None = None) -> None:
    command = ["h2load", *protocol, "-n", str(requests), "-c", "4", "-t", "1"]
    command += ["-d", str(content)] if content else []
    done = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, timeout=SECONDS, check=False)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    status = re.search(r"status codes: (\d+) 2xx", done.stdout)
    seen = (counts and [int(count) for count in counts.groups()], status and int(status[1]))
    checks.equal(f"{name}: {requests} times {path}", seen, ([requests, 0, 0, 0], requests))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = Path(folder, "content")
        content.write_bytes(os.urandom(POSTED))
        for name, front, protocol in [
            ("haproxy-http1", haproxy(""), ["-m", "20"]),
            ("haproxy-http2", haproxy("proto h2"), ["-m", "20"]),
            ("nginx", nginx_in_front, ["-m", "20"]),
            ("varnish", varnish, ["--h1"]),
        ]:
            if FRONTS and name not in FRONTS:
                continue
            program = front(Path(folder), 1, 1)[0]
            if not checks.check(f"{name}: {program} is installed", shutil.which(program) is not None):
                continue
            # Each has a server of its own, so that what one has left behind is not the next one's.
            with checks.scenario(name), server() as ours, before(front, ours) as port:
                load(name, port, protocol, "/hello", REQUESTS)
                load(name, port, protocol, "/echo", REQUESTS // 10, content)
            with checks.scenario(f"{name}, proxy"), server() as ours, server("--proxy", f"/=http://127.0.0.1:{ours}") as proxy:
                with before(front, proxy) as port:
                    load(f"{name}, our proxy", port, protocol, "/hello", REQUESTS // 10)
                    load(f"{name}, our proxy", port, protocol, "/echo", REQUESTS // 100, content)
    checks.finish()


if __name__ == "__main__":
    main()
