"""A client: requests, and WebSockets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Self

from lwx._library import check, ffi, lib, lines
from lwx._service import Callbacks, Service, Stream

FOLLOW, HTTP2, DEFLATE, RECONNECT = 1, 2, 4, 8
COMPLETE = 1
#: Messages of a server that wait for `recv` before the server has to wait.
WAITING_MAX = 64


class Failed(ConnectionError):
    """A request that has no whole response, or a WebSocket that could not be opened or was lost."""


@dataclass(slots=True)
class Response:
    """What a server has answered."""

    status: int = 0
    #: The names are in lower case; of several lines of a name it is the last one.
    fields: dict[str, str] = field(default_factory=dict)
    content: bytes = b""


class Closed(ConnectionError):
    """A WebSocket that is over: its close code, and why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{why} ({code})")
        self.code = code


class WebSocket:
    """A WebSocket to a server, from `Client.connect`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._messages: deque[str | bytes] = deque()
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._over: Closed | None = None
        self._paused = False

    async def send(self, message: str | bytes) -> None:
        """Sends a message, when there is room for it."""
        while not self._take(message):
            self._writable.clear()
            self._stream.want_write()
            await self._writable.wait()

    def _take(self, message: str | bytes) -> bool:
        if self._over:
            raise self._over
        return self._stream.write(message)

    async def recv(self) -> str | bytes:
        """The next message. `Closed` when there is none any more."""
        while not self._messages:
            if self._over:
                raise self._over
            self._changed.clear()
            await self._changed.wait()
        message = self._messages.popleft()
        if self._paused and len(self._messages) < WAITING_MAX // 2 and not self._over:
            self._paused = False
            self._stream.resume()
        return message

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        try:
            while True:
                yield await self.recv()
        except Closed:
            return

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes it, and waits until it is over."""
        if not self._over:
            self._stream.close(code, reason)
        while not self._over:
            self._messages.clear()
            self._changed.clear()
            await self._changed.wait()

    async def abort(self) -> None:
        """Cuts it off, without the closing handshake, and waits until it is over."""
        if not self._over:
            self._stream.abort()
        while not self._over:
            self._changed.clear()
            await self._changed.wait()

    def _on_message(self, stream: Stream, message: str | bytes) -> None:
        self._messages.append(message)
        self._changed.set()
        if len(self._messages) >= WAITING_MAX and not self._paused:
            self._paused = True
            stream.pause()

    def _on_closed(self, code: int, why: str) -> None:
        self._over = Closed(code, why)
        self._changed.set()
        self._writable.set()


class Client(Service):
    """A client in asyncio's loop: `async with lwx.Client() as client`. Its connections are kept and shared."""

    def __init__(self, *, roots: str | None = None, timeout: float | None = None) -> None:
        super().__init__()
        check(lib.lwx_service_start(self._service))
        self._roots, self._timeout = roots, timeout
        #: Callbacks of C by the streams that they are called about.
        self._kept: dict[int, Callbacks] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.serve())
        # It is in the loop before it is asked for anything.
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drain()
        self._nudge()
        if self._task is not None:
            await self._task

    async def fetch(
        self,
        url: str,
        method: str = "GET",
        *,
        content: bytes | None = None,
        fields: dict[str, str] | None = None,
        flags: int = FOLLOW,
    ) -> Response:
        """Asks a server. `Failed` if there is no whole response."""
        done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def over(response: Response, failure: str | None) -> None:
            if not done.done():
                done.set_result(response) if failure is None else done.set_exception(Failed(failure))

        stream = self._fetch(url, method, content, fields, flags, over)
        try:
            return await done
        except asyncio.CancelledError:
            lib.lwx_abort(self._service, stream.key)
            raise

    async def connect(
        self, url: str, *, protocols: str = "", fields: dict[str, str] | None = None, flags: int = DEFLATE
    ) -> WebSocket:
        """Opens a WebSocket. `Failed` if it cannot be opened."""
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        websocket = WebSocket(Stream(self._service, 0))

        def on_open(_: Stream) -> None:
            if not opened.done():
                opened.set_result(None)

        def on_closed(stream: Stream, _: int, code: int, why: str) -> None:
            self._forget(stream.key)
            websocket._on_closed(code, why)
            if not opened.done():
                opened.set_exception(Failed(why))

        callbacks = Callbacks(self)
        callbacks.set(open=on_open, message=websocket._on_message, closed=on_closed, writable=lambda _: websocket._writable.set())
        websocket._stream = self._begin(lib.lwx_connect_websocket, url, callbacks, protocols=protocols, fields=fields, flags=flags)
        try:
            await opened
        except asyncio.CancelledError:
            if not websocket._over:
                websocket._stream.abort()
            raise
        return websocket

    def _fetch(
        self,
        url: str,
        method: str,
        content: bytes | None,
        fields: dict[str, str] | None,
        flags: int,
        over: Callable[[Response, str | None], None],
    ) -> Stream:
        response, parts = Response(), []

        def on_response(_: Stream, status: int, received: dict[str, str]) -> None:
            response.status, response.fields = status, received

        def on_closed(stream: Stream, cause: int, _: int, why: str) -> None:
            self._forget(stream.key)
            response.content = b"".join(parts)
            over(response, None if cause == COMPLETE else why)

        callbacks = Callbacks(self)
        callbacks.set(response=on_response, content=lambda _, part, __: parts.append(part), closed=on_closed)
        return self._begin(lib.lwx_fetch, url, callbacks, method=method, content=content, fields=fields, flags=flags)

    def _begin(self, begin: Callable, url: str, callbacks: Callbacks, **asked: object) -> Stream:
        options, key = ffi.new("lwx_connect_options *"), ffi.new("lwx_key *")
        options.size, options.flags = ffi.sizeof("lwx_connect_options"), asked["flags"]
        # What the options point to is kept until the call has copied it.
        kept = [ffi.new("char[]", str(asked.get(name) or "").encode()) for name in ("method", "protocols")]
        options.method = kept[0] if asked.get("method") else ffi.NULL
        options.protocols = kept[1]
        out, kept_lines = lines(asked.get("fields"))
        options.fields, options.field_count = out, len(out)
        if (content := asked.get("content")) is not None:
            kept.append(ffi.from_buffer(content))
            options.content, options.content_size = kept[-1], len(content)
        if self._roots:
            kept.append(ffi.new("char[]", self._roots.encode()))
            options.tls_roots = kept[-1]
        if self._timeout:
            options.timeout_us = int(self._timeout * 1e6)
        check(begin(self._service, url.encode(), options, callbacks.handler, key))
        del kept_lines
        self._kept[key[0]] = callbacks
        self._nudge()
        return Stream(self._service, key[0])

    def _forget(self, key: int) -> None:
        """The callbacks are let go when the one that is at work has returned."""
        callbacks = self._kept.pop(key, None)
        self._gone = callbacks

    def _nudge(self) -> None:
        """Replaced while the client is in a loop."""


def fetch(
    url: str,
    method: str = "GET",
    *,
    content: bytes | None = None,
    fields: dict[str, str] | None = None,
    flags: int = FOLLOW,
    roots: str | None = None,
    timeout: float | None = None,
) -> Response:
    """Asks a server, and waits: for a program without a loop. `Failed` if there is no whole response."""
    client, outcome = Client(roots=roots, timeout=timeout), []

    def over(response: Response, failure: str | None) -> None:
        outcome.append((response, failure))
        client.drain()

    client._fetch(url, method, content, fields, flags, over)
    client.run()
    if not outcome:
        raise Failed("the service has ended")
    response, failure = outcome[0]
    if failure is not None:
        raise Failed(failure)
    return response
