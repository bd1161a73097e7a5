#!/usr/bin/env python3
"""Programs behind our server: git (clone and push), CGI scripts, PHP by php-fpm, and scripts by fcgiwrap; and the same behind our proxy, in
front of that server and of nginx with fcgiwrap. Asked by git and curl.

Needs no package of Python; git, curl, nginx, php-fpm and fcgiwrap of the distribution.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from certificates import Authority
from checks import Checks, free_port, running, server
from nginx import nginx

checks = Checks("gateways")

#: The program of git that answers for repositories.
GIT_PROGRAM = "/usr/lib/git-core/git-http-backend"
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


def smart_http(way: str, base: str, folder: Path) -> None:
    """Clone, push and pull, of a repository of its own; `way` says what lies in between."""
    name = re.sub(r"\W+", "-", way)
    repository = folder / "repositories" / f"{name}.git"
    git("init", "--bare", "--initial-branch=main", str(repository))
    git("config", "http.receivepack", "true", folder=repository)
    place = folder / name
    place.mkdir()
    work = place / "work"
    done = git("clone", f"{base}/git/{name}.git", str(work))
    checks.check(f"{way}: an empty repository is cloned", done.returncode == 0, done.stderr)
    git("checkout", "-b", "main", folder=work)
    (work / "small").write_text("hello\n")
    # More than git sends without chunks: 1 MiB.
    (work / "large").write_bytes(os.urandom(5_000_000))
    git("add", ".", folder=work)
    git("commit", "-m", "first", folder=work)
    done = git("push", "origin", "main", folder=work)
    checks.check(f"{way}: 5 MB are pushed", done.returncode == 0, done.stderr)
    head = git("rev-parse", "HEAD", folder=work).stdout
    checks.equal(f"{way}: the repository has what was pushed", git("rev-parse", "main", folder=repository).stdout, head)
    other = place / "other"
    done = git("clone", f"{base}/git/{name}.git", str(other))
    checks.check(f"{way}: it is cloned", done.returncode == 0, done.stderr)
    checks.check(f"{way}: the clone is the same", (other / "large").read_bytes() == (work / "large").read_bytes())
    (other / "small").write_text("changed\n")
    git("commit", "-a", "-m", "second", folder=other)
    checks.equal(f"{way}: a second commit is pushed", git("push", folder=other).returncode, 0)
    checks.equal(f"{way}: and pulled", git("pull", folder=work).returncode, 0)
    checks.equal(f"{way}: with its content", (work / "small").read_text(), "changed\n")
    done = git("clone", f"{base}/git/none.git", str(place / "none"))
    checks.check(f"{way}: a repository that is not there is not cloned", done.returncode != 0 and "not found" in done.stderr, done.stderr)
    checks.equal(f"{way}: git finds nothing wrong", git("fsck", "--strict", folder=repository).returncode, 0)


def scripts(way: str, base: str, place: str, echo: str, versions: dict[str, list[str]]) -> None:
    """The same scripts by whichever way, in each version of HTTP. `echo` is the one that gives its content back."""
    content = os.urandom(3_000_000)
    for version, options in versions.items():
        name = f"{way}: {place} over {version}"
        checks.equal(f"{name}: variables", curl(f"{base}/{place}/show.sh/a%20b?c=d", *options), (200, b"GET /a b c=d\n"))
        posted = curl(f"{base}/{place}/{echo}", "--data-binary", "@-", *options, content=content)
        checks.check(f"{name}: 3 MB are posted and come back", posted == (200, content), (posted[0], len(posted[1])))
        checks.equal(f"{name}: a status", curl(f"{base}/{place}/gone.sh", *options), (410, b"gone\n"))
        chunked = curl(f"{base}/{place}/chunked.sh", *options)
        checks.equal(f"{name}: chunks of a script are taken out", chunked, (200, b"hello"))


def php(way: str, base: str) -> None:
    for round_ in range(3):
        answer = curl(f"{base}/php/show.php/info?a=1")
        checks.equal(f"{way}: PHP sees the request, {round_}", answer, (200, b"GET /php/show.php /info a=1"))
    content = os.urandom(2_000_000)
    posted = curl(f"{base}/php/post.php", "--data-binary", "@-", "-H", "Content-Type: application/octet-stream", content=content)
    checks.check(f"{way}: PHP gets 2 MB and gives them back", posted == (200, content), (posted[0], len(posted[1])))
    chunks = ["-H", "Transfer-Encoding: chunked", "-H", "Content-Type: application/octet-stream"]
    posted = curl(f"{base}/php/post.php", "--data-binary", "@-", *chunks, content=b"in chunks")
    checks.equal(f"{way}: PHP gets what comes in chunks", posted, (200, b"in chunks"))
    checks.equal(f"{way}: PHP sets the status", curl(f"{base}/php/status.php")[0], 418)
    checks.equal(f"{way}: the index of a folder", curl(f"{base}/php/"), (200, b"index"))
    checks.equal(f"{way}: a script that is not there", curl(f"{base}/php/none.php")[0], 404)
    checks.equal(f"{way}: what is no script", curl(f"{base}/php/none.txt")[0], 404)


def nginx_with_git(folder: Path, port: int, wrap_socket: Path) -> list[str]:
    """Has repositories below `/git`, by the program of git that fcgiwrap starts."""
    return nginx(folder, f"""
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0;
    location ~ ^/git(/.*)$ {{
      fastcgi_pass unix:{wrap_socket};
      fastcgi_param SCRIPT_FILENAME {GIT_PROGRAM};
      fastcgi_param GIT_PROJECT_ROOT {folder}/repositories;
      fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param REMOTE_USER anyone;
      fastcgi_param PATH_INFO $1;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
    }}
  }}
