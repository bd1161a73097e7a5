#!/usr/bin/env python3
"""Our server orders its certificates of an authority: nothing waits for it, what is issued is presented without a restart, kept, and renewed."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from acme_authority import EXTERNAL_ACCOUNT, AcmeAuthority, Pebble, Problem, names_of, renewal_name
from certificates import openssl
from checks import Checks, free_port, server_binary, server_options, wait_for_port

checks = Checks("acme")

#: How long anything here may take.
SECONDS = 30


class Serving:
    """The program with a configuration in a folder of its own: a host for http-01 at one port, hosts with TLS at another."""

    def __init__(self, folder: Path, authority: AcmeAuthority | Pebble) -> None:
        self.folder, self.authority = folder, authority
        #: Further members of `acme`.
        self.acme = ""
        self.state = folder / "state"
        self.log = folder / "log"
        (folder / "conf.d").mkdir()
        (folder / "www").mkdir()
        (folder / "www" / "index.html").write_text("page")
        (folder / "users").write_text("ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")
        (folder / "conf").write_text('{ "global": { "init-ssl": 1 } }')
        # What is below the root needs a password.
        self.write("plain", f'"name": "plain.example", "port": {authority.http_port}, "noipv6": 1, "mounts": [ {{ "mountpoint": "/", '
                            f'"origin": "file://{folder}/www", "basic-auth": "{folder}/users" }} ]')

    def write(self, name: str, members: str) -> None:
        (self.folder / "conf.d" / name).write_text(f'{{ "vhosts": [ {{ {members} }} ] }}')

    def order(self, name: str, challenge: str, *domains: str) -> None:
        """A host with a certificate of the authority."""
        names = ", ".join(f'"{domain}"' for domain in domains or (name,))
        acme = (f'"acme": {{ "directory": "{self.authority.directory_url}", "directory-ca": "{self.authority.directory_ca}", "terms-agreed": 1, '
                f'"state-directory": "{self.state}", "contact": "mailto:admin@a.example", "challenge": "{challenge}", "domains": [ {names} ] {self.acme} }}')
        mount = f'{{ "mountpoint": "/", "origin": "file://{self.folder}/www", "default": "index.html" }}'
        self.write(name, f'"name": "{name}", "port": {self.authority.tls_port}, "noipv6": 1, {acme}, "mounts": [ {mount} ]')

    def start(self) -> None:
        self.output = open(self.log, "wb")
        self.child = subprocess.Popen([server_binary(), "--config", self.folder, *server_options()], stdout=self.output, stderr=self.output, stdin=subprocess.DEVNULL)
        wait_for_port(self.authority.tls_port, self.child)

    def said(self, words: str) -> bool:
        """Whether the log has these words, soon."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self.child.poll() is None:
            if words in self.log.read_text():
                return True
            time.sleep(0.02)
        return False

    def reload(self) -> None:
        self.child.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait(SECONDS)
        self.output.close()

    def connect(self, name: str, verified: bool = False) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.authority.issuer)
        if not verified:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.authority.tls_port), timeout=SECONDS), server_hostname=name)

    def shown(self, name: str) -> bytes:
        """The certificate that is presented to who asks for a name."""
        with self.connect(name) as tls:
            return tls.getpeercert(binary_form=True)

    def is_trusted(self, name: str) -> bool:
        try:
            with self.connect(name, verified=True) as tls:
                tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
                return b"200 OK" in tls.recv(65_536)
        except ssl.SSLError:
            return False


