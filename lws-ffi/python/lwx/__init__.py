"""HTTP and WebSocket servers and clients on the library lwx, in asyncio's loop.

    server = lwx.Server("127.0.0.1:7681")

    @server.websocket("/echo")
    def echo(stream, message):
        stream.write(message)

    server.start()
    asyncio.run(server.serve())

    async with lwx.Client() as client:
        response = await client.fetch("https://example.org/")
        websocket = await client.connect("ws://127.0.0.1:7681/echo")

`lwx.fetch` and `Server.run` do without asyncio. A service belongs to the thread that makes it. Handlers of a server are plain functions, called
in the loop: they do not wait, and what they raise ends their stream with close code 1011 and goes to the loop's exception handler.
"""

from lwx._client import DEFLATE, FOLLOW, HTTP2, RECONNECT, Client, Closed, Failed, Response, WebSocket, fetch
from lwx._library import Error
from lwx._server import Server
from lwx._service import Stream

__all__ = [
    "DEFLATE",
    "FOLLOW",
    "HTTP2",
    "RECONNECT",
    "Client",
    "Closed",
    "Error",
    "Failed",
    "Response",
    "Server",
    "Stream",
    "WebSocket",
    "fetch",
]
