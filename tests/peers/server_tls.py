#!/usr/bin/env python3
"""TLS of our server, asked by `openssl s_client`, curl, nghttp, h2load, Python and Node.

LWSWS names the server, TLS_HOSTS the example with virtual hosts; NODE_MODULES the folder in which `ws` is installed.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from websockets.asyncio.client import connect

from certificates import KINDS, Authority
from checks import Checks, free_port, running, server_binary

checks = Checks("tls")

HERE = Path(__file__).parent
LOCAL = ("localhost", "127.0.0.1")


def s_client(port: int, *options: str, say: str = "", host: str = "127.0.0.1") -> str:
    """Everything that `openssl s_client` prints."""
    command = ["openssl", "s_client", "-connect", f"{host}:{port}", *options]
    done = subprocess.run(command, input=say, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


def curl(*arguments: str) -> str:
    done = subprocess.run(["curl", "-sS", "--max-time", "30", *arguments], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


GET = "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def versions_and_keys(authority: Authority) -> None:
    for kind in KINDS:
        certificate, key = authority.issue(kind, *LOCAL, kind=kind)
        port = free_port()
        with running([server_binary(), "--port", str(port), "--quiet", "--tls-cert", str(certificate), "--tls-key", str(key)], port):
            for option, version in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")]:
                said = s_client(port, option, "-CAfile", str(authority.root), "-alpn", "h3,http/1.1", "-ign_eof", say=GET)
                checks.check(f"{kind}, {version}: verified", "Verify return code: 0 (ok)" in said, said)
                checks.check(f"{kind}, {version}: spoken", f"{version}, Cipher is " in said, said)
                checks.check(f"{kind}, {version}: ALPN", "ALPN protocol: http/1.1" in said, said)
                checks.check(f"{kind}, {version}: answered", "Hello, world!" in said, said)
                checks.check(f"{kind}, {version}: ended by close_notify", "unexpected eof" not in said, said)
            said = s_client(port, "-tls1_1", "-cipher", "ALL@SECLEVEL=0")
            checks.check(f"{kind}: TLS 1.1 is refused", "alert protocol version" in said or "Cipher is (NONE)" in said, said)


def openssl_program(port: int, authority: Authority, folder: Path) -> None:
    said = s_client(port, "-tls1_2", "-reconnect", "-CAfile", str(authority.root))
    checks.equal("TLS 1.2 sessions are resumed", said.count("Reused, TLSv1.2"), 5)
    session = folder / "session"
    s_client(port, "-tls1_3", "-sess_out", str(session), "-ign_eof", say=GET)
    said = s_client(port, "-tls1_3", "-sess_in", str(session), "-ign_eof", say=GET)
    checks.check("TLS 1.3 sessions are resumed", "Reused, TLSv1.3" in said and "Hello, world!" in said, said)
    said = s_client(port, "-alpn", "h3")
    checks.check("a protocol that is not spoken is refused", "no application protocol" in said, said)
    for group, name in [("X25519", "X25519"), ("P-384", "secp384r1")]:
        said = s_client(port, "-groups", group, "-ign_eof", say=GET)
        checks.check(f"the group {group}", name in said and "Hello, world!" in said, said)
    for cipher in ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"]:
        said = s_client(port, "-tls1_2", "-cipher", cipher, "-ign_eof", say=GET)
        checks.check(f"the cipher suite {cipher}", f"Cipher is {cipher}" in said and "Hello, world!" in said, said)


def key_update(port: int, authority: Authority) -> None:
    """`K` asks both sides for new keys, RFC 8446 §4.6.3, while the connection goes on."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-crlf", "-CAfile", str(authority.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as peer:
        assert peer.stdin and peer.stdout
        peer.stdin.write("K\n")
        peer.stdin.flush()
        said = ""
        while "KEYUPDATE" not in said and (line := peer.stdout.readline()):
            said += line
        # A line of its own: `s_client` takes its commands from whole reads.
        peer.stdin.write("\n" + GET.replace("\r\n", "\n"))
        peer.stdin.flush()
        while "Hello, world!" not in said and (line := peer.stdout.readline()):
            said += line
        peer.kill()
    checks.check("an answer after a key update", "Hello, world!" in said, said[-400:])


def with_curl(port: int, authority: Authority, folder: Path) -> None:
    base = f"https://localhost:{port}"
    roots = ["--cacert", str(authority.root)]
    checks.equal("curl gets a text", curl(*roots, f"{base}/hello"), "Hello, world!")
    checks.check("curl without the root refuses", "certificate" in curl(f"{base}/hello"))
    body, back = folder / "body", folder / "back"
    body.write_bytes(os.urandom(10_000_000))
    curl(*roots, "--http1.1", "--data-binary", f"@{body}", "-o", str(back), f"{base}/echo")
    checks.check("10 MB go there and back", back.exists() and back.read_bytes() == body.read_bytes())
    many = curl(*roots, f"{base}/hello?[1-200]")
    checks.equal("200 requests on one connection", many, "Hello, world!" * 200)
    checks.check("plain HTTP is sent to https", "308 Permanent Redirect" in curl("-i", f"http://localhost:{port}/hello"))
    checks.equal("and curl follows", curl(*roots, "-L", f"http://localhost:{port}/hello"), "Hello, world!")


def http2(port: int, authority: Authority) -> None:
    """What ALPN chooses is spoken, and nothing else."""
    base = f"https://localhost:{port}"
    said = subprocess.run(["nghttp", "-v", f"{base}/hello"], capture_output=True, text=True, timeout=30, check=False).stdout
    checks.check("nghttp agrees on h2", "The negotiated protocol: h2" in said and ":status: 200" in said and "Hello, world!" in said, said)
    said = subprocess.run(["h2load", "-n", "500", "-c", "5", "-m", "10", f"{base}/hello"], capture_output=True, text=True, timeout=60, check=False).stdout
    checks.check("h2load asks 500 times over h2", "Application protocol: h2" in said and "500 succeeded" in said, said)
    roots = ["--cacert", str(authority.root), "-w", "%{http_version}"]
    for option, version in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")]:
        checks.equal(f"curl {option}", curl(*roots, option, f"{base}/hello"), f"Hello, world!{version}")
    said = s_client(port, "-alpn", "h2", "-ign_eof", say=GET)
    checks.check("HTTP/1.1 where h2 was agreed on is no preface", "200 OK" not in said and "ALPN protocol: h2" in said, said)
    preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    said = s_client(port, "-alpn", "http/1.1", "-ign_eof", say=preface)
    checks.check("the preface where HTTP/1.1 was agreed on is answered 505", "HTTP/1.1 505 " in said, said)


def with_python(port: int, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.root))
    peer = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
    for number in range(50):
        data = os.urandom(number * 1009)
        peer.request("POST", "/echo", data)
        if peer.getresponse().read() != data:
            checks.check("Python's https: contents come back", False, number)
            return
    checks.check("Python's https: 50 contents come back on one connection", True)
    peer.close()


