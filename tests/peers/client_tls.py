#!/usr/bin/env python3
"""TLS of our client, against servers that we did not write: Python `websockets` and `hypercorn`, Node `ws` and `http2`,
`openssl s_server`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from certificates import KINDS, Authority, openssl
from checks import Checks, free_port, running

checks = Checks("client tls")

HERE = Path(__file__).parent


def client(port: int, *options: str, count: int = 60) -> subprocess.CompletedProcess:
    command = [os.environ.get("LWS_TLS_CLIENT", "target/release/tls-client"), f"localhost:{port}/", str(count), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


def echoes(authority: Authority) -> None:
    """60 messages come back, whatever the server and its key."""
    for peer, command in [
        ("Python websockets", [sys.executable, str(HERE / "echo_server.py")]),
        ("Node ws", ["node", str(HERE / "echo_server.mjs")]),
    ]:
        for kind in KINDS:
            certificate, key = authority.issue(f"{kind}-server", "localhost", kind=kind)
            port = free_port()
            with checks.scenario(f"{peer}, {kind}"), running([*command, str(port), str(certificate), str(key)], port):
                for version in ("TLSv1.2", "TLSv1.3"):
                    done = client(port, "--ca", str(authority.root), "--version", version, "--times", "2")
                    checks.equal(f"{peer}, {kind}, {version}: messages come back", (done.returncode, done.stderr), (0, ""))
                    lines = done.stdout.splitlines()
                    checks.check(f"{peer}, {kind}: {version} is spoken", all(line.startswith(version) for line in lines), lines)
                    checks.check(f"{peer}, {kind}, {version}: the second is a resumption", lines[-1].endswith("resumed"), lines)


def http2(authority: Authority) -> None:
    """WebSockets over HTTP/2, which ALPN has to choose."""
    pair = [str(path) for path in authority.issue("http2", "localhost")]
    roots = ["--ca", str(authority.root), "--http2"]
    for peer, command in [
        ("Python hypercorn", [sys.executable, str(HERE / "http2_server.py")]),
        ("Node http2", ["node", str(HERE / "http2_server.mjs")]),
    ]:
        port = free_port()
        with checks.scenario(f"{peer} over HTTP/2"), running([*command, str(port), *pair], port):
            done = client(port, *roots)
            checks.equal(f"{peer} over HTTP/2: messages come back", (done.returncode, done.stderr), (0, ""))
            checks.check(f"{peer} over HTTP/2: it was agreed on", "alpn=h2" in done.stdout, done.stdout)
    port = free_port()
    with checks.scenario("no HTTP/2"), running([sys.executable, str(HERE / "echo_server.py"), str(port), *pair], port):
        done = client(port, *roots, count=1)
        checks.check("a server that has not agreed on HTTP/2 is reported", re.match("tls_(no_protocol|alert_received): ", done.stderr), done.stderr)


def failures(folder: Path, authority: Authority) -> None:
    """What is wrong with a server is reported by name."""
    good = authority.issue("good", "localhost")
    elsewhere = authority.issue("elsewhere", "elsewhere.example")
    other = Authority(_fresh(folder / "other"), "other root")
    alice = authority.issue("alice", "alice", client=True)
    expired = (folder / "expired.pem", folder / "expired.key")
    openssl("req", "-x509", *KINDS["ecdsa"], "-nodes", "-days", "1", "-subj", "/CN=expired", "-keyout", str(expired[1]), "-out", str(expired[0]))
    der = folder / "good.der"
    openssl("x509", "-in", str(good[0]), "-outform", "DER", "-out", str(der))
    ours = ["--ca", str(authority.root)]
    for name, pair, more, options, expected in [
        ("another name", elsewhere, [], ours, r"tls_certificate_wrong_name: .*CN=elsewhere.example"),
        ("an unknown root", good, [], ["--ca", str(other.root)], r"tls_certificate_unknown_issuer: .*CN=localhost"),
        ("a certificate that is not pinned", expired, [], ["--pin", str(der)], r"tls_certificate_not_pinned: .*CN=expired"),
        ("no version in common", good, ["-tls1_2"], [*ours, "--version", "TLSv1.3"], r"tls_alert_received: .*protocol_version"),
        ("a client certificate is missing", good, ["-tls1_2", "-Verify", "1", "-CAfile", str(authority.root)], ours, r"tls_alert_received: .*(certificate_required|handshake_failure)"),
    ]:
        port = free_port()
        command = ["openssl", "s_server", "-accept", str(port), "-cert", str(pair[0]), "-key", str(pair[1]), "-quiet", "-www", *more]
        with checks.scenario(name), running(command, port, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            done = client(port, *options, count=1)
            checks.check(f"{name} is reported", re.match(expected, done.stderr) and done.returncode == 1, done.stderr)
    for name, options in [("pinned", ["--pin", str(der)]), ("insecure", ["--insecure"]), ("with a certificate", [*ours, "--cert", str(alice[0]), "--key", str(alice[1])])]:
        port = free_port()
        command = ["openssl", "s_server", "-accept", str(port), "-cert", str(good[0]), "-key", str(good[1]), "-quiet", "-www", "-Verify", "1", "-CAfile", str(authority.root)]
        if name != "with a certificate":
            command = command[:-4]
        with checks.scenario(name), running(command, port, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            done = client(port, *options, count=1)
            # `-www` answers every request with a page, which is no WebSocket: TLS is there, and no handshake of RFC 6455.
            checks.check(f"{name}: TLS is there", done.stdout.startswith("TLSv1.3 "), done.stderr)
            checks.check(f"{name}: and the answer is understood", "Handshake(" in done.stderr, done.stderr)
    nobody = client(free_port(), *ours, count=1)
    checks.check("a server that is not there is an error in one line", nobody.returncode == 1 and nobody.stderr.count("\n") == 1, nobody.stderr)


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        echoes(authority)
        http2(authority)
        failures(folder, authority)
    checks.finish()


if __name__ == "__main__":
    main()
