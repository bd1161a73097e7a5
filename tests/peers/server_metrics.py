#!/usr/bin/env python3
"""What our server says of itself: metrics in the hands of a strict OpenMetrics parser, health and readiness, and the log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families
from websockets.asyncio.client import connect

from checks import Checks, free_port, server_binary, server_options

checks = Checks("metrics")

OPEN_METRICS = "application/openmetrics-text"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Serving:
    """The program with an admin listener on a Unix socket."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.socket, self.log_path = folder, folder / "admin", folder / "log"
        self.port = free_port()
        self.out = open(folder / "out", "wb")
        command = [server_binary(), "--admin", str(self.socket), "--access-log", str(self.log_path), *server_options()]
        if "--config" not in arguments:
            command += ["--port", str(self.port)]
        self.child = subprocess.Popen(
            [*command, *arguments], stdout=self.out, stderr=self.out, stdin=subprocess.DEVNULL
        )
        assert self.soon(lambda: self.ready()[0] == 200), (folder / "out").read_text()

    @staticmethod
    def soon(holds) -> bool:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if holds():
                return True
            time.sleep(0.01)
        return False

    def curl(self, *arguments: str) -> tuple[int, str]:
        """Status and content; 0 if nobody answers."""
        done = subprocess.run(
            ["curl", "-sS", "-m", "20", "-w", "\n%{http_code}", *arguments], capture_output=True, text=True, check=False
        )
        content, _, status = done.stdout.rpartition("\n")
        return (int(status) if done.returncode == 0 else 0), content

    def admin(self, path: str, *arguments: str) -> tuple[int, str]:
        return self.curl("--unix-socket", str(self.socket), *arguments, f"http://localhost{path}")

    def ready(self) -> tuple[int, str]:
        return self.admin("/readyz")

    def hello(self, *arguments: str) -> tuple[int, str]:
        return self.curl(*arguments, f"http://127.0.0.1:{self.port}/hello")

    def scrape(self) -> dict[str, float]:
        """Every sample by its name and labels, as the strict parser reads them."""
        status, text = self.admin("/metrics", "-H", f"Accept: {OPEN_METRICS}")
        assert status == 200, (status, text)
        return samples(open_families(text))

    def log(self) -> list[str]:
        return self.log_path.read_text().splitlines()

    def stop(self) -> int:
        if self.child.poll() is None:
            self.child.terminate()
        self.out.close()
        return self.child.wait(30)


def samples(families) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in families:
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


@contextmanager
def serving(*arguments: str) -> Iterator[Serving]:
    with tempfile.TemporaryDirectory() as name:
        served = Serving(Path(name), *arguments)
        try:
            yield served
        finally:
            served.stop()


async def talk(port: int, count: int) -> None:
    """A WebSocket on which so many messages go and come."""
    async with connect(f"ws://127.0.0.1:{port}/echo", additional_headers={"traceparent": TRACE}) as peer:
        for number in range(count):
            await peer.send("x" * 10 if number % 2 else b"y" * 10)
            await peer.recv()


def counters() -> None:
    with serving("--threads", "2") as served:
        for _ in range(5):
            served.hello()
        served.hello("-X", "BREW")
        served.hello("--http2-prior-knowledge")
        asyncio.run(talk(served.port, 6))
        # A turn is counted when the next one begins.
        for _ in range(3):
            now = served.scrape()

        def value(name: str) -> float:
            return now.get(name, -1.0)

        requests = "lws_requests_total{code_class=%s,host=_,method=%s,proto=%s}"
        checks.equal("five requests were counted", value(requests % ("2xx", "GET", "1.1")), 5)
        checks.equal("one over HTTP/2", value(requests % ("2xx", "GET", "2")), 1)
        checks.equal("a method of a peer's own is no label", value(requests % ("5xx", "other", "1.1")), 1)
        checks.equal("an opening is a request", value(requests % ("1xx", "GET", "1.1")), 1)
        checks.equal("durations are of all", value("lws_request_duration_seconds_count{host=_}"), 8)
        for direction in ("in", "out"):
            for kind in ("text", "binary"):
                name = f"lws_ws_messages_total{{direction={direction},host=_,kind={kind}}}"
                checks.equal(f"messages {direction}, {kind}", value(name), 3)
        checks.equal("the WebSocket has gone", value("lws_websockets{host=_}"), 0)
        checks.check("causes are labels", value("lws_closed_total{cause=complete}") >= 7, now)
        checks.equal("nothing is in flight", value("lws_requests_in_flight{}"), 0)
        for thread in ("0", "1"):
            name = f"lws_loop_turn_seconds_count{{thread={thread}}}"
            checks.check(f"turns of thread {thread} are measured", value(name) > 0, value(name))
            name = f"lws_loop_lag_seconds_count{{thread={thread}}}"
            checks.check(f"the lag of thread {thread} is there", value(name) >= 0, value(name))
        checks.check("the process is described", value("process_resident_memory_bytes{}") > 1 << 20, now)
        checks.check("descriptors are counted", 5 < value("process_open_fds{}") < 100, value("process_open_fds{}"))
        started = value("process_start_time_seconds{}")
        checks.check("and its start", abs(started - time.time()) < 120, started)
        listener = f"lws_accepted_total{{listener=127.0.0.1:{served.port}}}"
        checks.check("connections by listener", value(listener) >= 8, now)
        again = served.scrape()
        checks.check("counters only grow", all(again.get(name, 0) >= number for name, number in now.items() if "_total{" in name))
        before = len(again)
        for number in range(50):
            served.curl("-X", f"M{number}", f"http://127.0.0.1:{served.port}/path-{number}?q={number}")
        checks.check("fifty methods and paths add no more samples than a handful", len(served.scrape()) <= before + 4)
        status, plain = served.admin("/metrics")
        checks.check("an older collector reads it, too", status == 200 and "lws_accepted" in str(samples(plain_families(plain))))
        _, head = served.admin("/metrics", "-I")
        checks.check("with its media type", "text/plain; version=0.0.4" in head, head)


