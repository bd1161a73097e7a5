#!/usr/bin/env python3
"""Our client through proxies that we did not write: squid and tinyproxy by HTTP, in absolute form and by CONNECT, with and without
credentials; dante and microsocks by SOCKS 5. Behind them are servers of Python, with and without TLS. The example `fetch` asks, and
`wscat` talks through one."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from certificates import Authority
from checks import Checks, free_port, running

checks = Checks("client proxies")

#: The programs under test.
FETCH = os.environ.get("FETCH", "target/debug/examples/fetch")
WSCAT = os.environ.get("WSCAT", "target/debug/examples/wscat")
#: Octets of the long answer.
LONG = 3 << 20
CONTENT = os.urandom(LONG)


class Behind(BaseHTTPRequestHandler):
    """Answers with the long content, with the fields that have come, or with the digest of what was posted."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/long":
            return self.answer(CONTENT)
        self.answer("".join(f"{name.lower()}: {value}\n" for name, value in self.headers.items()).encode())

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(hashlib.sha256(content).hexdigest().encode())

    def answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def behind(pair: tuple[Path, Path] | None = None) -> Iterator[int]:
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    if pair:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*pair)
        serving.socket = context.wrap_socket(serving.socket, server_side=True)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    try:
        yield serving.server_address[1]
    finally:
        serving.shutdown()


def squid(folder: Path, port: int) -> list[str]:
    config = folder / "squid.conf"
    config.write_text(f"""
http_port 127.0.0.1:{port}
http_access allow all
cache deny all
cache_log /dev/null
access_log none
pid_filename none
coredump_dir none
shutdown_lifetime 0 seconds
visible_hostname squid.test
""")
    return ["squid", "-N", "-f", str(config)]


def tinyproxy(folder: Path, port: int) -> list[str]:
    config = folder / "tinyproxy.conf"
    config.write_text(f"""
Port {port}
Listen 127.0.0.1
Timeout 60
MaxClients 50
LogLevel Critical
BasicAuth user secret
""")
    return ["tinyproxy", "-d", "-c", str(config)]


def dante(folder: Path, port: int) -> list[str]:
    config = folder / "danted.conf"
    config.write_text(f"""
logoutput: /dev/null
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
""")
    return ["danted", "-f", str(config)]


def microsocks(_: Path, port: int) -> list[str]:
    return ["microsocks", "-i", "127.0.0.1", "-p", str(port), "-u", "user", "-P", "secret"]


def fetch(proxy: str, *arguments: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"http_proxy": proxy, "https_proxy": proxy}
    return subprocess.run([FETCH, *arguments], env=environment, capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


def through(name: str, proxy: str, plain: int, secure: int, *, names_itself: bool) -> None:
    """Everything that is asked is answered, octet for octet."""
    for url in (f"http://localhost:{plain}", f"https://localhost:{secure}"):
        long = fetch(proxy, f"{url}/long")
        checks.check(f"{name}: {LONG} octets from {url}", long.stdout == CONTENT, (len(long.stdout), long.stderr))
        posted = fetch(proxy, "-d", "content" * 1000, f"{url}/")
        checks.equal(f"{name}: a post to {url}", posted.stdout, hashlib.sha256(b"content" * 1000).hexdigest().encode())
        fields = fetch(proxy, f"{url}/").stdout.decode().lower()
        checks.check(f"{name}: credentials for the proxy stay with it, {url}", "host: localhost" in fields and "proxy-authorization" not in fields, fields)
        via = any(line.startswith("via: ") for line in fields.splitlines())
        checks.equal(f"{name}: it is asked for {'the whole' if names_itself and url.startswith('http:') else 'a tunnel'}, {url}", via, names_itself and url.startswith("http:"))


def refused(name: str, proxy: str, plain: int, secure: int, said: dict[str, str]) -> None:
    """Wrong credentials are one failure, or the proxy's own answer."""
    for scheme, port in (("http", plain), ("https", secure)):
        done = fetch(proxy, "-i", f"{scheme}://localhost:{port}/long")
        text = (done.stdout + done.stderr).decode(errors="replace")
        checks.check(f"{name}: wrong credentials, {scheme}", said[scheme] in text and CONTENT not in done.stdout, text[:300])


def talk(name: str, proxy: str) -> None:
    """Lines are messages, written before the WebSocket is open; the end of the input closes it."""
    port = free_port()
    with running([sys.executable, str(Path(__file__).parent / "echo_server.py"), str(port)], port):
        environment = {**os.environ, "http_proxy": proxy}
        lines = ["one\n", "two\n", "3" * 10_000 + "\n"]
        command = [WSCAT, "-n", f"ws://127.0.0.1:{port}/"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, text=True, env=environment, **pipes) as cat:
            cat.stdin.writelines(lines)
            cat.stdin.flush()
            checks.check(f"{name}: every line comes back", [cat.stdout.readline() for _ in lines] == lines)
            cat.stdin.close()
            checks.equal(f"{name}: it ends with its input", cat.wait(20), 0)


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lws-proxies-")))
        # The proxies may run as other users.
        folder.chmod(0o755)
        authority = Authority(folder)
        os.environ["SSL_CERT_FILE"] = str(authority.root)
        plain = stack.enter_context(behind())
        secure = stack.enter_context(behind(authority.issue("server", "localhost")))
        for name, command, scheme, user in [
            ("squid", squid, "http", ""),
            ("tinyproxy", tinyproxy, "http", "user:secret@"),
            ("dante", dante, "socks5h", ""),
            ("microsocks", microsocks, "socks5h", "user:secret@"),
        ]:
            port = free_port()
            with checks.scenario(name), running(command(folder, port), port, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
                through(name, f"{scheme}://{user}127.0.0.1:{port}", plain, secure, names_itself=scheme == "http")
                if user:
                    # Asked for the whole it is the proxy that answers; a tunnel is made or not.
                    said = {"http": " 401 " if name == "tinyproxy" else "proxy", "https": "proxy"}
                    refused(name, f"{scheme}://user:wrong@127.0.0.1:{port}", plain, secure, said)
        port = free_port()
        with checks.scenario("wscat"), running(microsocks(folder, port), port, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            talk("through microsocks", f"socks5h://user:secret@127.0.0.1:{port}")
        nobody = fetch(f"http://127.0.0.1:{free_port()}", f"http://localhost:{plain}/long")
        checks.check("a proxy that is not there is a failure in one line", nobody.returncode == 1 and nobody.stderr.count(b"\n") == 1, nobody.stderr)
    checks.finish()


if __name__ == "__main__":
    main()