""")


def proxied(folder: Path, base: str, wrap_socket: Path, versions: dict[str, list[str]]) -> None:
    """The same, with our proxy in front: over each version of HTTP on either side, and before nginx."""
    with checks.scenario("the proxy over HTTP/1.1"), server("--proxy", f"/={base}") as port:
        front = f"http://127.0.0.1:{port}"
        smart_http("proxy", front, folder)
        scripts("proxy", front, "cgi-bin", "cat.sh", versions)
        scripts("proxy", front, "wrapped", "keep.sh", versions)
        php("proxy", front)
    certificate, key = Authority(folder).issue("front", "localhost")
    tls = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with checks.scenario("the proxy over HTTP/2"), server(*tls, "--proxy", f"/={base.replace('http', 'h2c')}") as port:
        # Over TLS git speaks HTTP/2.
        GIT_ENVIRONMENT["GIT_SSL_CAINFO"] = str(folder / "roots.pem")
        smart_http("proxy, HTTP/2", f"https://localhost:{port}", folder)
    port = free_port()
    with (
        checks.scenario("the proxy before nginx"),
        running(nginx_with_git(folder, port, wrap_socket), port),
        server("--proxy", f"/=http://127.0.0.1:{port}") as front_port,
    ):
        smart_http("proxy, nginx, fcgiwrap", f"http://127.0.0.1:{front_port}", folder)


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
        behind = stack.enter_context(running(command, port, stderr=subprocess.DEVNULL))
        base = f"http://127.0.0.1:{port}"
        versions = {"HTTP/1.1": ["--http1.1"], "HTTP/2": ["--http2-prior-knowledge"]}
        with checks.scenario("git"):
            smart_http("ours", base, folder)
        with checks.scenario("CGI"):
            scripts("ours", base, "cgi-bin", "cat.sh", versions)
        with checks.scenario("fcgiwrap"):
            # It writes all content to a script before it reads what that writes: one that does both at once would wait for it for ever.
            scripts("ours", base, "wrapped", "keep.sh", versions)
        with checks.scenario("PHP"):
            php("ours", base)
        proxied(folder, base, wrap_socket, versions)
        children = subprocess.run(["ps", "--ppid", str(behind.pid), "-o", "stat="], capture_output=True, text=True, check=False)
        checks.equal("no process is left", children.stdout, "")
    checks.finish()


if __name__ == "__main__":
    main()
