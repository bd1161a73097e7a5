"""A service in asyncio's loop, and the streams of one."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable

from lwx._library import AGAIN, END, NEVER, TEXT, Error, check, ffi, lib, lines, text


class Stream:
    """A stream by its key, which does no harm when the stream has gone."""

    __slots__ = ("_service", "key")

    def __init__(self, service: object, key: int) -> None:
        self._service, self.key = service, key

    def write(self, message: str | bytes) -> bool:
        """Sends a whole message. False if there is no permit, and nothing was taken: see `want_write`."""
        if isinstance(message, str):
            data, flags = message.encode(), END | TEXT
        else:
            data, flags = message, END
        code = lib.lwx_write(self._service, self.key, data, len(data), flags)
        return code != AGAIN and check(code) == 0

    def respond(self, status: int, content: bytes = b"", fields: dict[str, str] | None = None) -> None:
        """Sends a whole response."""
        out, _kept = lines(fields)
        check(lib.lwx_respond(self._service, self.key, status, out, len(out), content, len(content), END))

    def want_write(self) -> None:
        """Asks for one `writable`."""
        check(lib.lwx_want_write(self._service, self.key))

    def pause(self) -> None:
        """Takes no input."""
        check(lib.lwx_pause(self._service, self.key))

    def resume(self) -> None:
        """Takes input again."""
        check(lib.lwx_resume(self._service, self.key))

    def subscribe(self, topic: str) -> None:
        """Subscribes a WebSocket, in a call of its own."""
        check(lib.lwx_subscribe(self._service, self.key, topic.encode()))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begins the closing handshake."""
        said = reason.encode()
        check(lib.lwx_close(self._service, self.key, code, said, len(said)))

    def abort(self) -> None:
        """Ends it at once."""
        check(lib.lwx_abort(self._service, self.key))


class Service:
    """What a server and a client have in common: the library's service, and its place in a loop."""

    def __init__(self) -> None:
        out = ffi.new("lwx_service **")
        check(lib.lwx_service_new(ffi.NULL, out))
        self._service = out[0]
        self._free = weakref.finalize(self, lib.lwx_service_free, out[0])
        self._failed: Callable[[BaseException], None] = lambda _: None

    def drain(self) -> None:
        """Ends the service in an orderly way."""
        check(lib.lwx_service_drain(self._service))

    def run(self) -> None:
        """Runs until it has ended, without asyncio."""
        check(lib.lwx_service_run(self._service))

    async def serve(self) -> None:
        """Runs in the loop until the service has ended, or the task is cancelled."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        service, at, timer, armed = self._service, ffi.new("uint64_t *"), None, NEVER
        self._failed = lambda error: loop.call_exception_handler({"message": "a handler has failed", "exception": error})

        def dispatch() -> None:
            nonlocal timer, armed
            code = lib.lwx_service_dispatch(service)
            if code <= 0:
                if not done.done():
                    done.set_result(None) if code == 0 else done.set_exception(Error(code))
                return
            check(lib.lwx_service_deadline(service, at))
            deadline = at[0]
            # A deadline that has become later is found out when the timer comes: most move with every message.
            if deadline >= armed:
                return
            if timer is not None:
                timer.cancel()
            armed, timer = deadline, None
            if deadline != NEVER:
                timer = loop.call_later(max(0, deadline - lib.lwx_now_us()) / 1e6, due)

        def due() -> None:
            nonlocal armed
            armed = NEVER
            dispatch()

        #: For what is asked for between turns: what it makes earlier has to be noticed before the loop sleeps.
        self._nudge = lambda: loop.call_soon(dispatch)
        descriptor = check(lib.lwx_service_fd(service))
        loop.add_reader(descriptor, dispatch)
        try:
            dispatch()
            await done
        finally:
            loop.remove_reader(descriptor)
            if timer is not None:
                timer.cancel()


class Callbacks:
    """A handler of C whose callbacks are functions of Python. It has to be kept for as long as the library may call."""

    def __init__(self, service: Service, protocols: str = "") -> None:
        self.handler = ffi.new("lwx_handler *")
        self.handler.size = ffi.sizeof("lwx_handler")
        self._service = service
        self._kept: list[object] = []
        if protocols:
            self._kept.append(ffi.new("char[]", protocols.encode()))
            self.handler.protocols = self._kept[-1]

    def set(self, **calls: Callable) -> None:
        """Sets callbacks by their names: what each is called with is what `Server` and `Client` say."""
        for name, call in calls.items():
            if call is not None:
                getattr(self, f"_set_{name}")(call)

    def _set(self, name: str, call: Callable) -> None:
        pointer = ffi.callback(ffi.typeof(getattr(self.handler, name)), self._guarded(call))
        setattr(self.handler, name, pointer)
        self._kept.append(pointer)

    def _set_message(self, message: Callable[[Stream, str | bytes], None]) -> None:
        parts: dict[int, bytes] = {}
        buffer = ffi.buffer

        def data(service: object, key: int, start: object, size: int, flags: int, _: object) -> None:
            content = buffer(start, size)[:] if size else b""
            if not flags & END:
                parts[key] = parts.get(key, b"") + content
                return
            if parts:
                content = parts.pop(key, b"") + content
            message(Stream(service, key), content.decode() if flags & TEXT else content)

        self._set("data", data)

    def _set_content(self, content: Callable[[Stream, bytes, bool], None]) -> None:
        def data(service: object, key: int, start: object, size: int, flags: int, _: object) -> None:
            content(Stream(service, key), ffi.buffer(start, size)[:] if size else b"", bool(flags & END))

        self._set("data", data)

    def _set_request(self, request: Callable[[Stream, str, str], None]) -> None:
        def requested(service: object, key: int, _: int, __: object) -> None:
            info = ffi.new("lwx_request *")
            info.size = ffi.sizeof("lwx_request")
            check(lib.lwx_get_request(service, key, info))
            request(Stream(service, key), text(info.method), text(info.path))

        self._set("request", requested)

    def _set_response(self, response: Callable[[Stream, int, dict[str, str]], None]) -> None:
        def answered(service: object, key: int, head: object, _: object) -> None:
            fields = {text(head.fields[at].name).lower(): text(head.fields[at].value) for at in range(head.field_count)}
            response(Stream(service, key), head.status, fields)

        self._set("response", answered)

    def _set_open(self, call: Callable[[Stream], None]) -> None:
        self._set("open", lambda service, key, _: call(Stream(service, key)))

    def _set_writable(self, call: Callable[[Stream], None]) -> None:
        self._set("writable", lambda service, key, _: call(Stream(service, key)))

    def _set_closed(self, call: Callable[[Stream, int, int, str], None]) -> None:
        def closed(service: object, key: int, why: object, _: object) -> None:
            call(Stream(service, key), why.cause, why.code, text(why.detail) or text(why.name))

        self._set("closed", closed)

    def _set_lost(self, call: Callable[[Stream, str], None]) -> None:
        self._set("lost", lambda service, key, why, _: call(Stream(service, key), text(why.detail)))

    def _guarded(self, call: Callable) -> Callable:
        """Nothing that a handler raises goes into the library."""
        owner = weakref.ref(self._service)

        def guarded(service: object, key: int, *rest: object) -> None:
            try:
                call(service, key, *rest)
            except BaseException as error:  # noqa: BLE001 - it must not go on through C
                if lib.lwx_close(service, key, 1011, b"", 0) < 0:
                    lib.lwx_abort(service, key)
                if (found := owner()) is not None:
                    found._failed(error)

        return guarded
