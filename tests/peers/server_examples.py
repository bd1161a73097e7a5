#!/usr/bin/env python3
"""The examples of lws-server, each as its first lines say that it is to be run: asked by curl, httpx and the Python package `websockets`.

Rooms, events and hosts with TLS have scripts of their own.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from checks import Checks, free_port, running

checks = Checks("examples")

EXAMPLES = Path(os.environ.get("EXAMPLES", "target/debug/examples"))


@contextmanager
def example(name: str, *arguments: str, **options: object) -> Iterator[str]:
    """Runs an example, and gives the address without a scheme."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    with checks.scenario(name), running([str(EXAMPLES / name), address, *arguments], port, **options):
        yield address


def curl(*arguments: str) -> str:
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], capture_output=True, text=True)
    return done.stdout + done.stderr


def hello() -> None:
    with example("hello") as address:
        checks.equal("hello says so to curl", curl(f"http://{address}/"), "Hello, world!")
        checks.equal("and over HTTP/2", curl("--http2-prior-knowledge", f"http://{address}/"), "Hello, world!")
        checks.equal("hello answers a POST", httpx.post(f"http://{address}/", content=b"x" * 100_000).text, "Hello, world!")


def echo() -> None:
    async def talk(address: str) -> None:
        async with connect(f"ws://{address}/", max_size=None) as peer:
            for message in ["", "hello", "ü" * 70_000, b"\0" * 300_000]:
                await peer.send(message)
                checks.check(f"echo sends {len(message)} of {type(message).__name__} back", await peer.recv() == message)

    with example("echo") as address:
        asyncio.run(asyncio.wait_for(talk(address), 30))


def chat() -> None:
    async def talk(address: str) -> None:
        guests = [await connect(f"ws://{address}/") for _ in range(6)]
        await guests[0].send("is anybody there?")
        heard = await asyncio.gather(*(guest.recv() for guest in guests))
        checks.equal("everybody in the chat gets it, on three threads", heard, ["is anybody there?"] * 6)
        for guest in guests:
            await guest.close()

    with example("chat", "3") as address:
        asyncio.run(asyncio.wait_for(talk(address), 30))


def download() -> None:
    with example("download") as address:
        with httpx.stream("GET", f"http://{address}/numbers") as response:
            numbers = sum(map(int, response.iter_lines()))
        checks.equal("a million numbers come", numbers, 500_000_500_000)
        # Of a slow reader the server makes no more than is read.
        slow = curl("--limit-rate", "50k", "--max-time", "2", f"http://{address}/numbers")
        checks.check("a slow reader gets the beginning", slow.startswith("1\n2\n3\n") and "timed out" in slow, slow[-100:])


def upload() -> None:
    with example("upload") as address, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a file.bin")
        file.write_bytes(os.urandom(3_000_000))
        seen = curl("-F", "title=hello", "-F", f"file=@{file}", f"http://{address}/")
        checks.equal("each file of a form is counted", seen, "title 5\na file.bin 3000000\n")
        status = curl("-o", "/dev/null", "-w", "%{http_code}", "-d", "no=form", f"http://{address}/")
        checks.equal("another kind of content is refused", status, "415")
        bad = httpx.post(f"http://{address}/", content=b"no parts", headers={"Content-Type": "multipart/form-data; boundary=x"})
        checks.equal("a form that is none is refused", bad.status_code, 400)


def json_api() -> None:
    with example("json_api") as address, httpx.Client(base_url=f"http://{address}") as client:
        made = client.post("/tasks", json={"title": "wash up"})
        checks.equal("a task is made", (made.status_code, made.headers["location"]), (201, "/tasks/1"))
        checks.equal("it can be read", client.get("/tasks/1").json(), {"id": 1, "title": "wash up", "done": False})
        checks.equal("it is done", client.put("/tasks/1/done", json=True).json()["done"], True)
        checks.equal("what is done is listed", len(client.get("/tasks?done=true").json()), 1)
        bad = client.post("/tasks", content=b"{", headers={"Content-Type": "application/json"})
        checks.equal("half an object is a problem", (bad.status_code, bad.headers["content-type"]), (400, "application/problem+json"))
        none = client.request("PATCH", "/tasks")
        checks.equal("another method is told which there are", (none.status_code, "GET" in none.headers["allow"]), (405, True))
        checks.equal("a task is removed", client.delete("/tasks/1").status_code, 204)
        checks.equal("and is gone", client.get("/tasks/1").status_code, 404)