def status(port: int, host: str, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse().status
    connection.close()
    return answer


def stale(folder: Path, authority: AcmeAuthority, domain: str) -> tuple[str, str]:
    """A certificate that four fifths of its life are over of, and its key."""
    configuration, key, request, out = (folder / f"stale.{end}" for end in ("cnf", "key", "csr", "pem"))
    (folder / "index").write_text("")
    configuration.write_text(
        f"[ca]\ndefault_ca=own\n[own]\ndatabase={folder}/index\nnew_certs_dir={folder}\nrand_serial=yes\ndefault_md=sha256\npolicy=any\n"
        f"x509_extensions=leaf\n[any]\ncommonName=optional\n[leaf]\nsubjectAltName=DNS:{domain}\nbasicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n"
    )
    now = datetime.now(UTC)
    begin, end = ((now + timedelta(days=days)).strftime("%y%m%d%H%M%SZ") for days in (-20, 5))
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={domain}", "-keyout", str(key), "-out", str(request))
    openssl("ca", "-batch", "-notext", "-config", str(configuration), "-cert", str(authority.root.root), "-keyfile", str(authority.root.key),
            "-startdate", begin, "-enddate", end, "-in", str(request), "-out", str(out))
    return key.read_text(), out.read_text()


def first_certificate(serving: Serving, authority: AcmeAuthority) -> None:
    serving.order("a.example", "http-01", "a.example", "www.a.example")
    serving.start()
    checks.equal("a server waits for no authority", names_of(serving.shown("a.example")), {"a.example", "www.a.example"})
    checks.check("no root vouches for what it presents until then", not serving.is_trusted("a.example"))
    checks.equal("a token that was not published is not there", status(authority.http_port, "a.example", "/.well-known/acme-challenge/x"), 404)
    checks.equal("everything else is as configured", status(authority.http_port, "plain.example", "/"), 401)
    before = serving.connect("a.example")
    authority.refusals = [Problem(400, "badNonce")]
    authority.open.set()
    checks.check("a certificate is issued", serving.said("the certificate for a.example, www.a.example is presented now"), serving.log.read_text())
    checks.equal("by http-01, for both domains", authority.validated, [("a.example", "http-01"), ("www.a.example", "http-01")])
    for name in ("a.example", "www.a.example"):
        checks.check(f"it is presented without a restart: {name}", serving.is_trusted(name))
    before.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
    checks.check("a connection from before goes on", b"200 OK" in before.recv(65_536))
    before.close()
    checks.check("the authority says when to renew it", serving.said("the authority suggests to renew the certificate for a.example, www.a.example in "), serving.log.read_text())
    checks.check("and why", f"{authority.base}/why" in serving.log.read_text())
    checks.equal("it was asked about what is presented", authority.asked_about, [renewal_name(serving.state / "a.example.pem")])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in serving.state.iterdir()}
    checks.equal("key and certificate are kept", sorted(name.split("-")[0] for name in modes), ["a.example.pem", "account"])
    checks.equal("for the server alone", {*modes.values(), stat.S_IMODE(serving.state.stat().st_mode)}, {0o600, 0o700})
    contacts = [account["contact"] for account in authority.accounts.values()]
    checks.equal("the account has its contact", contacts, [["mailto:admin@a.example"]])
    checks.check("the client says what it is", all(agent.startswith("lwsws/") for agent in authority.user_agents), authority.user_agents)


def a_host_that_comes(serving: Serving, authority: AcmeAuthority) -> None:
    kept = serving.shown("a.example")
    serving.order("b.example", "tls-alpn-01")
    serving.reload()
    checks.check("a host that comes gets its certificate", serving.said("the certificate for b.example is presented now"), serving.log.read_text())
    checks.equal("by tls-alpn-01", authority.validated[2:], [("b.example", "tls-alpn-01")])
    checks.check("and presents it", serving.is_trusted("b.example"))
    checks.check("beside the other one", serving.shown("a.example") == kept)
    checks.equal("of one account", len(authority.accounts), 1)
    authority.refusals = [Problem(429, "rateLimited", "too many", Retry_After="7200")]
    serving.order("c.example", "tls-alpn-01")
    serving.reload()
    said = "there is no new certificate for c.example: new order: the authority answered 429: rateLimited: too many; next attempt in 2 hours"
    checks.check("a refusal is said, with what comes next", serving.said(said), serving.log.read_text())
    checks.equal("a temporary certificate is presented", names_of(serving.shown("c.example")), {"c.example"})
    checks.check("and all others as before", serving.is_trusted("a.example") and serving.is_trusted("b.example"))
    (serving.folder / "conf.d" / "c.example").unlink()


def one_that_is_kept(serving: Serving, authority: AcmeAuthority) -> None:
    orders = len(authority.orders)
    authority.open.clear()
    key, chain = stale(authority.folder, authority, "d.example")
    serving.order("d.example", "http-01")
    heading = f"Directory: {authority.directory_url}\nDomains: d.example\n"
    (serving.state / "d.example.pem").write_text(heading + key + chain)
    serving.start()
    checks.check("what is kept is presented at once", serving.is_trusted("a.example") and serving.is_trusted("b.example"))
    checks.check("though it is to be renewed", serving.is_trusted("d.example"))
    old = serving.shown("d.example")
    authority.open.set()
    checks.check("it is renewed", serving.said("the certificate for d.example is presented now"), serving.log.read_text())
    checks.check("and presented without a restart", serving.shown("d.example") != old and serving.is_trusted("d.example"))
    checks.equal("what is good is not ordered again", len(authority.orders), orders + 1)


