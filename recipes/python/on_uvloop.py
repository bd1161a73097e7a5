"""The echo server on uvloop at level B: each descriptor is in a handle of the libuv that uvloop brings, found by its functions' names.

The library is linked with the system's libuv, and the two do not know each other's handles: with the version of the loop, the wrong functions are
refused with words.
"""

import asyncio
import ctypes
import os
import sys

import cffi
import lwx
import uvloop
from uvloop.loop import libuv_get_loop_t_ptr, libuv_get_version

LIBRARY = ctypes.CDLL(os.environ["LWX_LIBRARY"])
LIBRARY.lwx_last_error.restype = ctypes.c_char_p
DLSYM = ctypes.cast(ctypes.CDLL(None).dlsym, ctypes.c_void_p)
Done = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
SYSTEM = -14


def attach(service: ctypes.c_void_p, loop: uvloop.Loop) -> None:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    raw = ctypes.c_void_p(pointer(libuv_get_loop_t_ptr(loop), None))
    version = ctypes.c_uint32(libuv_get_version())
    refused = LIBRARY.lwx_service_attach_uv_of(service, raw, version, None, None)
    if refused != SYSTEM:
        raise RuntimeError(f"the functions of another libuv were accepted: {refused}")
    print("refused:", LIBRARY.lwx_last_error().decode(), flush=True)
    handle = ctypes.c_void_p(ctypes.CDLL(uvloop.loop.__file__)._handle)
    if LIBRARY.lwx_service_attach_uv_of(service, raw, version, DLSYM, handle) < 0:
        raise RuntimeError(LIBRARY.lwx_last_error().decode())


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = lwx.Server(sys.argv[1])
    service = ctypes.c_void_p(int(cffi.FFI().cast("uintptr_t", server._service)))
    asked, gone = asyncio.Event(), asyncio.Event()
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
        stream.respond(200, b"WebSockets at /echo send back what they receive.\n")

    @server.http("/stop")
    def stop(stream: lwx.Stream, method: str, path: str) -> None:
        stream.respond(202)
        asked.set()

    addresses = server.start()
    attach(service, loop)
    print("listening on", addresses[0], flush=True)
    ticks = 0
    while not asked.is_set():
        await asyncio.sleep(0.01)
        ticks += 1
    # The service leaves the loop with what is still open, and is ended on its own.
    done = Done(lambda *_: gone.set())
    LIBRARY.lwx_service_detach_uv(service, done, None)
    await gone.wait()
    server.drain()
    server.run()
    print("ticks", ticks, flush=True)


uvloop.run(main())
