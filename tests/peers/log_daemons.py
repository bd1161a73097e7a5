#!/usr/bin/env python3
"""The access log with the programs that keep logs on Debian: logrotate moves the file away under load, and journald takes records in its own
protocol and in that of syslog. The daemon runs in namespaces of its own: nothing of the machine's changes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from checks import Checks, free_port, running, server_binary, server_options

checks = Checks("log daemons")

JOURNALD = "/lib/systemd/systemd-journald"
#: Seconds that anything here may take.
PATIENCE = 15


def get(port: int, path: str) -> None:
    with urllib.request.urlopen(f"http://localhost:{port}{path}", timeout=PATIENCE) as response:
        response.read()


def until(is_so) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.02)
    return False


def rotate(folder: Path) -> None:
    """logrotate, five times, while two threads ask."""
    log, pid, port = folder / "access.log", folder / "pid", free_port()
    (folder / "conf").write_text(
        f"{log} {{\n  rotate 9\n  nocompress\n  missingok\n  su {os.getuid()} {os.getgid()}\n"
        f"  postrotate\n    kill -USR1 $(cat {pid})\n  endscript\n}}\n"
    )
    (folder / "conf").chmod(0o644)
    asked = [0, 0]
    ends = threading.Event()

    def load(which: int) -> None:
        while not ends.is_set():
            get(port, f"/hello?{which}-{asked[which]}")
            asked[which] += 1

    command = [server_binary(), "--port", str(port), "--access-log", str(log), "--pid-file", str(pid), *server_options()]
    with running(command, port, stdout=subprocess.DEVNULL):
        threads = [threading.Thread(target=load, args=(which,)) for which in (0, 1)]
        for thread in threads:
            thread.start()
        for turn in range(5):
            time.sleep(0.2)
            done = subprocess.run(["logrotate", "-f", "-s", str(folder / "state"), str(folder / "conf")], capture_output=True, text=True, check=False)
            checks.check(f"logrotate moves the file away, time {turn + 1}", done.returncode == 0, done.stderr)
            checks.check("and there is a new one", until(log.exists), list(folder.iterdir()))
        time.sleep(0.2)
        ends.set()
        for thread in threads:
            thread.join()
    lines = [line for file in folder.glob("access.log*") for line in file.read_text().splitlines()]
    found = sorted(line.split('"')[1] for line in lines if "/hello?" in line)
    wanted = sorted(f"GET /hello?{which}-{number} HTTP/1.1" for which in (0, 1) for number in range(asked[which]))
    checks.check("requests were logged in between", min(asked) > 20, asked)
    checks.check("no line is lost, twice there or cut", found == wanted, (len(found), len(wanted)))


def journal(folder: Path, target: str, port: int) -> list[dict]:
    """What is in the journal of requests that were logged there."""
    command = [server_binary(), "--port", str(port), "--access-log", target, *server_options()]
    with running(command, port, stdout=subprocess.DEVNULL):
        for number in range(50):
            get(port, f"/hello?{target}-{number}")

    def records() -> list[dict]:
        shown = subprocess.run(["journalctl", "--directory=/run/log/journal", "-o", "json", "--no-pager"], capture_output=True, text=True, check=False)
        found = [json.loads(line) for line in shown.stdout.splitlines()]
        return [record for record in found if f"/hello?{target}-" in str(record.get("MESSAGE"))]

    until(lambda: len(records()) >= 50)
    return records()


def inside(folder: Path) -> None:
    """As the first process of the namespaces: with a /run and a /dev/log of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    upper, work = folder / "upper", folder / "work"
    upper.mkdir()
    work.mkdir()
    # A file system of its own for what is added, so that it stacks on whatever the machine has for /dev.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)
    upper.mkdir()
    work.mkdir()
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/dev,upperdir={upper},workdir={work}", "/dev"], check=True)
    Path("/dev/log").unlink(missing_ok=True)
    Path("/dev/log").symlink_to("/run/systemd/journal/dev-log")
    Path("/run/systemd/journal").mkdir(parents=True)
    Path("/run/log/journal").mkdir(parents=True)
    daemon = subprocess.Popen([JOURNALD], stderr=subprocess.DEVNULL)
    checks.check("journald listens", until(lambda: Path("/run/systemd/journal/socket").exists()))
    for target, transport in (("journal", "journal"), ("syslog", "syslog")):
        with checks.scenario(target):
            records = journal(folder, target, free_port())
            checks.equal(f"{target}: each request is a record", len(records), 50)
            first = records[0] if records else {}
            seen = tuple(first.get(name) for name in ("_TRANSPORT", "SYSLOG_IDENTIFIER", "PRIORITY"))
            checks.equal(f"{target}: with what it is of", seen, (transport, "lwsws", "6"))
            message = first.get("MESSAGE", "")
            checks.check(f"{target}: and its line as it is", str(message).startswith("127.0.0.1 - - [") and "200 13" in str(message), message)
    daemon.send_signal(signal.SIGTERM)
    daemon.wait(PATIENCE)
    checks.finish()


def journald(folder: Path) -> None:
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", sys.executable, __file__, "inside", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=8 * PATIENCE, check=False)
    for line in done.stdout.splitlines():
        mark, _, fact = line.partition(f" {checks.title}: ")
        if fact:
            checks.check(fact, mark.strip() == "ok", line)
    checks.check("journald in namespaces of its own", done.returncode == 0, done.stdout[-300:] + done.stderr[-300:])


def main() -> None:
    if sys.argv[1:2] == ["inside"]:
        return inside(Path(sys.argv[2]))
    with tempfile.TemporaryDirectory() as folder, checks.scenario("logrotate"):
        Path(folder).chmod(0o755)
        rotate(Path(folder))
    if os.getuid() == 0 and shutil.which("journalctl") and Path(JOURNALD).exists():
        with tempfile.TemporaryDirectory() as folder, checks.scenario("journald"):
            journald(Path(folder))
    else:
        print("journald is not here, or this is not root: its part does not run", flush=True)
    checks.finish()


if __name__ == "__main__":
    main()