def layers() -> None:
    with example("layers") as address, httpx.Client(base_url=f"http://{address}") as client:
        first, second = client.get("/work"), client.get("/work")
        identities = {answer.headers["x-request-id"] for answer in (first, second)}
        checks.equal("each request has an identity", len(identities), 2)
        checks.check("which the handler sees", first.headers["x-request-id"] == first.text.split("\n")[0], first.text[:80])
        checks.check("the answer is compressed", first.headers.get("content-encoding") in ("gzip", "br", "zstd"), first.headers)
        begin = time.monotonic()
        late = client.get("/never")
        checks.check("a deadline ends what never comes", late.status_code == 503 and time.monotonic() - begin < 10, late)
        checks.check("in the words of the application", late.text.startswith("<!doctype html><title>") and "503" in late.text, late.text)
        large = client.post("/work", content=b"x" * 2_000)
        checks.equal("content has a limit", (large.status_code, "<h1>413" in large.text), (413, True))
        checks.equal("less has not", client.post("/work", content=b"x" * 999).text, "999")
        missing = client.get("/nowhere")
        checks.equal("what is not there is said so likewise", (missing.status_code, "<h1>404" in missing.text), (404, True))
        asked = {"Origin": "http://elsewhere", "Access-Control-Request-Method": "POST"}
        preflight = client.options("/work", headers=asked)
        checks.equal("a preflight is answered", preflight.headers.get("access-control-allow-origin"), "*")


def proxied() -> None:
    with example("proxied", stdout=subprocess.DEVNULL) as address:
        own = curl("--haproxy-protocol", f"http://{address}/")
        checks.check("curl's PROXY line says who asks", own.startswith("127.0.0.1:"), own)
        line = b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\nGET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        with socket.create_connection(tuple(address.split(":")), timeout=20) as peer:
            peer.sendall(line)
            other = b"".join(iter(lambda: peer.recv(4096), b"")).decode()
        checks.check("also if it is somebody else", other.endswith("\r\n\r\n192.0.2.7:4711\n"), other)
        status = curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{address}/")
        checks.check("who says nothing is not answered", "200" not in status, status)


class Upstream(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        body = f"you asked for {self.path}\n".encode()
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def gateway() -> None:
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with example("gateway", f"http://127.0.0.1:{upstream.server_port}") as address:
        checks.equal("another server answers", curl(f"http://{address}/?x=1"), "you asked for /?x=1\n")
        status = curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{address}/?missing")
        checks.equal("with its status", status, "404")
        upstream.shutdown()
        upstream.server_close()
        gone = httpx.get(f"http://{address}/")
        checks.equal("one that has gone is a 502", (gone.status_code, "refused" in gone.text), (502, True))


def async_tokio() -> None:
    async def many(address: str) -> tuple[list[str], float]:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
            begin = time.monotonic()
            answers = await asyncio.gather(*(client.get("/slow?ms=300") for _ in range(20)))
            return [answer.text for answer in answers], time.monotonic() - begin

    with example("async_tokio") as address:
        texts, seconds = asyncio.run(many(address))
        checks.equal("twenty sleep at once", texts, ["300 ms later\n"] * 20)
        checks.check("and not one behind the other", seconds < 20 * 0.3, seconds)
        checks.equal("content reaches a function", httpx.post(f"http://{address}/length", content=b"x" * 5_000).text, "5000\n")
        checks.equal("a query without its part is refused", httpx.get(f"http://{address}/slow").status_code, 400)


async def closed(address: str) -> int:
    async with connect(f"ws://{address}/") as peer:
        try:
            await asyncio.wait_for(peer.recv(), 20)
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else 1006
    return 0


def ends() -> None:
    """Every example ends in good order at SIGTERM."""
    port = free_port()
    with checks.scenario("ends"), running([str(EXAMPLES / "echo"), f"127.0.0.1:{port}"], port) as process:
        async def leave() -> int:
            waits = asyncio.create_task(closed(f"127.0.0.1:{port}"))
            await asyncio.sleep(0.3)
            process.terminate()
            return await waits

        checks.equal("a WebSocket is closed as the server goes", asyncio.run(leave()), 1001)
        checks.equal("and the program ends well", process.wait(20), 0)


for visit in (hello, echo, chat, download, upload, json_api, layers, proxied, gateway, async_tokio, ends):
    visit()
checks.finish()