def guarded() -> None:
    with serving() as served:
        mode = stat.S_IMODE(os.stat(served.socket).st_mode)
        checks.equal("only its user opens the socket", oct(mode), oct(0o600))
        checks.equal("a name of elsewhere is answered 421", served.admin("/metrics", "-H", "Host: evil.example")[0], 421)
        origin = served.admin("/drain", "-X", "POST", "-H", "Origin: http://evil.example")
        checks.equal("a page of elsewhere ends nothing", origin[0], 403)
        checks.equal("a GET drains nothing", served.admin("/drain")[0], 405)
        checks.equal("nothing to reload is a conflict", served.admin("/reload", "-X", "POST")[0], 409)
        checks.equal("the public listener has no metrics", served.curl(f"http://127.0.0.1:{served.port}/metrics")[0], 404)
        checks.equal("health", served.admin("/healthz"), (200, "ok\n"))
    for address in ("0.0.0.0:0", "192.0.2.1:9000", "[::]:0"):
        done = subprocess.run([server_binary(), "--admin", address, "--port", "0"], capture_output=True, text=True, timeout=20, check=False)
        checks.check(f"{address} is refused", done.returncode == 2 and "loopback" in done.stderr, done.stderr)


def under_load() -> None:
    with serving("--threads", "2") as served:
        load = subprocess.Popen(
            ["h2load", "--h1", "-n", "40000", "-c", "20", f"http://127.0.0.1:{served.port}/hello"],
            stdout=subprocess.PIPE, text=True,
        )
        scraped, longest = 0, 0.0
        while load.poll() is None:
            begun = time.monotonic()
            served.scrape()
            longest, scraped = max(longest, time.monotonic() - begun), scraped + 1
            time.sleep(0.02)
        text = load.stdout.read()
        checks.check("a scrape disturbs no request", "40000 succeeded, 0 failed" in text, text)
        checks.check("and is answered under load", scraped > 2 and longest < 5, (scraped, longest))
        count = served.scrape()["lws_requests_total{code_class=2xx,host=_,method=GET,proto=1.1}"]
        checks.equal("every request was counted", count, 40_000)


