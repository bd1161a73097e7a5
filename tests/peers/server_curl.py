#!/usr/bin/env python3
"""HTTP/1.1 of our server, asked by curl. Needs no package. Raw octets are in `server_raw.py`."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from checks import Checks, server

checks = Checks("curl")


@dataclass
class Answer:
    """What curl got: the final status, the fields (names in lower case), the content."""

    status: int
    fields: dict[str, str]
    content: bytes
    sections: list[bytes]
    exit_code: int


def curl(url: str, *options: str, content: bytes | None = None) -> Answer:
    """One transfer. `sections` are the status lines and fields of every answer, 100 included."""
    with tempfile.TemporaryDirectory() as folder:
        head, body = Path(folder, "head"), Path(folder, "body")
        command = ["curl", "--silent", "--show-error", "--max-time", "30", "-D", str(head), "-o", str(body)]
        done = subprocess.run([*command, *options, url], input=content, capture_output=True, check=False)
        sections = [part for part in (head.read_bytes() if head.exists() else b"").split(b"\r\n\r\n") if part]
        lines = sections[-1].decode("latin-1").split("\r\n") if sections else ["HTTP/1.1 000"]
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        received = body.read_bytes() if body.exists() else b""
    return Answer(int(lines[0].split()[1]), fields, received, sections, done.returncode)


def hello(base: str) -> None:
    answer = curl(f"{base}/hello")
    checks.equal("GET /hello answers 200", answer.status, 200)
    checks.equal("GET /hello gives the greeting", answer.content, b"Hello, world!")
    checks.equal("GET /hello has its length", answer.fields.get("content-length"), "13")
    checks.check("GET /hello is plain text", answer.fields.get("content-type", "").startswith("text/plain"), answer.fields)
    checks.check("an answer is dated", answer.fields.get("date", "").endswith(" GMT"), answer.fields)

    head = curl(f"{base}/hello", "--head")
    checks.equal("HEAD /hello answers 200", head.status, 200)
    checks.equal("HEAD /hello has the length of GET", head.fields.get("content-length"), "13")
    checks.equal("HEAD /hello has no content", head.exit_code, 0)

    checks.equal("an unknown path answers 404", curl(f"{base}/no/such/page").status, 404)
    checks.equal("the demo page answers 200", curl(f"{base}/").status, 200)
    checks.check("the demo page is HTML", curl(f"{base}/").fields.get("content-type", "").startswith("text/html"))
    refused = curl(f"{base}/hello", "-X", "DELETE").status
    checks.check("a method that /hello does not have is refused", refused in (404, 405, 501), refused)

    old = curl(f"{base}/hello", "--http1.0")
    checks.equal("an HTTP/1.0 client gets 200", (old.status, old.content), (200, b"Hello, world!"))
    checks.check("an HTTP/1.0 client gets no chunks", "transfer-encoding" not in old.fields, old.fields)

    # curl says how many connections a transfer had to open: one for the first, none for the others.
    many = ["--silent", "--max-time", "30", "-o", "/dev/null", "-w", "%{num_connects} %{http_code}\n"]
    done = subprocess.run(["curl", *many, *[f"{base}/hello"] * 3, "-o", "/dev/null", "-o", "/dev/null"], capture_output=True, text=True, check=False)
    checks.equal("three transfers share one connection", done.stdout.split("\n")[:3], ["1 200", "0 200", "0 200"])


def echo(base: str) -> None:
    ten_mb = os.urandom(10_000_000)
    chunked = ("-H", "Transfer-Encoding: chunked", "-H", "Expect:", "-H", "Content-Type: application/octet-stream")
    answer = curl(f"{base}/echo", "--data-binary", "@-", *chunked, content=ten_mb)
    checks.equal("POST /echo of 10 MB in chunks answers 200", answer.status, 200)
    checks.check("POST /echo of 10 MB in chunks comes back whole", answer.content == ten_mb, len(answer.content))

    answer = curl(f"{base}/echo", "--data-binary", "@-", "-H", "Expect:", content=ten_mb)
    checks.check("POST /echo of 10 MB with a length comes back whole", answer.content == ten_mb, (answer.status, len(answer.content)))

    answer = curl(f"{base}/echo", "--data-binary", "@-", "-H", "Expect: 100-continue", "--expect100-timeout", "20", content=ten_mb)
    interim = answer.sections[0].split(b"\r\n")[0] if answer.sections else b""
    checks.check("Expect: 100-continue is answered by 100", interim.startswith(b"HTTP/1.1 100"), interim)
    checks.check("the content after 100 comes back whole", answer.content == ten_mb, (answer.status, len(answer.content)))

    answer = curl(f"{base}/echo", "-X", "POST", "-H", "Content-Length: 0")
    checks.equal("POST /echo of nothing gives nothing", (answer.status, answer.content), (200, b""))

    answer = curl(f"{base}/echo", "--data-binary", "@-", "-H", "Expect: a-miracle", content=b"x")
    checks.equal("an unknown expectation is refused by 417", answer.status, 417)

    answer = curl(f"{base}/hello", "-H", f"X-Long: {'x' * 20_000}")
    checks.equal("a field section over the limit is refused by 431", answer.status, 431)
    answer = curl(f"{base}/{'x' * 9_000}")
    checks.equal("a target over the limit is refused by 414", answer.status, 414)

    upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    old = curl(f"{base}/echo", *upgrade, "-H", "Sec-WebSocket-Version: 8")
    checks.equal("another version of WebSocket is refused by 426", old.status, 426)
    checks.equal("the refusal names version 13", old.fields.get("sec-websocket-version"), "13")


def files(base: str, page: bytes, data: bytes) -> None:
    index = curl(f"{base}/")
    checks.equal("a directory gives its index.html", (index.status, index.content), (200, page))
    checks.check("index.html is HTML", index.fields.get("content-type", "").startswith("text/html"), index.fields)

    whole = curl(f"{base}/data.bin")
    checks.check("a file comes whole", (whole.status, whole.content) == (200, data), (whole.status, len(whole.content)))
    checks.equal("a file has its length", whole.fields.get("content-length"), str(len(data)))
    etag, modified = whole.fields.get("etag", ""), whole.fields.get("last-modified", "")
    checks.check("a file has a strong entity tag", etag.startswith('"'), etag)
    checks.check("a file has its modification date", modified.endswith(" GMT"), modified)
    head = curl(f"{base}/data.bin", "--head")
    checks.equal("HEAD of a file has its length", (head.status, head.fields.get("content-length"), head.exit_code), (200, str(len(data)), 0))

    for name, fields, status in [
        ("the same entity tag answers 304", [f"If-None-Match: {etag}"], 304),
        ("one of several entity tags answers 304", [f'If-None-Match: "other", {etag}'], 304),
        ("a weak form of the tag answers 304", [f"If-None-Match: W/{etag}"], 304),
        ("If-None-Match: * answers 304", ["If-None-Match: *"], 304),
        ("another entity tag answers 200", ['If-None-Match: "other"'], 200),
        ("not modified since answers 304", [f"If-Modified-Since: {modified}"], 304),
        ("modified since an old date answers 200", ["If-Modified-Since: Thu, 01 Jan 1998 00:00:00 GMT"], 200),
        ("the tag wins over the date", ['If-None-Match: "other"', f"If-Modified-Since: {modified}"], 200),
        ("If-Match with another tag answers 412", ['If-Match: "other"'], 412),
        ("If-Unmodified-Since an old date answers 412", ["If-Unmodified-Since: Thu, 01 Jan 1998 00:00:00 GMT"], 412),
    ]:
        options = [part for field in fields for part in ("-H", field)]
        answer = curl(f"{base}/data.bin", *options)
        checks.equal(name, answer.status, status)
        if status == 304:
            checks.equal(f"{name}, with the tag and no content", (answer.fields.get("etag"), answer.content), (etag, b""))

    size = len(data)
    for name, wanted, first, last in [
        ("the first 100 bytes", "0-99", 0, 99),
        ("one byte", "7-7", 7, 7),
        ("from a place to the end", f"{size - 10}-", size - 10, size - 1),
        ("the last 500 bytes", "-500", size - 500, size - 1),
        ("an end past the end", f"{size - 5}-{size + 5}", size - 5, size - 1),
        ("a suffix longer than the file", f"-{size + 5}", 0, size - 1),
    ]:
        answer = curl(f"{base}/data.bin", "-H", f"Range: bytes={wanted}")
        checks.equal(f"range: {name} answers 206", answer.status, 206)
        checks.check(f"range: {name} has those bytes", answer.content == data[first : last + 1], len(answer.content))
        checks.equal(f"range: {name} is described", answer.fields.get("content-range"), f"bytes {first}-{last}/{size}")
    answer = curl(f"{base}/data.bin", "-H", f"Range: bytes={size}-")
    checks.equal("a range past the end answers 416", (answer.status, answer.fields.get("content-range")), (416, f"bytes */{size}"))
    answer = curl(f"{base}/data.bin", "-H", "Range: bytes=0-9", "-H", 'If-Range: "other"')
    checks.equal("If-Range with another tag gives the whole file", (answer.status, len(answer.content)), (200, size))
    answer = curl(f"{base}/data.bin", "-H", "Range: bytes=0-9", "-H", f"If-Range: {etag}")
    checks.equal("If-Range with the tag gives the range", (answer.status, answer.content), (206, data[:10]))
    checks.equal("an unknown range unit is ignored", curl(f"{base}/data.bin", "-H", "Range: lines=0-9").status, 200)

    encoded = curl(f"{base}/a%20name.txt")
    checks.equal("a percent-encoded name is found", (encoded.status, encoded.content), (200, b"spaced\n"))
    checks.equal("a missing file answers 404", curl(f"{base}/missing.txt").status, 404)
    refused = curl(f"{base}/data.bin", "-X", "POST", "-H", "Content-Length: 0").status
    checks.check("POST to a file is refused", refused in (404, 405, 501), refused)
    checks.equal("an empty file has no content", (curl(f"{base}/empty.txt").status, curl(f"{base}/empty.txt").content), (200, b""))


def escapes(base: str) -> None:
    """Nothing outside the directory is given, however it is asked for."""
    for path in [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/sub/..%2f..%2fsecret.txt",
        "/..\\secret.txt",
        "/..%5csecret.txt",
        "/%252e%252e/secret.txt",
        "/....//secret.txt",
        "//secret.txt",
        "/./../secret.txt",
        "/secret.txt%00.html",
        "/index.html%00",
        "/data.bin/../../secret.txt",
        "/outside/secret.txt",
        "/link.txt",
    ]:
        answer = curl(f"{base}{path}", "--path-as-is")
        leaked = b"top secret" in answer.content
        checks.check(f"{path} gives nothing away", not leaked and answer.status in (400, 403, 404), (answer.status, answer.content[:80]))


def main() -> None:
    with checks.scenario("the demo server"), server() as port:
        hello(f"http://127.0.0.1:{port}")
        echo(f"http://127.0.0.1:{port}")
    with checks.scenario("a directory"), tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "served")
        (root / "sub").mkdir(parents=True)
        outside = Path(folder, "outside")
        outside.mkdir()
        for secret in (Path(folder, "secret.txt"), outside / "secret.txt"):
            secret.write_text("top secret\n")
        page, data = b"<!doctype html><title>index</title>\n", os.urandom(300_000)
        (root / "index.html").write_bytes(page)
        (root / "data.bin").write_bytes(data)
        (root / "a name.txt").write_bytes(b"spaced\n")
        (root / "empty.txt").write_bytes(b"")
        (root / "link.txt").symlink_to(Path(folder, "secret.txt"))
        (root / "outside").symlink_to(outside)
        with server(directory=root) as port:
            files(f"http://127.0.0.1:{port}", page, data)
            escapes(f"http://127.0.0.1:{port}")
    checks.finish()


if __name__ == "__main__":
    main()
