"""The echo server in a program of Python: on asyncio's own loop, or on uvloop.

    echo.py ADDRESS asyncio    one descriptor and one timer (level A)
    echo.py ADDRESS uvloop     the same on uvloop, whose libuv nothing else knows of
"""

import asyncio
import sys

import lwx


async def serve(address: str) -> None:
    server = lwx.Server(address)
    waiting: dict[int, str | bytes] = {}

    def writable(stream: lwx.Stream) -> None:
        if (message := waiting.pop(stream.key, None)) is not None:
            stream.write(message)
            stream.resume()

    @server.websocket("/echo", writable=writable)
    def echo(stream: lwx.Stream, message: str | bytes) -> None:
        if not stream.write(message):
            waiting[stream.key] = message
            stream.pause()
            stream.want_write()

    @server.http("/")
    def page(stream: lwx.Stream, method: str, path: str) -> None:
        stream.respond(200, b"WebSockets at /echo send back what they receive.\n", {"Content-Type": "text/plain"})

    @server.http("/stop")
    def stop(stream: lwx.Stream, method: str, path: str) -> None:
        stream.respond(202)
        server.drain()

    for at in server.start():
        print("listening on", at, flush=True)
    serving = asyncio.create_task(server.serve())
    ticks = 0
    while not serving.done():
        await asyncio.wait({serving}, timeout=0.01)
        ticks += 1
    await serving
    print("ticks", ticks, flush=True)


def main() -> None:
    address, loop = sys.argv[1], sys.argv[2]
    if loop == "uvloop":
        import uvloop

        uvloop.run(serve(address))
    else:
        asyncio.run(serve(address))


main()
