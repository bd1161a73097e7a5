#!/usr/bin/env python3
"""What others say of our server's files: REDbot of each kind of resource, and nginx as a cache in front.

REDbot comes from `requirements.txt`, nginx from Debian. A note of REDbot that is a complaint fails, unless it is answered in `ANSWERED`.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from checks import Checks, free_port, running, server
from nginx import nginx
from server_files import AGE, TEXT, Answer, curl

checks = Checks("files, judged")

#: Complaints of REDbot that we answer, by the names of its notes.
ANSWERED = {
    # RFC 9111 §5.2.2.9 lets a cache keep responses to requests with Authorization then, which a server of files behind `--auth` cannot
    # rule out: who says `--cache SECONDS` wants shared caches to keep them.
    "STORE_PUBLIC_UNNECESSARY": "said on purpose",
    # The redirect to a directory: it is short, and the name may be that of a file the next time. A validator would save nothing.
    "FRESHNESS_NO_CACHE_NO_VALIDATOR": "asked for anew on purpose",
    # Relative, so that no Host that a client makes up gets into it. RFC 9110 §10.2.2 allows it.
    "LOCATION_NOT_ABSOLUTE": "relative on purpose",
}
COMPLAINTS = ("WARN", "BAD")


def redbot(url: str) -> list[tuple[str, str]]:
    """The complaints about a resource: names and sentences."""
    program = Path(sys.executable).with_name("redbot")
    done = subprocess.run([program, "-o", "har", url], capture_output=True, check=True, timeout=60)
    notes = [note for entry in json.loads(done.stdout)["log"]["entries"] for note in entry["_red_messages"]]
    if not notes:
        raise RuntimeError(f"REDbot says nothing of {url}")
    return [(note["note_id"], note["summary"]) for note in notes if note["level"] in COMPLAINTS]


def linted(base: str, archive: str) -> None:
    kinds = {
        "identity and compressed on the way": f"{base}/plain.txt",
        "precompressed sibling": f"{base}/sibling.txt",
        "what is not compressed": f"{base}/picture.bin",
        "page": f"{base}/page.html",
        "index of a directory": f"{base}/",
        "listing": f"{base}/inside/",
        "redirect of a directory": f"{base}/inside",
        "not found": f"{base}/nothing",
        "hashed name": f"{base}/main.3f2a9c1b.js",
        "archive, deflated": f"{archive}/member.txt",
        "archive, stored": f"{archive}/stored.bin",
    }
    with ThreadPoolExecutor(6) as pool:
        for name, complaints in zip(kinds, pool.map(redbot, kinds.values())):
            unanswered = [complaint for complaint in complaints if complaint[0] not in ANSWERED]
            checks.check(f"REDbot: {name}", not unanswered, unanswered)


@contextmanager
def cache(folder: Path, ours: int) -> Iterator[str]:
    """nginx as a cache that keeps what it may, and asks again with conditions."""
    port = free_port()
    command = nginx(folder, f"""
  proxy_cache_path kept keys_zone=kept:1m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{ours};
      proxy_cache kept;
      proxy_cache_revalidate on;
      add_header X-Cache $upstream_cache_status always;
    }}
  }}
""", complaints="warn")
    with running(command, port):
        yield f"http://127.0.0.1:{port}"


def cached(front: str, root: Path) -> None:
    def get(path: str, *fields: str) -> tuple[str, Answer]:
        answer = curl(f"{front}/{path}", *fields)
        return answer.fields.get("x-cache", ""), answer

    for path in ("plain.txt", "sibling.txt"):
        for coding in ("gzip", "identity", "gzip", "identity"):
            state, answer = get(path, f"Accept-Encoding: {coding}")
            wanted = coding if coding == "gzip" else None
            checks.equal(f"cache: {path} as {coding}, {state}", answer.fields.get("content-encoding"), wanted)
            checks.check(f"cache: {path} as {coding}, {state}: all of it", answer.plain() == TEXT, len(answer.content))
        checks.equal(f"cache: {path} is kept", get(path, "Accept-Encoding: gzip")[0], "HIT")
    for accept, kind in [("text/html", "text/html; charset=utf-8"), ("application/json", "application/json")] * 2:
        _, answer = get("inside/", f"Accept: {accept}")
        checks.equal(f"cache: the listing as {accept}", answer.fields.get("content-type"), kind)
    _, part = get("picture.bin", "Range: bytes=10-29")
    whole = (root / "picture.bin").read_bytes()
    checks.equal("cache: a part is that part", (part.status, part.content), (206, whole[10:30]))
    # Older than it is believed for: asked for again, and the same; and then another of the same length.
    time.sleep(2.1)
    state, answer = get("plain.txt", "Accept-Encoding: identity")
    checks.equal("cache: what is unchanged is asked for with conditions", (state, answer.content == TEXT), ("REVALIDATED", True))
    other = TEXT.replace(b"line", b"LINE")
    (root / "new").write_bytes(other)
    os.replace(root / "new", root / "plain.txt")
    time.sleep(2.1)
    state, answer = get("plain.txt", "Accept-Encoding: identity")
    checks.equal("cache: what has changed comes anew", (state, answer.content == other), ("EXPIRED", True))
    state, answer = get("plain.txt", "Accept-Encoding: gzip")
    checks.check(f"cache: and so in the other coding, {state}", answer.plain() == other, answer.content[:50])
    checks.equal("cache: nothing is not kept as something", get("nothing")[1].status, 404)


def fill(root: Path, archive: Path) -> None:
    (root / "inside").mkdir(parents=True)
    (root / "inside" / "a file.txt").write_text("inside\n")
    (root / "plain.txt").write_bytes(TEXT)
    (root / "sibling.txt").write_bytes(TEXT)
    (root / "sibling.txt.gz").write_bytes(gzip.compress(TEXT, mtime=0))
    (root / "picture.bin").write_bytes(os.urandom(4_000))
    page = "<!doctype html><html lang=\"en\"><title>A page</title><p>" + "text " * 500
    (root / "index.html").write_text(page)
    (root / "page.html").write_text(page)
    (root / "main.3f2a9c1b.js").write_text("export const answer = 42;\n" * 100)
    for path in root.iterdir():
        os.utime(path, (AGE, AGE))
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("member.txt", TEXT, zipfile.ZIP_DEFLATED)
        members.writestr("stored.bin", os.urandom(4_000), zipfile.ZIP_STORED)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, archive = Path(folder, "served"), Path(folder, "site.zip")
        fill(root, archive)
        with checks.scenario("REDbot"):
            with server("--listing", "--cache", "build", directory=root) as port:
                with server("--zip", str(archive), "--cache", "3600") as other:
                    linted(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{other}")
        with checks.scenario("a cache in front"), server("--listing", "--cache", "1", directory=root / ".") as port:
            (root / "index.html").unlink()
            with cache(Path(folder), port) as front:
                cached(front, root)
    checks.finish()


if __name__ == "__main__":
    main()
