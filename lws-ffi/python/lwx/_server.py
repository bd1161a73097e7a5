"""A server."""

from __future__ import annotations

from collections.abc import Callable

from lwx._library import TEXT, check, ffi, lib
from lwx._service import Callbacks, Service, Stream


class Server(Service):
    """A service, its routes, and its place in asyncio's loop."""

    def __init__(self, *addresses: str) -> None:
        super().__init__()
        #: Callbacks of C, for as long as the service may call them.
        self._kept: list[Callbacks] = []
        for address in addresses:
            check(lib.lwx_listen(self._service, address.encode(), ffi.NULL, ffi.NULL))

    def websocket(
        self,
        path: str,
        *,
        protocols: str = "",
        open: Callable[[Stream], None] | None = None,  # noqa: A002 - the name of the callback
        writable: Callable[[Stream], None] | None = None,
        closed: Callable[[Stream, int, int, str], None] | None = None,
    ) -> Callable:
        """Has a function called with each message; the other callbacks may be given beside it. `closed` gets the number of the cause, the close
        code and the cause in words."""

        def route(message: Callable[[Stream, str | bytes], None]) -> Callable:
            self._route(1, path, protocols, message=message, open=open, writable=writable, closed=closed)
            return message

        return route

    def http(self, path: str) -> Callable:
        """Has a function called with each request: its stream, method and path."""

        def route(request: Callable[[Stream, str, str], None]) -> Callable:
            self._route(0, path, request=request)
            return request

        return route

    def files(self, path: str, directory: str) -> None:
        """Serves the files of a directory."""
        check(lib.lwx_files(self._service, path.encode(), directory.encode(), ffi.NULL))

    def publish(self, topic: str, message: str | bytes) -> None:
        """Sends a message to all subscribers."""
        is_text = isinstance(message, str)
        data = message.encode() if is_text else message
        check(lib.lwx_publish(self._service, topic.encode(), data, len(data), TEXT if is_text else 0))

    def start(self) -> list[str]:
        """Binds the listeners, and says where they are."""
        check(lib.lwx_service_start(self._service))
        room, found = ffi.new("char[256]"), []
        while lib.lwx_service_address(self._service, len(found), room, 256) == 0:
            found.append(ffi.string(room).decode())
        return found

    def _route(self, kind: int, path: str, protocols: str = "", **calls: Callable | None) -> None:
        callbacks = Callbacks(self, protocols)
        callbacks.set(**calls)
        self._kept.append(callbacks)
        check(lib.lwx_route(self._service, kind, path.encode(), callbacks.handler))