def one_that_the_authority_wants_to_be_renewed(serving: Serving, authority: AcmeAuthority) -> None:
    """RFC 9773: one that is not old is renewed at once where the authority says so, and names what it replaces."""
    old = {name: renewal_name(serving.state / f"{name}.pem") for name in ("a.example", "b.example", "d.example")}
    authority.replaced.clear()
    authority.window = (-2.0, -1.0)
    # What was replaced already is ordered all the same.
    authority.replaced.append(old["b.example"])
    serving.start()
    for name in ("a.example, www.a.example", "b.example", "d.example"):
        checks.check(f"one is renewed that is not old: {name}", serving.said(f"the certificate for {name} is presented now"), serving.log.read_text())
    for name in old:
        checks.check(f"and is presented: {name}", renewal_name(serving.state / f"{name}.pem") != old[name] and serving.is_trusted(name))
    replaced = sorted(authority.replaced[1:], key=str)
    checks.equal("each order names what it replaces", replaced, sorted([old["a.example"], old["d.example"], None], key=str))
    # The window is over for the new ones, too: they are asked about, and left alone for an hour.
    deadline = time.monotonic() + SECONDS
    while len(set(authority.asked_about)) < 6 and time.monotonic() < deadline:
        time.sleep(0.02)
    checks.equal("an authority that is never content does not get an order at once", len(authority.replaced), 4)


def with_an_account_that_is_bound(folder: Path) -> None:
    """RFC 8555 §7.3.4."""
    authority = AcmeAuthority(folder / "authority", free_port(), free_port())
    authority.binds = True
    authority.open.set()
    serving = Serving(folder / "served", authority)
    with checks.scenario("an account that is bound to another"):
        serving.order("a.example", "tls-alpn-01")
        serving.start()
        said = "directory: the authority wants accounts to be bound to one of its own, and none is named"
        checks.check("an authority that wants a binding is not asked without one", serving.said(said), serving.log.read_text())
        key_id, key = EXTERNAL_ACCOUNT
        for wrong, said in (("bm90IHRoZSBrZXk", "403: unauthorized"), (key, "the certificate for a.example is presented now")):
            serving.acme = f', "external-account-id": "{key_id}", "external-account-key": "{wrong}"'
            serving.order("a.example", "tls-alpn-01")
            serving.reload()
            checks.check(f"a binding is signed, and what comes of it is said: {said}", serving.said(said), serving.log.read_text())
        checks.check("the certificate is presented", serving.is_trusted("a.example"))
        printed = subprocess.run([server_binary(), "--config", serving.folder, "--print"], capture_output=True, text=True, check=True).stdout
        checks.check("the key is not printed", key_id in printed and key not in printed, printed[:200])
        checks.check("and stands in no line of the log", key not in serving.log.read_text())
        serving.stop()
    checks.equal("nothing was wrong with any request of it", authority.wrong, [])
    authority.close()


def with_our_authority(folder: Path) -> None:
    authority = AcmeAuthority(folder / "authority", free_port(), free_port())
    serving = Serving(folder / "served", authority)
    with checks.scenario("a first certificate"):
        first_certificate(serving, authority)
        a_host_that_comes(serving, authority)
        serving.stop()
    with checks.scenario("a certificate that is kept"):
        one_that_is_kept(serving, authority)
        serving.stop()
    with checks.scenario("a certificate that the authority wants to be renewed"):
        one_that_the_authority_wants_to_be_renewed(serving, authority)
        serving.stop()
    serving.child.kill()
    checks.equal("nothing was wrong with any request", authority.wrong, [])
    authority.close()


def with_pebble(folder: Path) -> None:
    """The same by an authority that others wrote, which is stricter than it has to be, with an account that is bound to one of its own."""
    authority = Pebble(folder / "authority", free_port(), free_port())
    serving = Serving(folder / "served", authority)
    serving.acme = f', "external-account-id": "{EXTERNAL_ACCOUNT[0]}", "external-account-key": "{EXTERNAL_ACCOUNT[1]}"'
    with checks.scenario("Pebble"):
        for name, challenge in (("a.example", "http-01"), ("b.example", "tls-alpn-01")):
            serving.order(name, challenge, name, f"www.{name}")
        serving.start()
        for name in ("a.example", "b.example"):
            log = (folder / "authority" / "pebble.log").read_text()
            checks.check(f"Pebble issues a certificate for {name}", serving.said(f"the certificate for {name}, www.{name} is presented now"), serving.log.read_text() + log[-400:])
            checks.check(f"which is presented: {name}", serving.is_trusted(name) and serving.is_trusted(f"www.{name}"))
    serving.stop()
    authority.close()


def main() -> None:
    for scenario in (with_our_authority, with_an_account_that_is_bound, with_pebble):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("authority", "served"):
                os.mkdir(Path(folder, name))
            scenario(Path(folder))
    checks.finish()


if __name__ == "__main__":
    main()
