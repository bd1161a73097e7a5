#!/usr/bin/env python3
"""An HTTP/2 server on the Python package `hypercorn`, for our client: content and WebSocket messages sent back,
`http2_server.py PORT [CERTIFICATE KEY]`, with TLS if there is a certificate."""

import asyncio
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config


async def application(scope: dict, receive, send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/octet-stream")]})
        if scope["method"] == "GET":
            await send({"type": "http.response.body", "body": b"Hello, world!"})
            return
        more = True
        while more:
            event = await receive()
            more = event.get("more_body", False)
            await send({"type": "http.response.body", "body": event.get("body", b""), "more_body": more})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            text = event.get("text")
            await send({"type": "websocket.send", "text": text} if text is not None else {"type": "websocket.send", "bytes": event["bytes"]})


def main() -> None:
    config = Config()
    port, *pair = sys.argv[1:]
    config.bind = [f"127.0.0.1:{port}"]
    if pair:
        config.certfile, config.keyfile = pair
    config.websocket_max_message_size = 64 << 20
    asyncio.run(serve(application, config))


if __name__ == "__main__":
    main()
