#!/usr/bin/env python3
"""The programs of `recipes`, each with foreign peers while a timer of its own ticks.

    recipes.py NAME COMMAND...              a recipe, and how it is started with an address behind it
    recipes.py --stalled NAME COMMAND...    the same, stopped for longer than a request may take
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

from checks import Checks
from programs import PATIENCE, Program, curl, echo, running, stop
from websockets.sync.client import connect

stalled = sys.argv[1] == "--stalled"
name, *command = sys.argv[2 if stalled else 1 :]
#: Longer than the head of a request may take, which is 10 s.
STALL_SECONDS = 12
checks = Checks(name)


def news(program: Program, address: str) -> None:
    """Another thread of the program publishes."""
    with connect(f"ws://{address}/news", open_timeout=PATIENCE) as websocket:
        checks.equal("another thread is heard of", websocket.recv(PATIENCE), "news of another thread")


def dialog(program: Program, address: str) -> None:
    """A handler runs the host's loop inside itself, with work for the service all the while."""
    asking = subprocess.Popen(["curl", "-sS", f"http://{address}/dialog"], stdout=subprocess.PIPE, text=True)
    with asking as inside, socket.create_connection(address.rsplit(":", 1)) as waiting:
        time.sleep(0.1)
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        waiting.settimeout(PATIENCE)
        said = inside.communicate(timeout=PATIENCE)[0]
        checks.check("a loop inside a handler sleeps", said in ("asleep\n", "0 dispatches, asleep\n"), said)
        checks.check("and goes on outside it", waiting.recv(1000).startswith(b"HTTP/1.1 200 "))


def other_libuv(program: Program) -> None:
    """A program that brings its own libuv tries another one first."""
    words = program.line("refused: ")
    checks.check("a loop of another libuv is refused with words", "the loop is of libuv 1." in words and "the functions are of libuv 1." in words, words)


def closes(started: list[str]) -> None:
    """The program closes the descriptor of its service."""
    with running(checks, name, started) as program:
        words = program.line("closed: ")
        checks.check("it learns that it has closed the descriptor", words.startswith("the program has closed the descriptor"), words)


def stall(started: list[str]) -> None:
    """What had come when the process was stopped counts before the deadline that has passed since."""
    program = Program(started)
    try:
        address = program.line("listening on ")
        with socket.create_connection(address.rsplit(":", 1)) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            time.sleep(0.5)
            program.process.send_signal(signal.SIGSTOP)
            peer.sendall(b"\r\n")
            time.sleep(STALL_SECONDS)
            program.process.send_signal(signal.SIGCONT)
            peer.settimeout(PATIENCE)
            head = peer.recv(1000)[:15]
            checks.equal("a request that came before a stall is answered after it", head, b"HTTP/1.1 200 OK")
    finally:
        program.limit.cancel()
        program.process.kill()
        program.process.wait()


def main() -> None:
    # In the place of `{}`, or at the end.
    placed = [word.replace("{}", "127.0.0.1:0") for word in command]
    started = placed if placed != command else [*command, "127.0.0.1:0"]
    if stalled:
        with checks.scenario(name):
            stall(started)
        checks.finish()
    if name == "closes":
        with checks.scenario(name):
            closes(started)
        checks.finish()
    with checks.scenario(name), running(checks, name, started) as program:
        if name in ("node", "uvloop-handles"):
            other_libuv(program)
        address = program.line("listening on ")
        begin = time.monotonic()
        echo(checks, name, address)
        if name in ("go", "jvm"):
            news(program, address)
        if name in ("qt", "luv"):
            dialog(program, address)
        stop(checks, address)
        elapsed = time.monotonic() - begin
        if name.startswith("fork"):
            checks.check("children come and go", int(program.line("forks ")) > 0)
        ticks = int(program.line("ticks "))
        # Every 10 or 16 ms; a machine that is busy with other things has not much time for a timer.
        checks.check("the program's own timer goes on", ticks >= elapsed * 10, f"{ticks} in {elapsed:.2f} s")
    checks.finish()


main()
