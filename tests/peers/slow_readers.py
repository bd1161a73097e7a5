#!/usr/bin/env python3
"""Peers that are slow, not dead: curl at a limited rate over HTTP/1.1, HTTP/2 and TLS, and a WebSocket that is read slowly.

    slow_readers.py [SECONDS]

Each takes 4 kB a second or ten times that for SECONDS (75), far longer than a peer may take nothing, and must still be served then. All run
beside each other, and wait.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from checks import Checks, server

checks = Checks("slow readers")

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 75
#: Octets of the file: more than is read, and than buffers on the way hold.
FILE = 32 << 20
#: Octets that curl takes in a second.
RATE = 4_000
#: What curl ends with when its own time is over.
TIME_IS_OVER = 28


def curl(name: str, url: str, *options: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "kept")
        command = ["curl", "--silent", "--show-error", "--limit-rate", str(RATE), "--max-time", str(SECONDS), "-o", str(kept), *options, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 30, check=False)
        size = kept.stat().st_size if kept.exists() else 0
    checks.check(f"{name}: curl at {RATE} octets a second is served until it leaves", done.returncode == TIME_IS_OVER, (done.returncode, done.stderr))
    checks.check(f"{name}: it got what it asked for", size > RATE * SECONDS // 2, size)


def websocket(port: int) -> None:
    """Sends messages whose echoes are far more than it reads, and then reads a little in each second. It answers no Ping: in the time
    that it has by default, none comes through."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
        key = base64.b64encode(os.urandom(16)).decode()
        peer.sendall(
            f"GET /echo HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.recv(1)
        # A mask of zeros; 64 KiB a message.
        message = b"\x82\xff" + (65_536).to_bytes(8, "big") + bytes(4) + bytes(65_536)
        sender = threading.Thread(target=send_all, args=(peer, message * 256), daemon=True)
        sender.start()
        read, until = 0, time.monotonic() + SECONDS
        while time.monotonic() < until:
            try:
                octets = peer.recv(40_000)
            except OSError as error:
                octets = b""
                print(f"note: the WebSocket ends with {error}", flush=True)
            if not octets:
                break
            read += len(octets)
            time.sleep(1)
        checks.check("a WebSocket that is read at 40 kB a second is served until it leaves", time.monotonic() >= until, read)


def send_all(peer: socket.socket, octets: bytes) -> None:
    try:
        peer.sendall(octets)
    except OSError:
        # The reader has left, or says what it has seen.
        pass


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "large.bin").write_bytes(os.urandom(FILE))
        with checks.scenario("slow readers"), server(directory=folder) as plain, server("--tls-self-signed", directory=folder) as secure, server() as demo:
            url, tls = f"http://127.0.0.1:{plain}/large.bin", f"https://127.0.0.1:{secure}/large.bin"
            readers = [
                threading.Thread(target=curl, args=("HTTP/1.1", url)),
                threading.Thread(target=curl, args=("HTTP/2", url, "--http2-prior-knowledge")),
                threading.Thread(target=curl, args=("HTTP/1.1 over TLS", tls, "--insecure", "--http1.1")),
                threading.Thread(target=curl, args=("HTTP/2 over TLS", tls, "--insecure", "--http2")),
                threading.Thread(target=websocket, args=(demo,)),
            ]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
    checks.finish()


if __name__ == "__main__":
    main()
