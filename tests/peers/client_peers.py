#!/usr/bin/env python3
"""Our client, against echo servers that we did not write: Python `websockets` and Node `ws`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from checks import Checks, client_binary, free_port, running

checks = Checks("client")

HERE = Path(__file__).parent


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
    nobody = echo(f"ws://127.0.0.1:{free_port()}/", 1)
    checks.check("a server that is not there is an error in one line", nobody.returncode not in (0, 101) and nobody.stderr.count("\n") == 1, nobody.stderr)
    checks.finish()


if __name__ == "__main__":
    main()
