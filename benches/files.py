#!/usr/bin/env python3
"""CPU time of files beside nginx and h2o, and beside a bare server: h2load asks all of them for the same files in turn, in the same rounds.

    benches/files.py [--rounds N] [--server target/release/lwsws] [--ways HTTP/1.1,HTTP/2,TLS]

Says for each size and way (HTTP/1.1, HTTP/2, HTTP/2 over TLS) the CPU time of a request, user and system, as the median of the rounds, and
the median of what others need divided by what ours needs in the same round. nginx has sendfile, open_file_cache and one worker, as its
manual has it for static files; h2o one thread and its cache of descriptors; ours one thread. The bare server (`load ceiling` beside ours) has
one response in memory for every request, and looks for nothing in one but its end: its ratio is ours as a share of what the machine allows.
Each is bound to the first core, the load to the second. A server that is not installed is left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "peers"))

from checks import free_port, running  # noqa: E402 - the path is set above

COLUMNS = ["lwsws", "nginx", "h2o", "bare"]
SIZES = {"1 KiB": (1 << 10, 40_000), "100 KiB": (100 << 10, 8_000), "10 MiB": (10 << 20, 150)}


def cpu_seconds(pid: int) -> float:
    """Time that the threads of a process have had, user and system: schedstat counts nanoseconds where `stat` counts hundredths."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def load(url: str, requests: int, way: str) -> None:
    ways = {"HTTP/1.1": ["--h1", "-c50"], "HTTP/2": ["-c10", "-m10"], "TLS": ["-c10", "-m10"]}
    command = ["taskset", "-c", "1", "h2load", "-t1", f"-n{requests}", *ways[way], url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if f"{requests} succeeded" not in said:
        raise RuntimeError(said)


def nginx(folder: Path, root: Path, plain: int, tls: int) -> list[str]:
    config = folder / "nginx.conf"
    temporary = "\n".join(f"  {kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config.write_text(f"""
daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off;
{temporary}
  sendfile on;
  tcp_nopush on;
  open_file_cache max=1000;
  keepalive_requests 1000000;
  server {{ listen 127.0.0.1:{plain}; root {root}; }}
  server {{ listen 127.0.0.1:{plain + 1} http2; root {root}; }}
  server {{
    listen 127.0.0.1:{tls} ssl http2;
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    root {root};
  }}
}}
""")
    return ["taskset", "-c", "0", "nginx", "-p", str(folder), "-c", str(config)]


def certificate(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True, capture_output=True,
    )


def h2o(folder: Path, root: Path, plain: int, tls: int) -> list[str]:
    config = folder / "h2o.conf"
    config.write_text(f"""
num-threads: 1
max-connections: 1024
http2-idle-timeout: 60
listen:
  host: 127.0.0.1
  port: {plain}
listen:
  host: 127.0.0.1
  port: {tls}
  ssl:
    certificate-file: {folder}/certificate.pem
    ocsp-update-interval: 0
    key-file: {folder}/key.pem
hosts:
  default:
    paths:
      /: {{ file.dir: {root} }}
""")
    return ["taskset", "-c", "0", "h2o", "--mode", "worker", "--conf", str(config)]


class Contender(NamedTuple):
    """A server, and its ports by ways."""

    name: str
    pid: int
    ports: dict[str, int]


def bare(server: str, size: int, port: int) -> list[str]:
    program = Path(server).with_name("load")
    return ["taskset", "-c", "0", str(program), "ceiling", "http", "--port", str(port), "--content", str(size)]


def row(way: str, size: str, contenders: list[Contender], rounds: int) -> str:
    requests = SIZES[size][1]
    scheme = "https" if way == "TLS" else "http"
    measured = []
    for _ in range(rounds):
        needed = []
        for contender in contenders:
            before = cpu_seconds(contender.pid)
            load(f"{scheme}://127.0.0.1:{contender.ports[way]}/{size.replace(' ', '')}", requests, way)
            needed.append((cpu_seconds(contender.pid) - before) / requests * 1e6)
        measured.append(needed)
    cells = {contender.name: f"{statistics.median(column):.1f} µs" for contender, column in zip(contenders, zip(*measured))}
    for index, contender in enumerate(contenders[1:], 1):
        cells[contender.name] += f", {statistics.median(needed[index] / needed[0] for needed in measured):.2f}"
    return f"| {way}, {size} | " + " | ".join(cells.get(name, "") for name in COLUMNS) + " |"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--server", default="target/release/lwsws")
    arguments.add_argument("--ways", default="HTTP/1.1,HTTP/2,TLS", help="those to measure, with commas between them")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as started:
        folder, root = Path(name), Path(name, "served")
        root.mkdir()
        # h2o's worker is another user.
        folder.chmod(0o755)
        certificate(folder)
        for size, (length, _) in SIZES.items():
            (root / size.replace(" ", "")).write_bytes(os.urandom(length))

        def start(command: list[str], port: int) -> int:
            return started.enter_context(running(command, port)).pid

        ours, ours_tls, theirs, theirs_tls, h2o_plain, h2o_tls = (free_port() for _ in range(6))
        common = ["taskset", "-c", "0", options.server, str(root), "--quiet", "--threads", "1", "--keep-alive-requests", "1000000"]
        tls = ["--tls-cert", str(folder / "certificate.pem"), "--tls-key", str(folder / "key.pem")]
        plain, secure = start([*common, "--port", str(ours)], ours), start([*common, "--port", str(ours_tls), *tls], ours_tls)
        others = []
        if shutil.which("nginx"):
            pid = start(nginx(folder, root, theirs, theirs_tls), theirs)
            others.append(Contender("nginx", pid, {"HTTP/1.1": theirs, "HTTP/2": theirs + 1, "TLS": theirs_tls}))
        if shutil.which("h2o"):
            pid = start(h2o(folder, root, h2o_plain, h2o_tls), h2o_plain)
            others.append(Contender("h2o", pid, {"HTTP/1.1": h2o_plain, "HTTP/2": h2o_plain, "TLS": h2o_tls}))
        print("| | " + " | ".join(COLUMNS) + " |\n" + "|---" * (1 + len(COLUMNS)) + "|")
        for way in options.ways.split(","):
            own = Contender("lwsws", secure if way == "TLS" else plain, {"HTTP/1.1": ours, "HTTP/2": ours, "TLS": ours_tls})
            for size, (length, _) in SIZES.items():
                contenders = [own, *others]
                if way == "HTTP/1.1" and length < 1 << 20:
                    port = free_port()
                    contenders.append(Contender("bare", start(bare(options.server, length, port), port), {way: port}))
                print(row(way, size, contenders, options.rounds), flush=True)


if __name__ == "__main__":
    main()
