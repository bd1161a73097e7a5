#!/usr/bin/env python3
"""Files of our server, asked by curl: every kind of representation with every kind of answer, links that are swapped while they are
asked for, and an archive. Needs no package.
"""

from __future__ import annotations

import gzip
import os
import resource
import socket
import subprocess
import tempfile
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

from checks import Checks, free_port, running, server, server_binary, server_options

checks = Checks("files")

TEXT = "".join(f"line {number} of a text that can be compressed\n" for number in range(2_000)).encode()
#: Old enough that no file system says that it may change again within its tick.
AGE = 1_600_000_000


@dataclass
class Answer:
    """The status, the fields (names in lower case), the content as it was sent."""

    status: int
    fields: dict[str, str]
    content: bytes
    exit_code: int

    def plain(self) -> bytes:
        """The content without its coding."""
        return gzip.decompress(self.content) if self.fields.get("content-encoding") == "gzip" else self.content


def curl(url: str, *fields: str, options: tuple[str, ...] = ()) -> Answer:
    with tempfile.TemporaryDirectory() as folder:
        head, body = Path(folder, "head"), Path(folder, "body")
        command = ["curl", "--silent", "--max-time", "30", "-D", str(head), "-o", str(body), *options]
        for field in fields:
            command += ["-H", field]
        done = subprocess.run([*command, url], capture_output=True, check=False)
        lines = head.read_bytes().decode("latin-1").split("\r\n") if head.exists() else ["HTTP/1.1 000"]
        found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        content = body.read_bytes() if body.exists() else b""
    return Answer(int(lines[0].split()[1]), found, content, done.returncode)


def one_kind(name: str, url: str, accept: str, coding: str | None, ranges: bool) -> None:
    """The row of one kind of representation."""
    wanted = f"Accept-Encoding: {accept}"
    whole = curl(url, wanted)
    checks.equal(f"{name}: 200, in its coding", (whole.status, whole.fields.get("content-encoding")), (200, coding))
    checks.check(f"{name}: all of it", whole.plain() == TEXT, len(whole.content))
    varies = "Accept-Encoding" in whole.fields.get("vary", "")
    checks.check(f"{name}: it says that it varies", varies, whole.fields)
    checks.equal(f"{name}: it says whether there are ranges", whole.fields.get("accept-ranges"), "bytes" if ranges else None)
    tag = whole.fields.get("etag", "")
    checks.check(f"{name}: a strong tag", tag.startswith('"'), tag)

    head = curl(url, wanted, options=("--head",))
    same = {"etag", "vary", "content-encoding", "content-type", "accept-ranges", "last-modified"}
    of_head, of_whole = ({key: value for key, value in it.fields.items() if key in same} for it in (head, whole))
    checks.equal(f"{name}: HEAD says what GET says", (head.status, of_head), (200, of_whole))
    length = head.fields.get("content-length")
    checks.check(f"{name}: HEAD has the length, or none", length in (None, str(len(whole.content))), length)

    unchanged = curl(url, wanted, f"If-None-Match: {tag}")
    checks.equal(f"{name}: 304, with tag and Vary", (unchanged.status, unchanged.fields.get("etag"), unchanged.content), (304, tag, b""))
    checks.check(f"{name}: 304 varies, too", "Accept-Encoding" in unchanged.fields.get("vary", ""), unchanged.fields)
    failed = curl(url, wanted, 'If-Match: "another"')
    checks.equal(f"{name}: 412", failed.status, 412)
    checks.check(f"{name}: 412 varies, too", "Accept-Encoding" in failed.fields.get("vary", ""), failed.fields)

    part = curl(url, wanted, "Range: bytes=10-29")
    if ranges:
        checks.equal(f"{name}: 206 of the bytes on the wire", (part.status, part.content), (206, whole.content[10:30]))
        checks.equal(f"{name}: 206 has the same tag", part.fields.get("etag"), tag)
        past = curl(url, wanted, "Range: bytes=99999999-")
        checks.equal(f"{name}: 416", (past.status, past.fields.get("content-range")), (416, f"bytes */{len(whole.content)}"))
        several = curl(url, wanted, "Range: bytes=0-9,5000-5009" if len(whole.content) > 5_010 else "Range: bytes=0-1,200-201")
        checks.check(f"{name}: several parts", several.fields.get("content-type", "").startswith("multipart/byteranges"), several.fields)
        spliced = curl(url, wanted, "Range: bytes=10-29", 'If-Range: "another"')
        checks.equal(f"{name}: If-Range with another tag gives all", (spliced.status, len(spliced.content)), (200, len(whole.content)))
    else:
        checks.equal(f"{name}: a range of what is made on the way is ignored", part.status, 200)
    of_head = curl(url, wanted, "Range: bytes=10-29", options=("--head",))
    checks.equal(f"{name}: HEAD knows no range", of_head.status, 200)


