#!/usr/bin/env python3
"""HTTP/2 of our server without TLS, asked by nghttp, h2load, curl, and the Python packages `h2`, `wsproto` and `httpx`."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import httpx
from wsproto import frame_protocol as ws

from checks import Checks, server

checks = Checks("http2")

PRIOR = "--http2-prior-knowledge"
#: Seconds that any of the peers may take for one thing.
SECONDS = 30


def run(*command: str, content: bytes | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(command, input=content, capture_output=True, timeout=2 * SECONDS, check=False)


# nghttp and h2load.


def nghttp(base: str) -> None:
    done = run("nghttp", f"{base}/hello")
    checks.equal("nghttp GET /hello", (done.returncode, done.stdout), (0, b"Hello, world!"))
    done = run("nghttp", "--upgrade", f"{base}/hello")
    checks.equal("nghttp GET /hello by Upgrade: h2c", (done.returncode, done.stdout), (0, b"Hello, world!"))

    told = run("nghttp", "-v", f"{base}/hello").stdout.decode()
    for what in (":status: 200", "content-length: 13", "recv SETTINGS frame", "SETTINGS_ENABLE_CONNECT_PROTOCOL(0x08):1"):
        checks.check(f"nghttp -v shows {what}", what in told, told)
    checks.check("nghttp -v shows no field with a capital", not re.search(r"\) [^:\s]*[A-Z][^:\s]*: ", told), told)

    done = run("nghttp", "-m", "500", f"{base}/hello", f"{base}/")
    checks.check("nghttp asks 1,000 times", done.stdout.count(b"Hello, world!") >= 500, (done.returncode, done.stderr))
    with tempfile.TemporaryDirectory() as folder:
        upload = Path(folder, "upload")
        upload.write_bytes(os.urandom(1_000_000))
        data = ("-d", str(upload))
        for name, options in [
            ("", []),
            ("with padding", ["--padding=255"]),
            ("by Upgrade: h2c", ["--upgrade"]),
            ("without a length", ["--no-content-length"]),
            ("with trailers", ["--trailer", "x-checksum: 1"]),
            ("and waits for 100", ["--expect-continue"]),
            ("without RFC 7540 priorities", ["--no-rfc7540-pri", "--no-dep"]),
            ("and changes its tables", ["-c", "0", "-c", "8192", "--encoder-header-table-size=0"]),
            ("with small windows", ["-w", "10", "-W", "16"]),
        ]:
            done = run("nghttp", *options, *data, f"{base}/echo")
            same = done.stdout == upload.read_bytes()
            checks.check(f"nghttp posts 1 MB {name}", same, (done.returncode, len(done.stdout), done.stderr))
        done = run("nghttp", "--continuation", f"{base}/hello")
        checks.check("nghttp sends a section over the limit in CONTINUATION frames", b"too large" in done.stdout, done.stdout)
        upload.write_bytes(os.urandom(10_000))
        done = run("nghttp", "-m", "100", *data, f"{base}/echo")
        # It writes what comes of all of them as it comes.
        checks.equal("nghttp posts 100 times on one connection", (done.returncode, len(done.stdout)), (0, 1_000_000))


def h2load(base: str) -> None:
    with tempfile.NamedTemporaryFile() as upload:
        upload.write(os.urandom(100_000))
        upload.flush()
        for name, path, options, requests in [
            ("on 1 connection", "/hello", ["-c1", "-m100"], 5_000),
            ("on 50 connections", "/hello", ["-c50", "-m20"], 5_000),
            ("with the smallest windows", "/", ["-c10", "-m50", "-w1", "-W16"], 500),
            ("by one stream at a time", "/hello", ["-c10", "-m1"], 1_000),
            ("with uploads", "/echo", ["-c10", "-m20", "-d", upload.name], 500),
        ]:
            done = run("h2load", *options, "-n", str(requests), f"{base}{path}")
            told = done.stdout.decode()
            all_good = f"{requests} succeeded, 0 failed, 0 errored, 0 timeout" in told
            checks.check(f"h2load asks {requests} times {name}", all_good and f"{requests} 2xx" in told, told)


# curl.


def curl(url: str, *options: str, content: bytes | None = None) -> tuple[str, int, dict[str, str], bytes, bytes]:
    """One transfer: HTTP version, final status, fields, content, and all heads as they were told."""
    with tempfile.TemporaryDirectory() as folder:
        head, body = Path(folder, "head"), Path(folder, "body")
        run("curl", "--silent", "--max-time", str(SECONDS), "-D", str(head), "-o", str(body), *options, url, content=content)
        heads = head.read_bytes() if head.exists() else b""
        received = body.read_bytes() if body.exists() else b""
    last = [part for part in heads.split(b"\r\n\r\n") if part][-1:] or [b"none 000"]
    lines = last[0].decode("latin-1").split("\r\n")
    version, status = lines[0].split()[:2]
    fields = {name: value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return version, int(status), fields, received, heads


def curl_demo(base: str) -> None:
    ten_mb = os.urandom(10_000_000)
    post = ("--data-binary", "@-", "-H", "Expect:")
    for how in (PRIOR, "--http2"):
        version, status, fields, content, heads = curl(f"{base}/hello", how)
        checks.equal(f"curl {how} GET", (version, status, content), ("HTTP/2", 200, b"Hello, world!"))
        checks.check(f"curl {how} GET is dated", fields.get("date", "").endswith(" GMT"), fields)
        if how == "--http2":
            checks.check("curl --http2 is answered by 101", heads.startswith(b"HTTP/1.1 101"), heads)
        version, status, fields, _, _ = curl(f"{base}/hello", how, "--head")
        checks.equal(f"curl {how} HEAD", (version, status, fields.get("content-length")), ("HTTP/2", 200, "13"))
        checks.equal(f"curl {how} 404", curl(f"{base}/no/such/page", how)[:2], ("HTTP/2", 404))
        version, status, fields, _, _ = curl(f"{base}/hello", how, "-X", "DELETE")
        checks.equal(f"curl {how} 405", (version, status), ("HTTP/2", 405))
        checks.check(f"curl {how} 405 says what is allowed", "GET" in fields.get("allow", ""), fields)
    version, status, _, content, _ = curl(f"{base}/echo", PRIOR, *post, content=ten_mb)
    checks.check("curl posts 10 MB", (version, status, content == ten_mb) == ("HTTP/2", 200, True), (version, status, len(content)))
    # More content than may go before the answer of an upgrade is not for HTTP/2: what matters is that it comes back.
    _, status, _, content, _ = curl(f"{base}/echo", "--http2", *post, content=ten_mb)
    checks.check("curl posts 10 MB and offers HTTP/2", (status, content == ten_mb) == (200, True), (status, len(content)))
    version, status, _, content, heads = curl(f"{base}/echo", PRIOR, *post, "-H", "Expect: 100-continue", "--expect100-timeout", "20", content=ten_mb)
    checks.check("curl gets 100 before its content", heads.startswith(b"HTTP/2 100"), heads)
    checks.check("curl posts 10 MB after 100", (status, content == ten_mb) == (200, True), (status, len(content)))
    checks.equal("curl posts nothing", curl(f"{base}/echo", PRIOR, "-X", "POST", "-H", "Content-Length: 0")[1:4:2], (200, b""))
    checks.equal("curl expects a miracle", curl(f"{base}/echo", PRIOR, "--data-binary", "@-", "-H", "Expect: a-miracle", content=b"x")[1], 417)
    checks.equal("curl sends a field section over the limit", curl(f"{base}/hello", PRIOR, "-H", f"X-Long: {'x' * 20_000}")[1], 431)
    checks.equal("curl sends a target over the limit", curl(f"{base}/{'x' * 9_000}", PRIOR)[1], 414)
    checks.equal("curl is told that only a WebSocket answers", curl(f"{base}/demo/status", PRIOR)[1], 426)


def curl_files(base: str, data: bytes) -> None:
    version, status, fields, content, _ = curl(f"{base}/data.bin", PRIOR)
    checks.check("a file comes whole", (version, status, content) == ("HTTP/2", 200, data), (version, status, len(content)))
    # curl has no room for more than 32 KiB behind a 101.
    heads, content = (found := curl(f"{base}/data.bin", "--http2"))[4], found[3]
    checks.check("a large file comes whole behind an upgrade", heads.startswith(b"HTTP/1.1 101") and content == data, (heads, len(content)))
    etag = fields.get("etag", "")
    _, status, _, content, _ = curl(f"{base}/data.bin", PRIOR, "-H", f"If-None-Match: {etag}")
    checks.equal("a file that is known answers 304", (status, content), (304, b""))
    _, status, fields, _, _ = curl(f"{base}/data.bin", PRIOR, "--head")
    checks.equal("HEAD of a file has its length", (status, fields.get("content-length")), (200, str(len(data))))
    size = len(data)
    for wanted, first, last in [("0-99", 0, 99), (f"{size - 10}-", size - 10, size - 1), ("-500", size - 500, size - 1)]:
        _, status, fields, content, _ = curl(f"{base}/data.bin", PRIOR, "-H", f"Range: bytes={wanted}")
        checks.check(f"range {wanted} has those bytes", (status, content) == (206, data[first : last + 1]), (status, len(content)))
        checks.equal(f"range {wanted} is described", fields.get("content-range"), f"bytes {first}-{last}/{size}")
    checks.equal("a range past the end answers 416", curl(f"{base}/data.bin", PRIOR, "-H", f"Range: bytes={size}-")[1], 416)
    checks.equal("an empty file has no content", curl(f"{base}/empty.txt", PRIOR)[1:4:2], (200, b""))


# The package `h2`: a client that can misbehave and wait.


class Client:
    """One connection of `h2`, and all that was told on it."""

    def __init__(self, port: int, **settings: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.connection = h2.connection.H2Connection(config)
        self.events: list[h2.events.Event] = []
        self.content: dict[int, bytearray] = {}
        self.authority = f"127.0.0.1:{port}"
        self.connection.initiate_connection()
        codes = h2.settings.SettingCodes
        if settings:
            self.connection.update_settings({codes[name]: value for name, value in settings.items()})
        self.flush()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.connection.data_to_send())

    def request(self, method: str, path: str, *fields: tuple[str, str], end: bool = True) -> int:
        stream = self.connection.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":authority", self.authority), (":path", path), *fields]
        self.connection.send_headers(stream, head, end_stream=end)
        self.flush()
        return stream

    def read(self, acknowledge: bool = True) -> list[h2.events.Event]:
        """What comes next; content is acknowledged at once unless `acknowledge` is off."""
        octets = self.socket.recv(65536)
        if not octets:
            raise EOFError("the server has closed the connection")
        told = self.connection.receive_data(octets)
        for event in told:
            if isinstance(event, h2.events.DataReceived):
                self.content.setdefault(event.stream_id, bytearray()).extend(event.data)
                if acknowledge and event.flow_controlled_length:
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.events += told
        self.flush()
        return told

    def until(self, done: Callable[[], bool], acknowledge: bool = True) -> None:
        while not done():
            self.read(acknowledge)

    def find(self, kind: type, stream: int | None = None) -> h2.events.Event | None:
        return next((event for event in self.events if isinstance(event, kind) and stream in (None, getattr(event, "stream_id", None))), None)

    def wait(self, kind: type, stream: int | None = None, acknowledge: bool = True) -> h2.events.Event:
        self.until(lambda: self.find(kind, stream) is not None, acknowledge)
        return self.find(kind, stream)

    def status(self, stream: int) -> str:
        return dict(self.wait(h2.events.ResponseReceived, stream).headers)[":status"]

    def send(self, stream: int, octets: bytes, end: bool = False) -> None:
        """As the windows allow."""
        while octets:
            room = min(self.connection.local_flow_control_window(stream), self.connection.max_outbound_frame_size)
            if room == 0:
                self.read()
                continue
            self.connection.send_data(stream, octets[:room])
            octets = octets[room:]
            self.flush()
        if end:
            self.connection.end_stream(stream)
            self.flush()


def python_h2(port: int) -> None:
    with Client(port) as client:
        streams = [client.request("POST", "/echo", end=False) for _ in range(10)]
        sent = {stream: os.urandom(30_000) for stream in streams}
        for at in range(0, 30_000, 5_000):
            for stream in streams:
                client.send(stream, sent[stream][at : at + 5_000])
        for stream in reversed(streams):
            client.send(stream, b"", end=True)
        for stream in streams:
            client.wait(h2.events.StreamEnded, stream)
        checks.check("h2: 10 interleaved uploads come back each to its own", all(bytes(client.content[stream]) == sent[stream] for stream in streams))

        # A stream that is not read does not stop the others.
        held = client.request("POST", "/echo", end=False)
        client.connection.send_data(held, b"x" * 1_000)
        client.flush()
        other = client.request("GET", "/hello")
        client.wait(h2.events.StreamEnded, other)
        checks.equal("h2: a stream beside one that waits is answered", bytes(client.content[other]), b"Hello, world!")
        client.connection.reset_stream(held, h2.errors.ErrorCodes.CANCEL)
        client.flush()
        other = client.request("GET", "/hello")
        checks.equal("h2: RST_STREAM ends one stream only", client.status(other), "200")

        client.connection.ping(b"12345678")
        client.flush()
        checks.equal("h2: PING is answered", client.wait(h2.events.PingAckReceived).ping_data, b"12345678")
        last = client.request("GET", "/hello")
        # `h2` itself listens to nobody after a GOAWAY of its own.
        client.socket.sendall(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8))
        checks.equal("h2: a request before our GOAWAY is answered", client.status(last), "200")

    with Client(port, INITIAL_WINDOW_SIZE=0) as client:
        stream = client.request("GET", "/hello")
        checks.equal("h2: a head needs no window", client.status(stream), "200")
        before = len(client.content.get(stream, b""))
        for _ in range(13):
            client.connection.increment_flow_control_window(1, stream)
            client.flush()
        client.wait(h2.events.StreamEnded, stream)
        checks.equal("h2: content waits for a window, and comes octet by octet", (before, bytes(client.content[stream])), (0, b"Hello, world!"))

    with Client(port) as client:
        sent = os.urandom(65_535)
        stream = client.request("POST", "/echo", end=False)
        client.send(stream, sent, end=True)
        client.until(lambda: len(client.content.get(stream, b"")) == len(sent), acknowledge=False)
        other = client.request("GET", "/hello")
        checks.equal("h2: a head passes a full connection window", client.status(other), "200")
        checks.equal("h2: content does not", other in client.content, False)
        client.connection.acknowledge_received_data(len(sent), stream)
        client.flush()
        client.wait(h2.events.StreamEnded, other)
        checks.equal("h2: the rest comes with WINDOW_UPDATE", (bytes(client.content[other]), bytes(client.content[stream]) == sent), (b"Hello, world!", True))

    with Client(port) as client:
        client.wait(h2.events.RemoteSettingsChanged)
        limit = client.connection.remote_settings.max_concurrent_streams
        streams = [client.request("POST", "/echo", end=False) for _ in range(limit)]
        client.connection.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = limit + 1
        client.connection.remote_settings.acknowledge()
        refused = client.request("GET", "/hello")
        code = client.wait(h2.events.StreamReset, refused).error_code
        checks.equal(f"h2: one stream over {limit} is refused", code, h2.errors.ErrorCodes.REFUSED_STREAM)
        for stream in streams:
            client.connection.end_stream(stream)
        client.flush()
        for stream in streams:
            client.wait(h2.events.StreamEnded, stream)
        checks.check(f"h2: {limit} streams at a time are answered", all(client.status(stream) == "200" for stream in streams))

    with Client(port) as client:
        client.socket.sendall(b"\x00\x00\x08\x06\x00\x00\x00\x00\x01" + bytes(8))
        checks.equal("h2: PING on a stream ends the connection", client.wait(h2.events.ConnectionTerminated).error_code, h2.errors.ErrorCodes.PROTOCOL_ERROR)


# WebSocket over HTTP/2, RFC 8441, with the frames of `wsproto`.


class WebSocket:
    """One WebSocket on a stream of `client`."""

    def __init__(self, client: Client, path: str = "/echo", *fields: tuple[str, str]) -> None:
        client.wait(h2.events.RemoteSettingsChanged)
        self.client = client
        self.frames = ws.FrameProtocol(client=True, extensions=[])
        self.stream = client.request("CONNECT", path, (":protocol", "websocket"), ("sec-websocket-version", "13"), *fields, end=False)
        # `h2` writes pseudo-fields first, in the order in which they are given.
        self.status = client.status(self.stream)
        self.read_to = 0

    def send(self, octets: bytes) -> None:
        self.client.send(self.stream, octets)

    def frame(self) -> ws.Frame:
        """The next frame, whole."""
        while True:
            octets = bytes(self.client.content.get(self.stream, b""))[self.read_to :]
            self.read_to += len(octets)
            self.frames.receive_bytes(octets)
            for frame in self.frames.received_frames():
                return frame
            self.client.read()


def websockets(port: int) -> None:
    with Client(port) as client:
        client.wait(h2.events.RemoteSettingsChanged)
        offered = client.connection.remote_settings.enable_connect_protocol
        checks.equal("RFC 8441: the server says that it takes it", offered, 1)
        one, two = WebSocket(client), WebSocket(client)
        checks.equal("RFC 8441: two WebSockets on one connection", (one.status, two.status), ("200", "200"))
        head = dict(client.find(h2.events.ResponseReceived, one.stream).headers)
        http1 = {"sec-websocket-accept", "upgrade", "connection"} & set(head)
        checks.check("RFC 8441: nothing of the HTTP/1.1 handshake is left", not http1, head)
        one.send(one.frames.send_data("first", fin=True))
        two.send(two.frames.send_data(b"second", fin=True))
        checks.equal("RFC 8441: text comes back on its stream", one.frame().payload, "first")
        checks.equal("RFC 8441: octets come back on theirs", two.frame().payload, b"second")
        asked = client.request("GET", "/hello")
        checks.equal("RFC 8441: requests go on beside them", client.status(asked), "200")
        one.send(one.frames.ping(b"alive"))
        pong = one.frame()
        checks.equal("RFC 8441: a ping is answered", (pong.opcode, bytes(pong.payload)), (ws.Opcode.PONG, b"alive"))
        large = os.urandom(1_000_000)
        two.send(two.frames.send_data(large, fin=True))
        back = bytearray()
        while len(back) < len(large):
            back += two.frame().payload
        checks.check("RFC 8441: 1 MB comes back", bytes(back) == large, len(back))
        one.send(one.frames.close(ws.CloseReason.NORMAL_CLOSURE, "bye"))
        frame = one.frame()
        checks.equal("RFC 8441: Close is answered", (frame.opcode, frame.payload[0]), (ws.Opcode.CLOSE, 1000))
        client.wait(h2.events.StreamEnded, one.stream)
        checks.check("RFC 8441: the stream ends with END_STREAM", client.find(h2.events.StreamReset, one.stream) is None)
        two.send(b"\x82\x01x")
        frame = two.frame()
        checks.equal("RFC 8441: a frame without a mask is closed by 1002", (frame.opcode, frame.payload[0]), (ws.Opcode.CLOSE, 1002))
        three = WebSocket(client)
        client.connection.reset_stream(three.stream, h2.errors.ErrorCodes.CANCEL)
        client.flush()
        asked = client.request("GET", "/hello")
        checks.equal("RFC 8441: a reset WebSocket leaves the connection alone", client.status(asked), "200")
        checks.equal("RFC 8441: a path without WebSockets is refused", WebSocket(client, "/hello").status, "405")
        old = client.request("CONNECT", "/echo", (":protocol", "websocket"), ("sec-websocket-version", "8"), end=False)
        checks.equal("RFC 8441: another version is refused", client.status(old), "426")
        other = client.request("CONNECT", "/echo", (":protocol", "carrier-pigeon"), end=False)
        checks.equal("RFC 8441: another protocol is not there", client.status(other), "501")


def python_httpx(base: str) -> None:
    with httpx.Client(http1=False, http2=True, timeout=SECONDS) as client:
        answer = client.get(f"{base}/hello")
        checks.equal("httpx GET", (answer.http_version, answer.status_code, answer.text), ("HTTP/2", 200, "Hello, world!"))
        sent = os.urandom(3_000_000)
        answer = client.post(f"{base}/echo", content=sent)
        checks.check("httpx posts 3 MB", answer.content == sent, (answer.status_code, len(answer.content)))
        answer = client.post(f"{base}/echo", content=(sent[at : at + 10_000] for at in range(0, 1_000_000, 10_000)))
        checks.check("httpx posts a stream", answer.content == sent[:1_000_000], (answer.status_code, len(answer.content)))
        with client.stream("POST", f"{base}/echo", content=sent) as answer:
            checks.equal("httpx leaves an answer unread", answer.status_code, 200)
        checks.equal("httpx asks on afterwards", client.get(f"{base}/hello").text, "Hello, world!")


def no_upgrade(base: str) -> None:
    version, status, _, content, _ = curl(f"{base}/hello", "--http2")
    checks.equal("Upgrade: h2c is off unless it is asked for", (version, status, content), ("HTTP/1.1", 200, b"Hello, world!"))


def http1_only(base: str) -> None:
    version, status, _, content, _ = curl(f"{base}/hello", "--http2")
    checks.equal("--http1 does not upgrade", (version, status, content), ("HTTP/1.1", 200, b"Hello, world!"))
    done = run("nghttp", f"{base}/hello")
    checks.check("--http1 takes no preface of HTTP/2", b"Hello" not in done.stdout, done.stdout)


def main() -> None:
    with checks.scenario("the demo server"), server("--upgrade-h2c") as port:
        base = f"http://127.0.0.1:{port}"
        for name, scenario, where in [
            ("nghttp", nghttp, base),
            ("h2load", h2load, base),
            ("curl", curl_demo, base),
            ("h2", python_h2, port),
            ("RFC 8441", websockets, port),
            ("httpx", python_httpx, base),
        ]:
            with checks.scenario(name):
                scenario(where)
    with checks.scenario("a directory"), tempfile.TemporaryDirectory() as folder:
        data = os.urandom(300_000)
        Path(folder, "data.bin").write_bytes(data)
        Path(folder, "empty.txt").write_bytes(b"")
        with server("--upgrade-h2c", directory=Path(folder)) as port:
            curl_files(f"http://127.0.0.1:{port}", data)
    with checks.scenario("without options"), server() as port:
        no_upgrade(f"http://127.0.0.1:{port}")
    with checks.scenario("--http1"), server("--http1") as port:
        http1_only(f"http://127.0.0.1:{port}")
    checks.finish()


if __name__ == "__main__":
    main()
