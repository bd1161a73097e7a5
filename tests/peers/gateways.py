#!/usr/bin/env python3
"""Programs behind our server: git (clone and push), CGI scripts, PHP by php-fpm, and scripts by fcgiwrap. Asked by git and curl.

Needs no package of Python; git, curl, php-fpm and fcgiwrap of the distribution.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from checks import Checks, free_port, running

checks = Checks("gateways")

#: Names that a git of this test goes by, and no configuration of the user's.
GIT_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    **{f"GIT_{role}_{kind}": value for role in ("AUTHOR", "COMMITTER") for kind, value in (("NAME", "t"), ("EMAIL", "t@t"))},
}


def program(*names: str) -> str:
    """The first of these programs that is there."""
    places = os.environ["PATH"] + ":/usr/sbin"
    found = [path for name in names if (path := shutil.which(name, path=places))]
    if not found:
        raise FileNotFoundError(f"none of {names} is installed")
    return found[0]


def git(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *arguments], cwd=folder, env=GIT_ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)


def curl(url: str, *options: str, content: bytes | None = None) -> tuple[int, bytes]:
    """The status and content of one transfer; a status of 0 where there was no whole one."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", "-w", "\n%{http_code}", *options, url]
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    body, _, status = done.stdout.rpartition(b"\n")
    return (int(status) if done.returncode == 0 else 0), body


def wait_for_socket(path: Path) -> None:
    give_up = time.monotonic() + 15
    while not path.is_socket():
        if time.monotonic() > give_up:
            raise TimeoutError(f"there is no socket {path}")
        time.sleep(0.02)


@contextmanager
def process(command: list[str], socket: Path, log: Path) -> Iterator[None]:
    """A server of FastCGI until the block ends."""
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for_socket(socket)
        yield
    finally:
        # Its group: processes that fcgiwrap has started go on without it.
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(15)


@contextmanager
def php_fpm(folder: Path) -> Iterator[Path]:
    socket = folder / "php.sock"
    configuration = folder / "fpm.conf"
    user = "user = root\ngroup = root\n" if os.geteuid() == 0 else ""
    configuration.write_text(
        f"[global]\nerror_log = {folder}/fpm.log\ndaemonize = no\n"
        f"[test]\n{user}listen = {socket}\npm = static\npm.max_children = 4\ncatch_workers_output = no\n"
    )
    names = sorted((path.name for path in Path("/usr/sbin").glob("php-fpm*")), reverse=True)
    root = ["-R"] if os.geteuid() == 0 else []
    with process([program("php-fpm", *names), "-n", "-F", *root, "-y", str(configuration)], socket, folder / "fpm.out"):
        yield socket


@contextmanager
def fcgiwrap(folder: Path) -> Iterator[Path]:
    socket = folder / "wrap.sock"
    with process([program("fcgiwrap"), "-c", "2", "-s", f"unix:{socket}"], socket, folder / "wrap.out"):
        yield socket


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def smart_http(base: str, folder: Path) -> None:
    repository = folder / "repositories" / "a.git"
    git("init", "--bare", "--initial-branch=main", str(repository))
    git("config", "http.receivepack", "true", folder=repository)
    work = folder / "work"
    done = git("clone", f"{base}/git/a.git", str(work))
    checks.check("an empty repository is cloned", done.returncode == 0, done.stderr)
    git("checkout", "-b", "main", folder=work)
    (work / "small").write_text("hello\n")
    # More than git sends without chunks: 1 MiB.
    (work / "large").write_bytes(os.urandom(5_000_000))
    git("add", ".", folder=work)
    git("commit", "-m", "first", folder=work)
    done = git("push", "origin", "main", folder=work)
    checks.check("5 MB are pushed", done.returncode == 0, done.stderr)
    head = git("rev-parse", "HEAD", folder=work).stdout
    checks.equal("the repository has what was pushed", git("rev-parse", "main", folder=repository).stdout, head)
    other = folder / "other"
    done = git("clone", f"{base}/git/a.git", str(other))
    checks.check("it is cloned", done.returncode == 0, done.stderr)
    checks.check("the clone is the same", (other / "large").read_bytes() == (work / "large").read_bytes())
    (other / "small").write_text("changed\n")
    git("commit", "-a", "-m", "second", folder=other)
    checks.equal("a second commit is pushed", git("push", folder=other).returncode, 0)
    checks.equal("and pulled", git("pull", folder=work).returncode, 0)
    checks.equal("with its content", (work / "small").read_text(), "changed\n")
    done = git("clone", f"{base}/git/none.git", str(folder / "none"))
    checks.check("a repository that is not there is not cloned", done.returncode != 0 and "not found" in done.stderr, done.stderr)
    checks.equal("git finds nothing wrong", git("fsck", "--strict", folder=repository).returncode, 0)