async def with_websockets(port: int, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.root))
    async with connect(f"wss://localhost:{port}/echo", ssl=context, max_size=None, open_timeout=20) as peer:
        for size in [0, 1, 125, 126, 1300, 16_383, 16_384, 16_385, 65_536, 1 << 20, 16 << 20]:
            data = os.urandom(size)
            await peer.send(data)
            checks.check(f"wss: {size} octets come back", await peer.recv() == data)
        await (await peer.ping(b"x"))
        messages = [os.urandom(number % 300) for number in range(5_000)]
        sending = asyncio.ensure_future(_send_all(peer, messages))
        checks.check("wss: 5,000 messages without waiting come back in order", [await peer.recv() for _ in messages] == messages)
        await sending
    checks.equal("wss: a clean close", peer.close_code, 1000)

    async def one(number: int) -> bool:
        async with connect(f"wss://localhost:{port}/echo", ssl=context, open_timeout=30) as peer:
            await peer.send(f"peer {number}")
            return await peer.recv() == f"peer {number}"

    done = await asyncio.gather(*[one(number) for number in range(100)])
    checks.check("wss: 100 peers at once", all(done))


async def _send_all(peer, messages) -> None:
    for message in messages:
        await peer.send(message)


def with_node(port: int, authority: Authority) -> None:
    done = subprocess.run(["node", str(HERE / "tls_client.mjs"), str(port)], capture_output=True, text=True, timeout=90, check=False,
                          env={**os.environ, "NODE_EXTRA_CA_CERTS": str(authority.root)}, stdin=subprocess.DEVNULL)
    checks.equal("Node's https and ws", (done.returncode, done.stdout.strip()), (0, "done"))
    print(done.stderr, end="")