def readiness() -> None:
    with serving("--drain-delay", "2") as served:
        checks.equal("it is ready", served.ready(), (200, "ready\n"))
        checks.equal("a drain is accepted", served.admin("/drain", "-X", "POST")[0], 202)
        asked = time.monotonic()
        checks.equal("readiness is denied at once", served.ready(), (503, "draining\n"))
        checks.equal("while requests are answered", served.hello()[0], 200)
        checks.equal("and health is good", served.admin("/healthz")[0], 200)
        closed = served.soon(lambda: not is_open(served.port))
        took = time.monotonic() - asked
        checks.check("listeners close after the delay", closed and 1.5 < took < 8, took)
        checks.equal("and the process ends well", served.child.wait(30), 0)
        checks.check("without leaving a socket", not served.socket.exists())
    with serving("--drain-delay", "60") as served:
        served.child.send_signal(signal.SIGTERM)
        checks.check("SIGTERM goes through the same door", served.soon(lambda: served.ready()[0] == 503))
        checks.equal("and requests are answered meanwhile", served.hello()[0], 200)
        served.admin("/drain", "-X", "POST")
        checks.equal("who asks again does not wait", served.child.wait(30), 0)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def reload() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "configuration").mkdir()
        conf = folder / "configuration" / "conf"

        def write(target: str) -> None:
            mount = f'{{ "mountpoint": "/", "origin": ">http://{target}.example/" }}'
            conf.write_text(f'{{ "vhosts": [ {{ "name": "localhost", "port": {port}, "mounts": [ {mount} ] }} ] }}')

        write("one")
        served = Serving(folder, "--config", str(folder / "configuration"))
        served.port = port
        write("two")
        status, text = served.admin("/reload", "-X", "POST")
        checks.check("a reload is answered when it is over", status == 200 and "reloaded" in text, (status, text))
        _, head = served.curl("-I", f"http://localhost:{port}/")
        checks.check("and is followed", "two.example" in head, head)
        conf.write_text("{ broken")
        status, text = served.admin("/reload", "-X", "POST")
        checks.check("one that fails says so", status == 422 and "nothing was reloaded" in text, (status, text))
        _, head = served.curl("-I", f"http://localhost:{port}/")
        checks.check("and leaves all as it was", "two.example" in head, head)
        checks.check("samples are by host", any("host=localhost" in name for name in served.scrape()))
        checks.equal("it ends well", served.stop(), 0)


def logs() -> None:
    with serving("--log-format", "json", "--log-skip", "/demo") as served:
        served.hello("-H", f"traceparent: {TRACE}", "-A", 'a "quoted" \\ agent')
        served.hello("-H", "traceparent: 00-0-0-01")
        served.curl(f"http://127.0.0.1:{served.port}/demo.css")
        served.curl(f"http://127.0.0.1:{served.port}/demo/nowhere")
        served.curl("-d", "12345", f"http://127.0.0.1:{served.port}/echo")
        asyncio.run(talk(served.port, 4))
        wanted = '"messages_in"'
        served.soon(lambda: any(wanted in line for line in served.log()))
        lines = [json.loads(line) for line in served.log()]
        checks.check("every line is an object, the greeting too", "serving the demo" in lines[0].get("message", ""), lines[0])
        records = [line for line in lines if "target" in line]
        by_target = {record["target"]: record for record in records}
        first = next(record for record in records if record["target"] == "/hello")
        names = {"time", "peer", "host", "method", "target", "proto", "status", "bytes_in", "bytes_out", "duration_ms",
                 "first_byte_ms", "cause", "user_agent", "trace_id", "parent_id", "request_id"}
        checks.check("the names are there", names <= set(first), names - set(first))
        checks.equal("the trace is that of the request", (first["trace_id"], first["parent_id"]), (TRACE[3:35], TRACE[36:52]))
        checks.equal("what a client writes is kept", first["user_agent"], 'a "quoted" \\ agent')
        second = [record for record in records if record["target"] == "/hello"][1]
        checks.check("a trace that is not valid is left out", "trace_id" not in second, second)
        checks.equal("content is counted", by_target["/echo"]["bytes_in"] if by_target["/echo"]["method"] == "POST" else
                     next(record["bytes_in"] for record in records if record["method"] == "POST"), 5)
        checks.check("what is skipped is not there", "/demo/" not in str([r["target"] for r in records if r["status"] < 400]))
        checks.check("unless it went wrong", "/demo/nowhere" in by_target, sorted(by_target))
        opened, ended = [record for record in records if record["target"] == "/echo" and record["method"] == "GET"]
        checks.equal("a WebSocket logs its opening", (opened["cause"], opened["status"]), ("websocket", 101))
        checks.equal("and its end with what came and went",
                     tuple(ended[name] for name in ("messages_in", "messages_out", "bytes_in", "bytes_out", "close_code")), (4, 4, 40, 40, 1000))
        checks.equal("under one name", opened["request_id"], ended["request_id"])
        checks.equal("with the trace of its handshake", ended["trace_id"], TRACE[3:35])
    with serving("--log-sample", "10") as served:
        for _ in range(20):
            served.hello()
        served.curl(f"http://127.0.0.1:{served.port}/nowhere")
        served.soon(lambda: any("/nowhere" in line for line in served.log()))
        checks.equal("one of ten is logged", sum("/hello" in line for line in served.log()), 2)
        checks.check("in the combined format", all(line.startswith("127.0.0.1 - - [") for line in served.log() if "HTTP/1.1" in line))


for scenario in (counters, guarded, under_load, readiness, reload, logs):
    with checks.scenario(scenario.__name__):
        scenario()
checks.finish()
