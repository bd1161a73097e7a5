"""HTTP and WebSocket servers on the library lwx, in asyncio's loop.

    server = lwx.Server("127.0.0.1:7681")

    @server.websocket("/echo")
    def echo(stream, message):
        stream.write(message)

    asyncio.run(server.serve())

A service belongs to the thread that makes it. Handlers are plain functions, called in the loop: they do not wait, and what they raise
ends their stream with close code 1011 and goes to the loop's exception handler.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable
from pathlib import Path

import cffi

__all__ = ["Error", "Server", "Stream"]

END, TEXT = 1, 4
AGAIN = -5

_ffi = cffi.FFI()
_ffi.cdef((Path(__file__).parent / "lwx.cdef").read_text())
#: Kept for ever: the library cannot be unloaded.
_lib = _ffi.dlopen(os.environ.get("LWX_LIBRARY", "liblwx.so.0"))


class Error(RuntimeError):
    """A call of the library that failed."""

    def __init__(self, code: int) -> None:
        text = _ffi.string(_lib.lwx_strerror(code)).decode()
        detail = _ffi.string(_lib.lwx_last_error()).decode()
        super().__init__(f"{text} ({detail})" if code == -14 and detail else text)
        self.code = code


def _check(code: int) -> int:
    if code < 0:
        raise Error(code)
    return code


class Stream:
    """A stream by its key, which does no harm when the stream has gone."""

    __slots__ = ("_service", "key")

    def __init__(self, service: object, key: int) -> None:
        self._service, self.key = service, key

    def write(self, message: str | bytes) -> bool:
        """Sends a whole message. False if there is no permit, and nothing was taken: see `want_write`."""
        text = isinstance(message, str)
        data = message.encode() if text else message
        code = _lib.lwx_write(self._service, self.key, data, len(data), END | (TEXT if text else 0))
        return code != AGAIN and _check(code) == 0

    def respond(self, status: int, content: bytes = b"", fields: dict[str, str] | None = None) -> None:
        """Sends a whole response."""
        lines = _ffi.new("lwx_field[]", len(fields or {}))
        kept = []
        for line, pair in zip(lines, (fields or {}).items(), strict=True):
            for place, text in zip((line.name, line.value), pair, strict=True):
                kept.append(_ffi.from_buffer(text.encode()))
                place.data, place.size = kept[-1], len(kept[-1])
        _check(_lib.lwx_respond(self._service, self.key, status, lines, len(lines), content, len(content), END))

    def want_write(self) -> None:
        """Asks for one `writable`."""
        _check(_lib.lwx_want_write(self._service, self.key))

    def pause(self) -> None:
        """Takes no input."""
        _check(_lib.lwx_pause(self._service, self.key))

    def resume(self) -> None:
        """Takes input again."""
        _check(_lib.lwx_resume(self._service, self.key))

    def subscribe(self, topic: str) -> None:
        """Subscribes a WebSocket, in a call of its own."""
        _check(_lib.lwx_subscribe(self._service, self.key, topic.encode()))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begins the closing handshake."""
        _check(_lib.lwx_close(self._service, self.key, code, reason.encode(), len(reason.encode())))


