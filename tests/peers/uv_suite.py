#!/usr/bin/env python3
"""The suite for loops on the libuv that Python's uvloop carries, which is another one than the system's.

    uv_suite.py LIBRARY    the shared library of the crate `uv-suite`
"""

from __future__ import annotations

import ctypes
import sys

import uvloop
from checks import Checks

checks = Checks("uvloop's libuv")


def main() -> None:
    suite = ctypes.CDLL(sys.argv[1])
    # The extension is loaded already: this is its handle.
    handle = ctypes.CDLL(uvloop.loop.__file__)._handle
    find = ctypes.cast(ctypes.CDLL(None).dlsym, ctypes.c_void_p)
    version = ctypes.c_uint32()
    failed = suite.uv_suite(find, ctypes.c_void_p(handle), ctypes.byref(version))
    checks.equal("the functions are those of uvloop", version.value, uvloop.loop.libuv_get_version())
    checks.equal("every scenario passes", failed, 0)
    system = ctypes.CDLL("libuv.so.1").uv_version()
    print(f"libuv {version.value:#x}; the system's is {system:#x}")
    checks.finish()


main()
