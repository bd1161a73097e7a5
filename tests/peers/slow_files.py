#!/usr/bin/env python3
"""A file system that hangs, and an echo beside it: our server over FUSE, whose answers to lookups, opens and reads take three seconds.

    slow_files.py [--measure]

Mounting wants root and /dev/fuse; without them there is nothing to check, and the script says so. With `--measure` it prints what it has
measured as rows of a table, and measures files that are not in memory as well. Needs no package.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from checks import Checks, free_port, running, server_binary

checks = Checks("slow files")

#: Seconds that a slow answer takes.
DELAY = 3.0
#: Octets of a file.
LENGTH = 20_000
#: What a message beside a file system that hangs may take, at the 99th percentile, beside what it takes without: a machine with other work
#: is slow by itself, and a loop that waits for one answer takes three seconds.
ECHO_FACTOR, ECHO_FLOOR = 5, 0.05
MESSAGES = 3_000

KINDS = ("lookup", "open", "read")
ROOT = 1
LOOKUP, GETATTR, OPEN, READ, INIT, OPENDIR = 1, 3, 14, 15, 26, 27
#: Those that want no answer, and those that want an empty one.
SILENT, EMPTY = {2, 36, 42}, {18, 25, 29, 38}


class SlowFiles:
    """A file system of one directory, in which every name that begins with a kind is a file that is slow so."""

    def __init__(self, folder: Path) -> None:
        self.device = os.open("/dev/fuse", os.O_RDWR)
        self.folder = folder
        self.names: dict[int, str] = {}
        self.libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if self.libc.mount(b"slow", str(folder).encode(), b"fuse", 0, options) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self) -> None:
        # Detached, so that nothing that still hangs is waited for.
        self.libc.umount2(str(self.folder).encode(), 2)
        os.close(self.device)

    def serve(self) -> None:
        while True:
            try:
                request = os.read(self.device, 1 << 20)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                return
            if not request:
                return
            _, operation, unique, node = struct.unpack_from("<IIQQ", request)
            threading.Thread(target=self.answer, args=(operation, unique, node, request[40:]), daemon=True).start()

    def reply(self, unique: int, content: bytes = b"", error: int = 0) -> None:
        try:
            os.write(self.device, struct.pack("<IiQ", 16 + len(content), -error, unique) + content)
        except OSError:
            pass  # Whoever has asked is gone.

    def answer(self, operation: int, unique: int, node: int, content: bytes) -> None:
        name = self.names.get(node, "")
        if operation == INIT:
            major, minor, readahead, _ = struct.unpack_from("<IIII", content)
            self.reply(unique, struct.pack("<IIIIHHIIHHI7I", 7, 31, readahead, 0, 12, 9, 1 << 16, 1, 0, 0, 0, *([0] * 7)))
        elif operation == LOOKUP:
            name = content.rstrip(b"\0").decode()
            if not name.startswith(KINDS):
                return self.reply(unique, error=errno.ENOENT)
            if name.startswith("lookup"):
                time.sleep(DELAY)
            number = 2 + abs(hash(name)) % (1 << 40)
            self.names[number] = name
            self.reply(unique, struct.pack("<QQQQII", number, 0, 0, 0, 0, 0) + self.attributes(number))
        elif operation == GETATTR:
            self.reply(unique, struct.pack("<QII", 0, 0, 0) + self.attributes(node))
        elif operation in (OPEN, OPENDIR):
            if name.startswith("open"):
                time.sleep(DELAY)
            self.reply(unique, struct.pack("<QII", 1, 0, 0))
        elif operation == READ:
            _, offset, size = struct.unpack_from("<QQI", content)
            if name.startswith("read"):
                time.sleep(DELAY)
            self.reply(unique, b"x" * max(0, min(size, LENGTH - offset)))
        elif operation in EMPTY:
            self.reply(unique)
        elif operation not in SILENT:
            self.reply(unique, error=errno.ENOSYS)

    def attributes(self, node: int) -> bytes:
        mode, size = (stat.S_IFDIR | 0o755, 0) if node == ROOT else (stat.S_IFREG | 0o644, LENGTH)
        times = (1_600_000_000,) * 3
        return struct.pack("<QQQQQQIIIIIIIIII", node, size, 1, *times, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


class Echo:
    """A WebSocket whose messages come back."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: lws-echo\r\n\r\n"
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.socket.recv(1)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise RuntimeError(head)

    def times(self, messages: int) -> list[float]:
        """How long each message took, sorted."""
        taken = []
        for _ in range(messages):
            start = time.perf_counter()
            self.socket.sendall(b"\x82\x85\0\0\0\0hello")
            left = 7
            while left > 0:
                left -= len(self.socket.recv(left))
            taken.append(time.perf_counter() - start)
        return sorted(taken)


