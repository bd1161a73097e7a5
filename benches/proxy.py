#!/usr/bin/env python3
"""CPU time of a proxied request beside nginx and haproxy, of a proxied WebSocket message beside a bare relay, and of a client beside libcurl.

    benches/proxy.py [--rounds N] [--parts small,http2,large,echo,idle,client] [--programs target/release]

All of one part take turns in the same rounds, in front of the same upstream, which is an nginx. A proxy has the first core; the upstream
and the load share the second. CPU time is user and system of the proxy's process, by the scheduler's own count; what is printed are medians
of the rounds, and medians of the ratios within a round. The load of `small` and `large` comes from 100 connections over HTTP/1.1, that of
`http2` from 10 of HTTP/2 with 10 requests each; all proxies keep their connections to the upstream. nginx and haproxy say where a request
is from in `X-Forwarded-For` and `X-Forwarded-Proto`, as ours does. Debian's nginx, haproxy, h2load, and for `client` libcurl4-openssl-dev
and a C compiler are needed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "peers"))

from checks import free_port, running  # noqa: E402 - the path is set above
from files import certificate, cpu_seconds  # noqa: E402 - beside this file

FIRST, SECOND = ["taskset", "-c", "0"], ["taskset", "-c", "1"]
KEPT = "1000000"


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found, "a process has memory"
    return int(found[1]) * 1024


NGINX_HEAD = """
daemon off;
master_process off;
worker_processes 1;
pid {name}.pid;
error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {name}-1; proxy_temp_path {name}-2; fastcgi_temp_path {name}-3; uwsgi_temp_path {name}-4; scgi_temp_path {name}-5;
"""


def nginx(folder: Path, name: str, servers: str) -> list[str]:
    config = folder / f"{name}.conf"
    config.write_text(NGINX_HEAD.format(name=name) + servers + "}\n")
    return ["nginx", "-p", str(folder), "-c", str(config)]


def upstream(folder: Path, port: int) -> list[str]:
    (folder / "large").write_bytes(os.urandom(1 << 20))
    return nginx(folder, "upstream", f"""
  sendfile on;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {folder};
    location = /small {{ return 200 "Hello, world!"; }}
  }}