def scripts(base: str, place: str, echo: str, versions: dict[str, list[str]]) -> None:
    """The same scripts by whichever way, in each version of HTTP. `echo` is the one that gives its content back."""
    content = os.urandom(3_000_000)
    for version, options in versions.items():
        name = f"{place} over {version}"
        checks.equal(f"{name}: variables", curl(f"{base}/{place}/show.sh/a%20b?c=d", *options), (200, b"GET /a b c=d\n"))
        posted = curl(f"{base}/{place}/{echo}", "--data-binary", "@-", *options, content=content)
        checks.check(f"{name}: 3 MB are posted and come back", posted == (200, content), (posted[0], len(posted[1])))
        checks.equal(f"{name}: a status", curl(f"{base}/{place}/gone.sh", *options), (410, b"gone\n"))
        chunked = curl(f"{base}/{place}/chunked.sh", *options)
        checks.equal(f"{name}: chunks of a script are taken out", chunked, (200, b"hello"))


def php(base: str) -> None:
    for round_ in range(3):
        answer = curl(f"{base}/php/show.php/info?a=1")
        checks.equal(f"PHP sees the request, {round_}", answer, (200, b"GET /php/show.php /info a=1"))
    content = os.urandom(2_000_000)
    posted = curl(f"{base}/php/post.php", "--data-binary", "@-", "-H", "Content-Type: application/octet-stream", content=content)
    checks.check("PHP gets 2 MB and gives them back", posted == (200, content), (posted[0], len(posted[1])))
    chunks = ["-H", "Transfer-Encoding: chunked", "-H", "Content-Type: application/octet-stream"]
    posted = curl(f"{base}/php/post.php", "--data-binary", "@-", *chunks, content=b"in chunks")
    checks.equal("PHP gets what comes in chunks", posted, (200, b"in chunks"))
    checks.equal("PHP sets the status", curl(f"{base}/php/status.php")[0], 418)
    checks.equal("the index of a folder", curl(f"{base}/php/"), (200, b"index"))
    checks.equal("a script that is not there", curl(f"{base}/php/none.php")[0], 404)
    checks.equal("what is no script", curl(f"{base}/php/none.txt")[0], 404)


def main() -> None:
    example = os.environ.get("GATEWAYS", "target/debug/examples/gateways")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        programs, files = folder / "programs", folder / "php"
        for made in (programs, files, folder / "repositories"):
            made.mkdir()
        head = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n"
        executable(programs / "show.sh", head + "\\n'; echo \"$REQUEST_METHOD $PATH_INFO $QUERY_STRING\"\n")
        executable(programs / "cat.sh", head + "\\n'; exec cat\n")
        keep = '#!/bin/sh\nkept=$(mktemp)\ncat > "$kept"\nprintf "Content-Type: text/plain\\n\\n"\ncat "$kept"\nrm "$kept"\n'
        executable(programs / "keep.sh", keep)
        executable(programs / "gone.sh", head + "Status: 410 Gone\\n\\n'; echo gone\n")
        executable(programs / "chunked.sh", head + "Transfer-Encoding: chunked\\n\\n5\\r\\nhello\\r\\n0\\r\\n\\r\\n'\n")
        show = "<?php echo $_SERVER['REQUEST_METHOD'], ' ', $_SERVER['SCRIPT_NAME'], ' ', $_SERVER['PATH_INFO'], ' ', $_SERVER['QUERY_STRING'];"
        (files / "show.php").write_text(show)
        (files / "post.php").write_text("<?php echo file_get_contents('php://input');")
        (files / "status.php").write_text("<?php http_response_code(418);")
        (files / "index.php").write_text("<?php echo 'index';")
        php_socket, wrap_socket = stack.enter_context(php_fpm(folder)), stack.enter_context(fcgiwrap(folder))
        port = free_port()
        sockets = [str(php_socket), str(files), str(wrap_socket)]
        command = [example, f"127.0.0.1:{port}", str(folder / "repositories"), str(programs), *sockets]
        server = stack.enter_context(running(command, port, stderr=subprocess.DEVNULL))
        base = f"http://127.0.0.1:{port}"
        versions = {"HTTP/1.1": ["--http1.1"], "HTTP/2": ["--http2-prior-knowledge"]}
        with checks.scenario("git"):
            smart_http(base, folder)
        with checks.scenario("CGI"):
            scripts(base, "cgi-bin", "cat.sh", versions)
        with checks.scenario("fcgiwrap"):
            # It writes all content to a script before it reads what that writes: one that does both at once would wait for it for ever.
            scripts(base, "wrapped", "keep.sh", versions)
        with checks.scenario("PHP"):
            php(base)
        children = subprocess.run(["ps", "--ppid", str(server.pid), "-o", "stat="], capture_output=True, text=True, check=False)
        checks.equal("no process is left", children.stdout, "")
    checks.finish()


if __name__ == "__main__":
    main()
