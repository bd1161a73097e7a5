"""The library lwx, as cffi loads it."""

from __future__ import annotations

import os
from pathlib import Path

import cffi

END, TEXT = 1, 4
AGAIN = -5
#: What the library calls no deadline.
NEVER = 2**64 - 1

ffi = cffi.FFI()
ffi.cdef((Path(__file__).parent / "lwx.cdef").read_text())


def _where() -> str:
    """The library that the environment names, that of the wheel, or that of the system."""
    own = Path(__file__).parent / "liblwx.so.0"
    return os.environ.get("LWX_LIBRARY") or (str(own) if own.exists() else own.name)


#: Kept for ever: the library cannot be unloaded.
lib = ffi.dlopen(_where())


class Error(RuntimeError):
    """A call of the library that failed."""

    def __init__(self, code: int) -> None:
        text = ffi.string(lib.lwx_strerror(code)).decode()
        detail = ffi.string(lib.lwx_last_error()).decode()
        # The detail is that of the last call that had one.
        super().__init__(f"{text} ({detail})" if code in (-2, -14) and detail else text)
        self.code = code


def check(code: int) -> int:
    """What a call answers, unless that is an error."""
    if code < 0:
        raise Error(code)
    return code


def text(lent: object) -> str:
    """A copy of a text that the library lends."""
    return bytes(ffi.buffer(lent.data, lent.size)).decode(errors="replace") if lent.size else ""


def lines(fields: dict[str, str] | None) -> tuple[object, list[object]]:
    """Field lines for a call, and what has to be kept during it."""
    out = ffi.new("lwx_field[]", len(fields or {}))
    kept = []
    for line, pair in zip(out, (fields or {}).items(), strict=True):
        for place, value in zip((line.name, line.value), pair, strict=True):
            kept.append(ffi.from_buffer(value.encode()))
            place.data, place.size = kept[-1], len(kept[-1])
    return out, kept
