"""A UDP client in Python: sends datagrams to `udp_echo`, whose path is the only argument, and checks what comes back."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys

SECONDS = 20
passed = failed = 0


def check(name: str, good: bool, seen: object = "") -> None:
    global passed, failed
    if good:
        passed += 1
        print(f"ok   {name}")
    else:
        failed += 1
        print(f"FAIL {name}: {seen!r:.300}")


def client(family: int, address: str) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.settimeout(SECONDS)
    made.bind((address, 0))
    return made


def talk(family: int, ours: str, theirs: str, port: int, title: str) -> None:
    with client(family, ours) as made:
        for datagram in (b"hello", b"", b"\0" * 1_400, bytes(range(256)) * 200):
            made.sendto(datagram, (theirs, port))
            back, source = made.recvfrom(70_000)
            check(f"{title}: {len(datagram)} bytes come back", back == datagram, back)
            check(f"{title}: from the address that was asked", source[:2] == (theirs, port), source)
        burst = [struct.pack("!I", number) * (1 + number % 5) for number in range(40)]
        for datagram in burst:
            made.sendto(datagram, (theirs, port))
        back = [made.recv(70_000) for _ in burst]
        check(f"{title}: {len(burst)} at once come back in order", back == burst, back)
    with client(family, ours) as made:
        made.connect((theirs, port))
        made.send(b"connected")
        check(f"{title}: a connected socket hears the answer", made.recv(100) == b"connected")


def gone(family: int, ours: str, theirs: str, port: int, title: str) -> None:
    """Answers to a socket that has gone do not end the service."""
    for _ in range(5):
        with client(family, ours) as made:
            made.sendto(b"nobody hears the answer", (theirs, port))
    with client(family, ours) as made:
        made.sendto(b"still there?", (theirs, port))
        check(f"{title}: peers that have gone do no harm", made.recv(100) == b"still there?")


def group(port: int) -> None:
    with client(socket.AF_INET, "127.0.0.1") as made:
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        made.sendto(b"unheard", ("239.255.76.82", port))
        made.sendto(b"heard", ("127.0.0.1", port))
        check("a group that was not joined is not heard", made.recv(100) == b"heard")


def main() -> int:
    with subprocess.Popen([sys.argv[1], "[::]:0"], stdout=subprocess.PIPE, text=True) as service:
        try:
            port = int(service.stdout.readline().rsplit(":", 1)[1])
            talk(socket.AF_INET, "127.0.0.1", "127.0.0.1", port, "IPv4")
            talk(socket.AF_INET, "127.0.0.3", "127.0.0.44", port, "another address of this machine")
            talk(socket.AF_INET6, "::1", "::1", port, "IPv6")
            gone(socket.AF_INET, "127.0.0.1", "127.0.0.1", port, "IPv4")
            gone(socket.AF_INET6, "::1", "::1", port, "IPv6")
            group(port)
            with client(socket.AF_INET6, "::1") as made:
                made.sendto(b"quit", ("::1", port))
            check("it ends when it is told to", service.wait(SECONDS) == 0, service.returncode)
            counted = service.stdout.read()
            check("and has counted every datagram", counted == "received 149, sent 148\n", counted)
        finally:
            service.kill()
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0 or passed == 0)


if __name__ == "__main__":
    sys.exit(main())