def reload(folder: Path) -> None:
    """Certificates change while peers come and go."""
    old, new = Authority(_fresh(folder / "old")), Authority(_fresh(folder / "new"))
    first, second = old.issue("a", *LOCAL), new.issue("b", *LOCAL)
    certificate, key = folder / "live.pem", folder / "live.key"

    def put(pair: tuple[Path, Path]) -> None:
        shutil.copy(pair[0], certificate)
        shutil.copy(pair[1], key)

    put(first)
    port = free_port()
    errors = folder / "errors"
    both = folder / "both.pem"
    both.write_text(old.root.read_text() + new.root.read_text())
    context = ssl.create_default_context(cafile=str(both))
    command = [server_binary(), "--port", str(port), "--quiet", "--tls-cert", str(certificate), "--tls-key", str(key)]
    with errors.open("w") as sink, running(command, port, stderr=sink) as process:
        stop, done = threading.Event(), [0, 0]
        failures: list[str] = []

        def load(place: int, kept: http.client.HTTPSConnection | None) -> None:
            while not stop.is_set():
                peer = kept or http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
                try:
                    peer.request("GET", "/hello")
                    if peer.getresponse().read() != b"Hello, world!":
                        failures.append("another answer")
                    done[place] += 1
                except OSError as error:
                    failures.append(repr(error))
                    return
                if not kept:
                    peer.close()

        kept = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
        threads = [threading.Thread(target=load, args=(0, None)), threading.Thread(target=load, args=(1, kept))]
        for thread in threads:
            thread.start()

        def subject_issuer() -> str:
            return re.findall(r"issuer=.*", s_client(port, "-showcerts"))[0]

        def until(what: str, condition) -> None:
            give_up = time.monotonic() + 20
            while time.monotonic() < give_up:
                if condition():
                    return checks.check(what, True)
                time.sleep(0.01)
            checks.check(what, False)

        served = ssl.get_server_certificate(("127.0.0.1", port))
        key.write_bytes(second[1].read_bytes())
        process.send_signal(signal.SIGHUP)
        until("a bad pair is reported", lambda: "the private key belongs to another certificate" in errors.read_text())
        checks.check("and the old one stays", ssl.get_server_certificate(("127.0.0.1", port)) == served)
        put(second)
        process.send_signal(signal.SIGHUP)
        until("the new pair is served", lambda: ssl.get_server_certificate(("127.0.0.1", port)) != served)
        before = list(done)
        until("and peers go on", lambda: subject_issuer() and all(now > then for now, then in zip(done, before)))
        stop.set()
        for thread in threads:
            thread.join()
        # A connection may end after 1,000 requests; the client opens it again by itself.
        checks.equal("no connection was disturbed", failures, [])
        checks.check("many came", min(done) > 10, done)


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


def virtual_hosts(folder: Path, authority: Authority) -> None:
    authority.issue("default", "default.example", *LOCAL)
    authority.issue("a.example", "a.example", "*.a.example")
    authority.issue("members.example", "members.example")
    alice = authority.issue("alice", "alice", client=True)
    stranger = Authority(_fresh(folder / "strangers"), "their root").issue("mallory", "mallory", client=True)
    port = free_port()
    program = os.environ.get("TLS_HOSTS", "target/debug/examples/tls_hosts")
    with running([program, f"127.0.0.1:{port}", str(folder)], port):
        for name, expected in [("a.example", "a.example"), ("x.a.example", "a.example"), ("nowhere.example", "default.example")]:
            said = s_client(port, "-servername", name)
            checks.check(f"{name} is served by {expected}", f"CN = {expected}" in said, said)
        checks.check("without a name the default", "CN = default.example" in s_client(port, "-noservername"))
        checks.check("a host has its own versions", "Cipher is (NONE)" in s_client(port, "-servername", "a.example", "-tls1_2"))
        checks.check("and others theirs", "Cipher is ECDHE" in s_client(port, "-servername", "x.a.example", "-tls1_2"))

        def fetch(name: str, path: str, *options: str) -> str:
            resolve = f"{name}:{port}:127.0.0.1"
            return curl("--cacert", str(authority.root), "--resolve", resolve, *options, f"https://{name}:{port}{path}")

        checks.equal("a host for everybody", fetch("a.example", "/"), "hello\n")
        checks.check("Host and SNI that disagree: 421", "421" in fetch("a.example", "/", "-i", "-H", "Host: members.example"))
        unnamed = curl("-k", "-i", "-H", "Host: members.example", f"https://127.0.0.1:{port}/whoami")
        checks.check("a client that asks for no name reaches the default host only: 421", "421" in unnamed.split("\n")[0], unnamed)
        checks.check("STS", "strict-transport-security: max-age=3600" in fetch("a.example", "/", "-i").lower())
        member = ["--cert", str(alice[0]), "--key", str(alice[1])]
        checks.equal("a member's name", fetch("members.example", "/whoami", *member), "CN=alice,O=Example\n")
        checks.check("no other client does", "certificate required" in fetch("members.example", "/whoami").replace("_", " ").lower())
        other = ["--cert", str(stranger[0]), "--key", str(stranger[1])]
        refused = fetch("members.example", "/whoami", *other)
        checks.check("and no stranger", "alert" in refused, refused)
        checks.equal("plain peers are served, as it says", curl(f"http://127.0.0.1:{port}/"), "hello\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        with checks.scenario("keys"):
            versions_and_keys(authority)
        certificate, key = authority.issue("server", *LOCAL)
        port = free_port()
        command = [server_binary(), "--port", str(port), "--quiet", "--tls-cert", str(certificate), "--tls-key", str(key)]
        with checks.scenario("the server"), running(command, port):
            with checks.scenario("openssl"):
                openssl_program(port, authority, folder)
            with checks.scenario("key update"):
                key_update(port, authority)
            with checks.scenario("curl"):
                with_curl(port, authority, folder)
            with checks.scenario("http2"):
                http2(port, authority)
            with checks.scenario("python"):
                with_python(port, authority)
            with checks.scenario("websockets"):
                asyncio.run(asyncio.wait_for(with_websockets(port, authority), 90))
            with checks.scenario("node"):
                with_node(port, authority)
        with checks.scenario("reload"):
            reload(folder)
        with checks.scenario("virtual hosts"):
            virtual_hosts(folder, authority)
    checks.finish()


if __name__ == "__main__":
    main()