class Server:
    """A service, its routes, and its place in asyncio's loop."""

    def __init__(self, *addresses: str) -> None:
        out = _ffi.new("lwx_service **")
        _check(_lib.lwx_service_new(_ffi.NULL, out))
        self._service = out[0]
        self._free = weakref.finalize(self, _lib.lwx_service_free, out[0])
        #: Callbacks of C, for as long as the service may call them.
        self._kept: list[object] = []
        self._failed: Callable[[BaseException], None] = lambda _: None
        for address in addresses:
            _check(_lib.lwx_listen(self._service, address.encode(), _ffi.NULL, _ffi.NULL))

    def websocket(self, path: str, **calls: Callable) -> Callable:
        """Has a function called with each message; `open`, `writable` and `closed` may be given beside it."""

        def route(message: Callable[[Stream, str | bytes], None]) -> Callable:
            self._route(1, path, message=message, **calls)
            return message

        return route

    def http(self, path: str) -> Callable:
        """Has a function called with each request: its stream, method and path."""

        def route(request: Callable[[Stream, str, str], None]) -> Callable:
            self._route(0, path, request=request)
            return request

        return route

    def publish(self, topic: str, message: str | bytes) -> None:
        """Sends a message to all subscribers."""
        text = isinstance(message, str)
        data = message.encode() if text else message
        _check(_lib.lwx_publish(self._service, topic.encode(), data, len(data), TEXT if text else 0))

    def start(self) -> list[str]:
        """Binds the listeners, and says where they are."""
        _check(_lib.lwx_service_start(self._service))
        room, found = _ffi.new("char[256]"), []
        while _lib.lwx_service_address(self._service, len(found), room, 256) == 0:
            found.append(_ffi.string(room).decode())
        return found

    def drain(self) -> None:
        """Ends the service in an orderly way."""
        _check(_lib.lwx_service_drain(self._service))

    def run(self) -> None:
        """Runs until it has ended, without asyncio."""
        _check(_lib.lwx_service_run(self._service))

    async def serve(self) -> None:
        """Runs in the loop until the service has ended, or the task is cancelled."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        at, timer = _ffi.new("uint64_t *"), None
        self._failed = lambda error: loop.call_exception_handler({"message": "a handler has failed", "exception": error})

        def dispatch() -> None:
            nonlocal timer
            if timer is not None:
                timer.cancel()
                timer = None
            code = _lib.lwx_service_dispatch(self._service)
            if code <= 0:
                if not done.done():
                    done.set_result(None) if code == 0 else done.set_exception(Error(code))
                return
            _check(_lib.lwx_service_deadline(self._service, at))
            if at[0] != 2**64 - 1:
                delay = max(0, int(at[0]) - _lib.lwx_now_us()) / 1e6
                timer = loop.call_later(delay, dispatch)

        descriptor = _check(_lib.lwx_service_fd(self._service))
        loop.add_reader(descriptor, dispatch)
        try:
            dispatch()
            await done
        finally:
            loop.remove_reader(descriptor)
            if timer is not None:
                timer.cancel()

    def _route(self, kind: int, path: str, **calls: Callable) -> None:
        handler = _ffi.new("lwx_handler *")
        handler.size = _ffi.sizeof("lwx_handler")
        keep = [handler]

        def callback(name: str, signature: str, call: Callable) -> None:
            pointer = _ffi.callback(signature, self._guarded(call))
            setattr(handler, name, pointer)
            keep.append(pointer)

        service = self._service
        if message := calls.get("message"):
            parts: dict[int, bytes] = {}

            def data(_: object, key: int, start: object, size: int, flags: int, __: object) -> None:
                content = bytes(_ffi.buffer(start, size)) if size else b""
                if not flags & END:
                    parts[key] = parts.get(key, b"") + content
                    return
                content = parts.pop(key, b"") + content
                message(Stream(service, key), content.decode() if flags & TEXT else content)

            callback("data", "void(lwx_service *, uint64_t, uint8_t *, size_t, uint32_t, void *)", data)
        if request := calls.get("request"):

            def requested(_: object, key: int, __: int, ___: object) -> None:
                info = _ffi.new("lwx_request *")
                info.size = _ffi.sizeof("lwx_request")
                _check(_lib.lwx_get_request(service, key, info))
                read = lambda text: bytes(_ffi.buffer(text.data, text.size)).decode()  # noqa: E731
                request(Stream(service, key), read(info.method), read(info.path))

            callback("request", "void(lwx_service *, uint64_t, uint32_t, void *)", requested)
        for name in ("open", "writable"):
            if call := calls.get(name):
                callback(name, "void(lwx_service *, uint64_t, void *)", lambda _, key, __, call=call: call(Stream(service, key)))
        if closed := calls.get("closed"):
            callback("closed", "void(lwx_service *, uint64_t, lwx_closed *, void *)", lambda _, key, why, __: closed(Stream(service, key), why.code))
        self._kept.extend(keep)
        _check(_lib.lwx_route(service, kind, path.encode(), handler))

    def _guarded(self, call: Callable) -> Callable:
        """Nothing that a handler raises goes into the library."""

        def guarded(service: object, key: int, *rest: object) -> None:
            try:
                call(service, key, *rest)
            except BaseException as error:  # noqa: BLE001 - it must not go on through C
                if _lib.lwx_close(service, key, 1011, b"", 0) < 0:
                    _lib.lwx_abort(service, key)
                self._failed(error)

        return guarded