def get(port: int, path: str, answers: dict[str, tuple[bytes, int, float]]) -> None:
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
    head, _, content = received.partition(b"\r\n\r\n")
    answers[path] = (head.split(b"\r\n")[0], len(content), time.monotonic() - start)


def beside(port: int, names: list[str]) -> tuple[list[float], dict[str, tuple[bytes, int, float]]]:
    """Times of an echo while `names` are asked for, all at once."""
    echo, answers = Echo(port), {}
    threads = [threading.Thread(target=get, args=(port, name, answers)) for name in names]
    for thread in threads:
        thread.start()
    times = []
    while not times or any(thread.is_alive() for thread in threads):
        times += echo.times(MESSAGES // 10)
    for thread in threads:
        thread.join()
    return sorted(times), answers


def percentile(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(len(times) * share))]


def row(name: str, times: list[float]) -> None:
    columns = " | ".join(f"{percentile(times, share) * 1e6:.0f} µs" for share in (0.5, 0.99, 0.999))
    print(f"| {name} | {columns} | {len(times)} |", flush=True)


def configuration(folder: Path, root: Path, port: int) -> Path:
    """Files beside an echo, on one thread."""
    (folder / "conf.d").mkdir(parents=True)
    (folder / "conf").write_text('{ "global": { "count-threads": 1 } }')
    (folder / "conf.d" / "host").write_text(
        f'{{ "vhosts": [ {{ "name": "localhost", "port": {port}, "mounts": [ {{ "mountpoint": "/", "origin": "file://{root}" }} ],'
        ' "ws-protocols": [ { "lws-echo": { "default": "1" } } ] } ] }'
    )
    return folder


def hanging(port: int) -> None:
    quiet = Echo(port).times(MESSAGES)
    names = [f"{kind}-{number}" for kind in KINDS for number in range(3)]
    times, answers = beside(port, names)
    for name in names:
        status, length, seconds = answers.get(name, (b"none", 0, 0))
        checks.check(f"{name}: all of it, and late", status.startswith(b"HTTP/1.1 200 ") and length == LENGTH, (status, length))
        checks.check(f"{name}: it has hung", seconds >= DELAY * 0.9, seconds)
    allowed = max(ECHO_FLOOR, ECHO_FACTOR * percentile(quiet, 0.99))
    checks.check("an echo beside it keeps its time", percentile(times, 0.99) <= allowed, (percentile(times, 0.99), allowed))
    if "--measure" in sys.argv:
        row("nothing beside it", quiet)
        row("lookups, opens and reads that take 3 s", times)


def cold(port: int, root: Path) -> None:
    """Files that are on the disk and not in memory, read by a hundred clients."""
    names = [f"cold-{number}" for number in range(100)]
    for name in names:
        with open(root / name, "wb") as file:
            file.write(os.urandom(4 << 20))
            file.flush()
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    reading("100 clients read 4 MiB each that are not in memory", port, root.parent / "targets", names)
    reading("the same, now in memory", port, root.parent / "targets", names)


def reading(what: str, port: int, targets: Path, names: list[str]) -> None:
    """Times of an echo while a process reads, which takes no time from the clock of the echo."""
    targets.write_text("".join(f"http://127.0.0.1:{port}/{name}\n" for name in names))
    readers = subprocess.Popen(
        ["h2load", "--h1", "-c100", "-t1", f"-n{len(names)}", "-i", str(targets)], stdout=subprocess.PIPE, text=True
    )
    echo, times = Echo(port), []
    while readers.poll() is None:
        times += echo.times(20)
    said = readers.communicate()[0]
    checks.check(f"{what}: every file comes whole", f"{len(names)} succeeded" in said, said)
    row(what, sorted(times))


def main() -> None:
    with tempfile.TemporaryDirectory() as name, checks.scenario("a file system that hangs"):
        folder = Path(name, "slow")
        folder.mkdir()
        try:
            slow = SlowFiles(folder)
        except OSError as error:
            checks.check(f"nothing can be mounted here, and nothing was checked: {error}", True)
            checks.finish()
        try:
            port = free_port()
            configured = configuration(Path(name, "conf"), folder, port)
            with running([server_binary(), "--config", str(configured), "--quiet"], port):
                hanging(port)
        finally:
            slow.close()
        if "--measure" in sys.argv:
            warm = Path(name, "files")
            warm.mkdir()
            port = free_port()
            configured = configuration(Path(name, "conf2"), warm, port)
            with running([server_binary(), "--config", str(configured), "--quiet"], port):
                cold(port, warm)
    checks.finish()


if __name__ == "__main__":
    main()
