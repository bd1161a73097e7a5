#!/usr/bin/env python3
"""HTTP/1.1 of our server, asked with octets that curl does not send: pipelined, cut, old, broken."""

from __future__ import annotations

import socket
import time

from checks import Checks, server

checks = Checks("octets")

GET = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def until_close(peer: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    while True:
        try:
            more = peer.recv(65536)
        except ConnectionResetError:
            return received
        if not more:
            return received
        received += more


def ask(port: int, octets: bytes) -> bytes:
    """What the server says to `octets` until it closes; our side is left open."""
    with dial(port) as peer:
        peer.sendall(octets)
        return until_close(peer)


def pipelining(port: int) -> None:
    answers = ask(port, GET * 99 + LAST)
    checks.equal("100 pipelined requests get 100 answers", answers.count(b"HTTP/1.1 200"), 100)
    checks.equal("each with its content", answers.count(b"Hello, world!"), 100)

    post = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"
    mixed = b"".join(post + f"msg{number:02}".encode() + GET for number in range(10))
    answers = ask(port, mixed + LAST)
    places = [answers.find(f"msg{number:02}".encode()) for number in range(10)]
    checks.check("pipelined answers come in the order of the requests", -1 not in places and places == sorted(places), places)
    checks.equal("requests between them are answered", answers.count(b"Hello, world!"), 11)

    with dial(port) as peer:
        for octet in GET + LAST:
            peer.sendall(bytes([octet]))
        answers = until_close(peer)
    checks.equal("requests that arrive octet by octet are answered", answers.count(b"Hello, world!"), 2)

    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"5;name=value\r\nfirst\r\n6;q=\"a\\\"b\"\r\nsecond\r\n0\r\nX-Trailer: here\r\n\r\n"
    answer = ask(port, head + body)
    checks.check("chunk extensions and trailers do not reach the content", b"first" in answer and b"second" in answer and b"name" not in answer, answer)


def persistence(port: int) -> None:
    answer = ask(port, b"GET /hello HTTP/1.0\r\n\r\n")
    checks.check("HTTP/1.0 without Host is answered, then closed", answer.endswith(b"Hello, world!") and b" 200 " in answer, answer)

    with dial(port) as peer:
        peer.sendall(b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        first = peer.recv(65536)
        peer.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
        rest = until_close(peer)
    kept = b"keep-alive" in first.lower()
    answered = b"Hello, world!" in rest if kept else True
    checks.check("HTTP/1.0 keep-alive is honoured or not promised", b"Hello, world!" in first and answered, (first, rest))

    with dial(port) as peer:
        received = b""
        for _ in range(50):
            peer.sendall(GET)
            while received.count(b"Hello, world!") == 0:
                received += peer.recv(65536)
            received = received.split(b"Hello, world!", 1)[1]
        checks.check("50 requests in turn share a connection", received == b"", received)

    with dial(port) as peer:
        peer.sendall(GET)
        peer.shutdown(socket.SHUT_WR)
        checks.check("a client that has closed its half is answered", b"Hello, world!" in until_close(peer))


def refusals(port: int) -> None:
    host = b"Host: localhost\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n"
    for name, octets, statuses in [
        ("no Host in HTTP/1.1", b"GET /hello HTTP/1.1\r\n\r\n", (400,)),
        ("two Hosts", b"GET /hello HTTP/1.1\r\n" + host + host + b"\r\n", (400,)),
        ("garbage", b"\x00\x01\x02\x03\r\n\r\n", (400,)),
        ("a space before the colon", b"GET /hello HTTP/1.1\r\n" + host + b"X-A : b\r\n\r\n", (400,)),
        ("a folded line", b"GET /hello HTTP/1.1\r\n" + host + b"X-A: b\r\n c\r\n\r\n", (400,)),
        ("chunked with a length", b"POST /echo HTTP/1.1\r\n" + host + chunked + b"Content-Length: 5\r\n\r\n0\r\n\r\n", (400,)),
        ("two lengths", b"POST /echo HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", (400,)),
        ("a signed length", b"POST /echo HTTP/1.1\r\n" + host + b"Content-Length: +5\r\n\r\nhello", (400,)),
        ("a length past 64 bits", b"POST /echo HTTP/1.1\r\n" + host + b"Content-Length: 99999999999999999999\r\n\r\n", (400, 413)),
        ("an unknown coding", b"POST /echo HTTP/1.1\r\n" + host + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (501,)),
        ("chunked not last", b"POST /echo HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", (400, 501)),
        ("chunked in HTTP/1.0", b"POST /echo HTTP/1.0\r\n" + host + chunked + b"\r\n0\r\n\r\n", (400,)),
        ("HTTP/9.9", b"GET /hello HTTP/9.9\r\n" + host + b"\r\n", (400, 505)),
        ("HTTP/2.0 in a request line", b"GET /hello HTTP/2.0\r\n" + host + b"\r\n", (400, 505)),
    ]:
        with checks.scenario(name):
            answer = ask(port, octets)
            status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
            checks.check(f"{name} is refused by {' or '.join(map(str, statuses))}", status in statuses, answer[:200])
            # A server that answers one request twice can be made to answer the request of another client.
            checks.equal(f"{name} gets one answer and the connection ends", answer.count(b"HTTP/1.1 "), 1)

    head = b"POST /echo HTTP/1.1\r\n" + host + chunked + b"\r\n"
    for name, body in [
        ("a chunk size that is no number", b"5x\r\nhello\r\n0\r\n\r\n"),
        ("a signed chunk size", b"+5\r\nhello\r\n0\r\n\r\n"),
        ("a chunk that is longer than said", b"2\r\nhello\r\n0\r\n\r\n"),
        ("a chunk line that ends with a bare LF", b"5\nhello\r\n0\r\n\r\n"),
    ]:
        with checks.scenario(name):
            answer = ask(port, head + body + LAST)
            checks.check(f"{name} ends the connection", b"Hello, world!" not in answer, answer[:300])


def slowness(port: int) -> None:
    """A client that stops in the middle of a head is let go, and does not hold up the others."""
    with dial(port) as slow:
        slow.sendall(b"GET /hello HTTP/1.1\r\nHost: loc")
        checks.check("others are served meanwhile", b"Hello, world!" in ask(port, LAST))
        begin = time.monotonic()
        answer = until_close(slow)
        took = time.monotonic() - begin
    checks.check("half a head is refused by 408 after its deadline", answer.startswith(b"HTTP/1.1 408") and 5 < took < 15, (answer[:80], took))


def main() -> None:
    for scenario in (pipelining, persistence, refusals, slowness):
        with checks.scenario(scenario.__name__), server() as port:
            scenario(port)
    checks.finish()


if __name__ == "__main__":
    main()