def matrix(base: str, archive: str) -> None:
    one_kind("identity", f"{base}/plain.txt", "identity", None, ranges=True)
    one_kind("sibling", f"{base}/sibling.txt", "gzip", "gzip", ranges=True)
    one_kind("identity beside a sibling", f"{base}/sibling.txt", "gzip;q=0", None, ranges=True)
    one_kind("on the way", f"{base}/plain.txt", "gzip", "gzip", ranges=False)
    one_kind("archive member as gzip", f"{archive}/member.txt", "gzip", "gzip", ranges=True)
    for name, url in [("directory", f"{base}/picture.bin"), ("archive", f"{archive}/stored.bin")]:
        refused = curl(url, "Accept-Encoding: identity;q=0, x-none")
        checks.equal(f"{name}: 406 where nothing is acceptable", refused.status, 406)
    tags = {curl(f"{base}/sibling.txt", f"Accept-Encoding: {coding}").fields.get("etag") for coding in ("identity", "gzip")}
    checks.equal("each representation has a tag of its own", len(tags), 2)


def swapped_links(base: str, root: Path) -> None:
    """A directory that is a link to the outside every other moment: nothing from there is ever served."""
    inside, outside, name = root / "inside", root.parent / "outside", root / "swapped"
    stop = threading.Event()

    def swap() -> None:
        number = 0
        while not stop.is_set():
            target = outside if number % 2 else inside
            temporary = root / f".swap{number % 8}"
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            os.replace(temporary, name)
            number += 1

    swapping = threading.Thread(target=swap)
    name.symlink_to(inside)
    swapping.start()
    seen: dict[bytes, int] = {}
    try:
        for _ in range(20):
            # A thousand requests on each connection.
            done = subprocess.run(
                ["curl", "--silent", "--max-time", "30", "--output", "-", f"{base}/swapped/file.txt?[1-1000]"],
                capture_output=True, check=False,
            )
            for line in done.stdout.splitlines():
                seen[line] = seen.get(line, 0) + 1
    finally:
        stop.set()
        swapping.join()
    checks.check("what is inside is served", seen.get(b"inside", 0) > 0, list(seen)[:5])
    checks.equal("what is outside is never served", seen.get(b"outside", 0), 0)


