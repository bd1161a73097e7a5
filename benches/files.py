#!/usr/bin/env python3
"""CPU time of files beside nginx: h2load asks both servers for the same files in turn, in the same rounds.

    benches/files.py [--rounds N] [--server target/release/lwsws] [--ways HTTP/1.1,HTTP/2,TLS]

Says for each size and way (HTTP/1.1, HTTP/2, HTTP/2 over TLS) the CPU time of a request, user and system, as the median of the rounds, and
the median of what nginx needs divided by what ours needs in the same round. nginx has sendfile, open_file_cache and one worker, as its
manual has it for static files; ours one thread. Each is bound to the first core, the load to the second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "peers"))

from checks import free_port, running  # noqa: E402 - the path is set above

SIZES = {"1 KiB": (1 << 10, 40_000), "100 KiB": (100 << 10, 8_000), "10 MiB": (10 << 20, 150)}
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children that live."""
    total = 0
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    for process in [pid, *map(int, children)]:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


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


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--server", default="target/release/lwsws")
    arguments.add_argument("--ways", default="HTTP/1.1,HTTP/2,TLS", help="those to measure, with commas between them")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, root = Path(name), Path(name, "served")
        root.mkdir()
        certificate(folder)
        for size, (length, _) in SIZES.items():
            (root / size.replace(" ", "")).write_bytes(os.urandom(length))
        ours, ours_tls, theirs, theirs_tls = (free_port() for _ in range(4))
        common = ["taskset", "-c", "0", options.server, str(root), "--quiet", "--threads", "1", "--keep-alive-requests", "1000000"]
        tls = ["--tls-cert", str(folder / "certificate.pem"), "--tls-key", str(folder / "key.pem")]
        with (
            running([*common, "--port", str(ours)], ours) as plain,
            running([*common, "--port", str(ours_tls), *tls], ours_tls) as secure,
            running(nginx(folder, root, theirs, theirs_tls), theirs) as other,
        ):
            ports = {"HTTP/1.1": (plain, ours, theirs), "HTTP/2": (plain, ours, theirs + 1), "TLS": (secure, ours_tls, theirs_tls)}
            print("| | lwsws | nginx | nginx / lwsws |\n|---|---|---|---|")
            for way in options.ways.split(","):
                process, port, other_port = ports[way]
                scheme = "https" if way == "TLS" else "http"
                for size, (_, requests) in SIZES.items():
                    urls = [f"{scheme}://127.0.0.1:{port}/{size.replace(' ', '')}" for port in (port, other_port)]
                    rounds = []
                    for _ in range(options.rounds):
                        needed = []
                        for pid, url in zip((process.pid, other.pid), urls):
                            before = cpu_seconds(pid)
                            load(url, requests, way)
                            needed.append((cpu_seconds(pid) - before) / requests * 1e6)
                        rounds.append(needed)
                    mine, others = (statistics.median(column) for column in zip(*rounds))
                    ratio = statistics.median(theirs / mine for mine, theirs in rounds)
                    print(f"| {way}, {size} | {mine:.1f} µs | {others:.1f} µs | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
