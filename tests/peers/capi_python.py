#!/usr/bin/env python3
"""The Python package of `lws-ffi/python` in asyncio's loop, with the `websockets` package as peer. The variable LWX_LIBRARY names the library."""

from __future__ import annotations

import asyncio

import lwx
from checks import Checks, free_port
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

checks = Checks("capi_python")


async def send_all(websocket: lwx.WebSocket, messages: list[str]) -> None:
    for message in messages:
        await websocket.send(message)


async def client(address: str) -> None:
    """The client, with this project's server and that of `websockets` as peers."""

    async def back(peer: ServerConnection) -> None:
        try:
            async for message in peer:
                await peer.send(message)
        except ConnectionClosed:
            pass

    async with lwx.Client() as asking, serve(back, "127.0.0.1", 0) as foreign:
        response = await asking.fetch(f"http://{address}/a", fields={"X-Test": "1"})
        checks.equal("a client asks", (response.status, response.fields["content-type"], response.content), (200, "text/plain", b"GET /a"))
        response = await asking.fetch(f"http://{address}/b", "POST", content=b"content")
        checks.equal("with a method and content", response.content, b"POST /b")
        websocket = await asking.connect(f"ws://127.0.0.1:{foreign.sockets[0].getsockname()[1]}/")
        messages = ["hello", "", b"\0" * 1000, "x" * 300_000]
        for message in messages:
            await websocket.send(message)
        checks.check("a WebSocket has its messages back", [await asyncio.wait_for(websocket.recv(), 10) for _ in messages] == messages)
        for number in range(500):
            await websocket.send(str(number))
        checks.equal("with many at a time", [int(await asyncio.wait_for(websocket.recv(), 10)) for _ in range(500)], list(range(500)))
        # More than waits in the library: it has to be asked for room.
        large = ["y" * 700_000] * 4
        sending = asyncio.create_task(send_all(websocket, large))
        checks.check("more than there is room for", [await asyncio.wait_for(websocket.recv(), 20) for _ in large] == large)
        await asyncio.wait_for(sending, 10)
        await websocket.close()
        try:
            await websocket.recv()
        except lwx.Closed as closed:
            checks.equal("it is closed", closed.code, 1000)
        cut = await asking.connect(f"ws://127.0.0.1:{foreign.sockets[0].getsockname()[1]}/")
        await asyncio.wait_for(cut.abort(), 10)
        try:
            await cut.send("to nobody")
        except lwx.Closed as closed:
            checks.equal("one that is cut off has no closing handshake", closed.code, 1006)
        for ask in (asking.fetch, asking.connect):
            try:
                await ask(f"{'ws' if ask == asking.connect else 'http'}://127.0.0.1:{free_port()}/")
            except lwx.Failed as failed:
                checks.check("what cannot be reached fails", "refused" in str(failed), failed)
    blocking = await asyncio.to_thread(lwx.fetch, f"http://{address}/blocking")
    checks.equal("a program without a loop asks", (blocking.status, blocking.content), (200, b"GET /blocking"))


async def main() -> None:
    server = lwx.Server("127.0.0.1:0")
    waiting: dict[int, str | bytes] = {}
    failures: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def writable(stream: lwx.Stream) -> None:
        if (message := waiting.pop(stream.key, None)) is not None:
            stream.write(message)
            stream.resume()

    @server.websocket("/echo", writable=writable)
    def echo(stream: lwx.Stream, message: str | bytes) -> None:
        if message == "raise":
            raise ValueError("as it was asked to")
        if not stream.write(message):
            waiting[stream.key] = message
            stream.pause()
            stream.want_write()

    @server.websocket("/room", open=lambda stream: stream.subscribe("room"))
    def room(_: lwx.Stream, message: str | bytes) -> None:
        server.publish("room", message)

    @server.http("/")
    def page(stream: lwx.Stream, method: str, path: str) -> None:
        stream.respond(200, f"{method} {path}".encode(), {"Content-Type": "text/plain"})

    address = server.start()[0]
    serving = asyncio.create_task(server.serve())
    async with connect(f"ws://{address}/echo") as websocket:
        for message in ["hello", "ü" * 1000, b"", b"x" * 70_000, b"y" * 900_000]:
            await websocket.send(message)
            checks.check(f"it echoes {len(message)}", await asyncio.wait_for(websocket.recv(), 10) == message)
        await websocket.send("raise")
        try:
            await asyncio.wait_for(websocket.recv(), 10)
        except ConnectionClosed as closed:
            checks.equal("what a handler raises ends its stream", closed.rcvd and closed.rcvd.code, 1011)
        checks.equal("and is reported", [type(error) for error in failures], [ValueError])
    async with connect(f"ws://{address}/room") as first, connect(f"ws://{address}/room") as second:
        await (await second.ping())
        await first.send("to all")
        checks.equal("a topic", [await first.recv(), await second.recv()], ["to all"] * 2)
    reader, writer = await asyncio.open_connection(*address.split(":"))
    writer.write(b"GET /a/b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    checks.check("a request", answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nGET /a/b"), answer)
    await client(address)
    server.drain()
    await asyncio.wait_for(serving, 10)
    checks.check("it ends when it was drained", serving.done())


asyncio.run(main())
checks.finish()