def written_bytes(process: int) -> int:
    """What a process has written by calls that count as such: sendfile(2) does, and sendto(2) does not. proc_pid_io(5)."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{process}/io").read_text().splitlines())
    return int(fields["wchar"])


def large_files(root: Path) -> None:
    """What is large goes from the page cache into the socket: in parts, to slow readers, and with other responses behind it."""
    content = os.urandom((3 << 20) + 4_321)
    (root / "large.bin").write_bytes(content)
    port = free_port()
    command = [server_binary(), str(root), "--port", str(port), "--quiet", *server_options()]
    with running(command, port) as process:
        url = f"http://127.0.0.1:{port}/large.bin"
        before = written_bytes(process.pid)
        checks.check("large files: all of it", curl(url).content == content)
        sent = written_bytes(process.pid) - before
        # cachestat(2), by which the server knows what lies in memory.
        if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 5):
            checks.check("large files: the system sends it by itself", sent >= len(content) - (64 << 10), sent)
        slow = curl(url, options=("--limit-rate", "3M"))
        checks.check("large files: all of it to a slow reader", slow.content == content, len(slow.content))
        part = curl(url, "Range: bytes=70001-2500000")
        checks.check("large files: a part", part.content == content[70_001:2_500_001], len(part.content))
        parts = curl(url, "Range: bytes=5-600000,900000-2000000")
        whole = content[5:600_001] in parts.content and content[900_000:2_000_001] in parts.content
        checks.check("large files: several parts", parts.status == 206 and whole, len(parts.content))
        before = written_bytes(process.pid)
        http2 = curl(url, options=("--http2-prior-knowledge",))
        checks.check("large files: all of it over HTTP/2", http2.content == content, len(http2.content))
        checks.check("large files: HTTP/2 frames it", written_bytes(process.pid) - before < 64 << 10)
        urls = [url, f"http://127.0.0.1:{port}/picture.bin", url]
        done = subprocess.run(["curl", "--silent", *urls], capture_output=True, check=False)
        picture = (root / "picture.bin").read_bytes()
        checks.check("large files: others on their connection", done.stdout == content + picture + content, len(done.stdout))


def short_of_descriptors(root: Path) -> None:
    """Files that are kept open in case they are asked for again make way for connections."""
    port = free_port()
    for number in range(8):
        (root / f"large-{number}.bin").write_bytes(os.urandom(300_000))
    with running([server_binary(), str(root), "--port", str(port), "--quiet"], port) as process:
        url = f"http://127.0.0.1:{port}"
        for number in range(8):
            curl(f"{url}/large-{number}.bin")
        folder = Path(f"/proc/{process.pid}/fd")

        def kept() -> int:
            links = [os.readlink(link) for link in folder.iterdir()]
            return sum("large-" in link for link in links)

        checks.check("files are kept open", kept() >= 4, kept())
        used = max(int(link.name) for link in folder.iterdir()) + 1
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used, used))
        # All descriptors below the limit are taken, and none of these asks for anything that would find that out.
        others = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(6)]
        others[-1].sendall(b"HEAD /picture.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status = others[-1].recv(100)[:13]
        checks.equal("short of descriptors: the last one of many is served", status, b"HTTP/1.1 200 ")
        for other in others:
            other.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, checks.scenario("the matrix"):
        root = Path(folder, "served")
        for directory in (root, root / "inside", Path(folder, "outside")):
            directory.mkdir()
        (root / "inside" / "file.txt").write_text("inside\n")
        Path(folder, "outside", "file.txt").write_text("outside\n")
        (root / "plain.txt").write_bytes(TEXT)
        (root / "sibling.txt").write_bytes(TEXT)
        (root / "sibling.txt.gz").write_bytes(gzip.compress(TEXT, mtime=0))
        (root / "picture.bin").write_bytes(os.urandom(4_000))
        for path in root.iterdir():
            os.utime(path, (AGE, AGE))
        archive = Path(folder, "site.zip")
        with zipfile.ZipFile(archive, "w") as members:
            members.writestr("member.txt", TEXT, zipfile.ZIP_DEFLATED)
            members.writestr("stored.bin", os.urandom(4_000), zipfile.ZIP_STORED)
        with server(directory=root) as port, server("--zip", str(archive)) as other:
            matrix(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{other}")
            swapped_links(f"http://127.0.0.1:{port}", root)
        with checks.scenario("large files"):
            large_files(root)
        with checks.scenario("short of descriptors"):
            short_of_descriptors(root)
    checks.finish()


if __name__ == "__main__":
    main()