""")


def nginx_proxy(folder: Path, port: int, second: int, behind: int) -> list[str]:
    return nginx(folder, "proxy", f"""
  upstream behind {{ server 127.0.0.1:{behind}; keepalive 200; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    listen 127.0.0.1:{second} http2;
    location / {{
      proxy_pass http://behind;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
""")


def haproxy(folder: Path, port: int, second: int, behind: int) -> list[str]:
    config = folder / "haproxy.cfg"
    config.write_text(f"""
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
frontend front
  bind 127.0.0.1:{port}
  bind 127.0.0.1:{second} proto h2
  http-request set-header X-Forwarded-Proto http
  default_backend behind
backend behind
  http-reuse always
  server one 127.0.0.1:{behind} pool-max-conn 200
""")
    return ["haproxy", "-q", "-f", str(config)]


class Bench:
    """What all parts need: programs, a folder, and how often to measure."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.programs, self.rounds, self.folder = Path(options.programs), options.rounds, folder
        self.load = [*SECOND, str(self.programs / "load")]

    def ours(self, port: int, *arguments: str) -> list[str]:
        return [str(self.programs / "lwsws"), "--port", str(port), "--quiet", "--threads", "1", "--keep-alive-requests", KEPT, *arguments]

    def table(self, what: str, measures: dict[str, Callable[[], float]], unit: str, wanted: dict[str, float]) -> None:
        """A row: each measure in turn, in every round; ratios are ours to the others'."""
        rounds = [{name: measure() for name, measure in measures.items()} for _ in range(self.rounds)]
        first, *others = measures
        figures = ", ".join(f"{name} {statistics.median(row[name] for row in rounds):.2f}" for name in measures)
        ratios = []
        for other in others:
            ratio = statistics.median(row[first] / row[other] for row in rounds)
            verdict = "" if other not in wanted else f" (at most {wanted[other]}{'' if ratio <= wanted[other] else ': missed'})"
            ratios.append(f"{ratio:.2f} of {other}{verdict}")
        print(f"| {what} | {figures} {unit} | {'; '.join(ratios)} |", flush=True)


def h2load(url: str, requests: int, *options: str) -> None:
    command = [*SECOND, "h2load", "-t1", f"-n{requests}", *options, url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if f"{requests} succeeded" not in said:
        raise RuntimeError(said)


@contextlib.contextmanager
def proxies(bench: Bench) -> Iterator[dict[str, tuple[int, int, int]]]:
    """The three proxies in front of one upstream: of each its process, and its ports for HTTP/1.1 and HTTP/2."""
    behind, ours, theirs, theirs2, others, others2 = (free_port() for _ in range(6))
    with (
        running([*SECOND, *upstream(bench.folder, behind)], behind),
        running([*FIRST, *bench.ours(ours, "--proxy", f"/=http://127.0.0.1:{behind}")], ours) as lwsws,
        running([*FIRST, *nginx_proxy(bench.folder, theirs, theirs2, behind)], theirs) as second,
        running([*FIRST, *haproxy(bench.folder, others, others2, behind)], others) as third,
    ):
        yield {"lwsws": (lwsws.pid, ours, ours), "nginx": (second.pid, theirs, theirs2), "haproxy": (third.pid, others, others2)}


def requests(bench: Bench, what: str, path: str, count: int, http2: bool, wanted: dict[str, float]) -> None:
    shape = ["-c10", "-m10"] if http2 else ["--h1", "-c100"]
    with proxies(bench) as all_of_them:

        def measure(pid: int, port: int) -> float:
            before = cpu_seconds(pid)
            h2load(f"http://127.0.0.1:{port}{path}", count, *shape)
            return (cpu_seconds(pid) - before) / count * 1e6

        measures = {
            name: lambda pid=pid, port=second if http2 else port: measure(pid, port) for name, (pid, port, second) in all_of_them.items()
        }
        for warm in measures.values():
            warm()
        bench.table(what, measures, "µs", wanted)


def echo(bench: Bench) -> None:
    """A message through the proxy, and through a program that moves octets and nothing else."""
    behind, ours, bare = free_port(), free_port(), free_port()
    relay = [str(bench.programs / "load"), "relay", "--port", str(bare), "--to", str(behind)]
    with (
        running([*SECOND, *bench.ours(behind)], behind),
        running([*FIRST, *bench.ours(ours, "--proxy", f"/=http://127.0.0.1:{behind}")], ours) as proxy,
        running([*FIRST, *relay], bare) as splices,
    ):

        def measure(port: int, pid: int) -> float:
            command = [*bench.load, "echo", "--port", str(port), "--pid", str(pid), "--seconds", "1"]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found = re.search(r"([\d,]+) ns of CPU per message", said)
            assert found and "bad 0" in said, said
            return int(found[1].replace(",", "")) / 1e3

        measures = {"lwsws": lambda: measure(ours, proxy.pid), "splice": lambda: measure(bare, splices.pid)}
        bench.table("WebSocket, 128 B there and back", measures, "µs", {"splice": 2.2})


def idle(bench: Bench, count: int = 500) -> None:
    """What an idle WebSocket holds of the proxy's memory."""
    behind, ours = free_port(), free_port()
    with (
        running([*SECOND, *bench.ours(behind)], behind),
        running([*FIRST, *bench.ours(ours, "--proxy", f"/=http://127.0.0.1:{behind}")], ours) as proxy,
    ):
        command = [*bench.load, "idle", "--port", str(ours), "--pid", str(proxy.pid), "--connections", str(count)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"each idle WebSocket\s+(\d+) bytes resident", said.stdout)
        assert found, said.stdout + said.stderr
        after = re.search(r"after one echo on each\s+(\d+)", said.stdout)
        size = int(found[1])
        print(f"| idle WebSocket, {count} of them | {size} B; {after[1] if after else '?'} B after an echo | at most 1024{'' if size <= 1024 else ': missed'} |")


def clients(bench: Bench) -> None:
    """A hundred requests at a time, by our client and by libcurl's multi interface."""
    multi, plain, secure = bench.folder / "multi", free_port(), free_port()
    subprocess.run(["cc", "-O2", "-o", str(multi), str(HERE / "multi.c"), "-lcurl"], check=True)
    certificate(bench.folder)
    tls = ["--tls-cert", str(bench.folder / "certificate.pem"), "--tls-key", str(bench.folder / "key.pem")]
    with running([*SECOND, *bench.ours(plain)], plain), running([*SECOND, *bench.ours(secure, *tls)], secure):
        for name, version, url, most in [
            ("one connection of HTTP/2, TLS", "2", f"https://127.0.0.1:{secure}/hello", 0.6),
            ("6 connections of HTTP/1.1", "1.1", f"http://127.0.0.1:{plain}/hello", 1.0),
        ]:

            def measure(*command: str, version: str = version, url: str = url) -> float:
                arguments = [*FIRST, *command, version, "200", "100", url]
                return float(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)

            measures = {
                "lws-client": lambda: measure(str(bench.programs / "load"), "ask"),
                "libcurl": lambda: measure(str(multi)),
            }
            bench.table(f"100 requests at a time, {name}", measures, "µs each", {"libcurl": most})


PARTS: dict[str, Callable[[Bench], None]] = {
    "small": lambda bench: requests(bench, "13 B, HTTP/1.1", "/small", 20_000, False, {"nginx": 1.0, "haproxy": 0.8}),
    "http2": lambda bench: requests(bench, "13 B, HTTP/2 to HTTP/1.1", "/small", 20_000, True, {"nginx": 0.7}),
    "large": lambda bench: requests(bench, "1 MiB, HTTP/1.1", "/large", 1_000, False, {"nginx": 1.0}),
    "echo": echo,
    "idle": idle,
    "client": clients,
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--parts", default=",".join(PARTS), help="those to measure, with commas between them")
    arguments.add_argument("--programs", default="target/release", help="where lwsws and load are")
    options = arguments.parse_args()
    print("| what | CPU time of each | ratio |\n|---|---|---|")
    for part in options.parts.split(","):
        with tempfile.TemporaryDirectory() as name:
            PARTS[part](Bench(options, Path(name)))


if __name__ == "__main__":
    main()
