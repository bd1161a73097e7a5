"""An authority of certificates that speaks ACME (RFC 8555), small enough to read: it checks what a client signs, asks for what proves its domains
by http-01 and tls-alpn-01 (RFC 8737), issues certificates of a root that the `openssl` program made, and says when they are to be renewed
(RFC 9773).

Knows no program under test. Names resolve to the loopback address, at ports that it is given.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import secrets
import socket
import ssl
import subprocess
import threading
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from certificates import Authority, openssl
from checks import free_port, wait_for_port

#: What stands before the point of a public key on P-256, to make it a SubjectPublicKeyInfo. RFC 5480 §2.
P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
#: The account that Pebble and the authority below know by other means: the identifier of its key, and the key in base64url.
EXTERNAL_ACCOUNT = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W")
#: id-pe-acmeIdentifier, critical, up to the digest. RFC 8737 §3.
ACME_IDENTIFIER = bytes.fromhex("06082b0601050507011f0101ff04220420")


def decode(text: str) -> bytes:
    assert "=" not in text, "base64url has no padding here"
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def integer(octets: bytes) -> bytes:
    octets = octets.lstrip(b"\0") or b"\0"
    octets = b"\0" + octets if octets[0] & 0x80 else octets
    return bytes([2, len(octets)]) + octets


class Problem(Exception):
    """A refusal, as a problem document."""

    def __init__(self, status: int, kind: str, detail: str = "", **fields: str) -> None:
        super().__init__(kind)
        self.status, self.kind, self.detail, self.fields = status, kind, detail, fields


class AcmeAuthority:
    """The authority, on a port of its own."""

    def __init__(self, folder: Path, http_port: int, tls_port: int) -> None:
        self.folder = folder
        self.root = Authority(folder, "acme root")
        self.http_port, self.tls_port = http_port, tls_port
        self.nonces: set[str] = set()
        self.accounts: dict[str, dict] = {}
        self.orders: dict[str, dict] = {}
        self.authorizations: dict[str, dict] = {}
        #: Answered to the next request for an order.
        self.refusals: list[Problem] = []
        #: How each domain was validated, and what was wrong.
        self.validated: list[tuple[str, str]] = []
        self.wrong: list[str] = []
        self.user_agents: set[str] = set()
        #: Whether accounts have to be bound to the one that is known.
        self.binds = False
        #: When certificates are to be renewed, in days from now; how often it was asked about which, and what orders have replaced.
        self.window = (20.0, 21.0)
        self.asked_about: list[str] = []
        self.known: dict[Path, str] = {}
        self.replaced: list[str | None] = []
        #: Nothing is answered before it is set.
        self.open = threading.Event()
        certificate, key = self.root.issue("directory", "localhost")
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.base = f"https://localhost:{self.server.server_port}"
        self.directory_url = f"{self.base}/directory"
        #: What vouches for the directory, and for what is issued.
        self.directory_ca = self.issuer = self.root.root
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handler(authority) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the inner class has a self of its own
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self, status: int, content: object, **fields: str) -> None:
                octets = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Replay-Nonce", authority.nonce())
                self.send_header("Content-Length", str(len(octets)))
                for name, value in fields.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(octets)

            def handle_request(self) -> None:
                authority.open.wait()
                authority.user_agents.add(self.headers.get("User-Agent", ""))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    if self.command == "POST":
                        kind = self.headers.get("Content-Type")
                        self.answer(*authority.post(self.path, kind, body)[:2], **authority.fields)
                    elif self.path == "/directory":
                        self.answer(200, authority.directory())
                    elif self.path == "/nonce":
                        self.answer(200, b"")
                    elif self.path.startswith("/renewal/"):
                        self.answer(200, authority.renewal(self.path.removeprefix("/renewal/")), Retry_After="21600")
                    else:
                        self.answer(404, {})
                except Problem as problem:
                    kind = f"urn:ietf:params:acme:error:{problem.kind}"
                    fields = {"Content_Type": "application/problem+json", **problem.fields}
                    self.answer(problem.status, {"type": kind, "detail": problem.detail}, **fields)
                except OSError:
                    # The client has gone, as one does that is ended.
                    self.close_connection = True
                except Exception as error:  # noqa: BLE001 - whatever a client made go wrong is a finding
                    authority.wrong.append(f"{self.path}: {type(error).__name__}: {error}")
                    self.answer(500, {})

            do_GET = do_HEAD = do_POST = handle_request  # noqa: N815 - names of the library

        return Handler

    def close(self) -> None:
        self.open.set()
        self.server.shutdown()
        self.server.server_close()

    def nonce(self) -> str:
        nonce = secrets.token_urlsafe(16)
        self.nonces.add(nonce)
        return nonce

    def directory(self) -> dict:
        paths = (("newNonce", "nonce"), ("newAccount", "account"), ("newOrder", "order"), ("renewalInfo", "renewal"))
        urls = {name: f"{self.base}/{path}" for name, path in paths}
        return {**urls, "meta": {"termsOfService": f"{self.base}/terms", "externalAccountRequired": self.binds}}

    def renewal(self, name: str) -> dict:
        """RFC 9773 §4.2."""
        assert name in self.names(), f"{name} is none of {self.names()}"
        start, end = ((datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ") for days in self.window)
        # Last: who waits for it may end the client then.
        self.asked_about.append(name)
        return {"suggestedWindow": {"start": start, "end": end}, "explanationURL": f"{self.base}/why"}

    def names(self) -> set[str]:
        """The names of all certificates that were issued. RFC 9773 §4.1."""
        others = ("roots.pem", "directory.pem")
        for path in self.folder.glob("*.pem"):
            if path.name not in others and path not in self.known:
                self.known[path] = renewal_name(path)
        return set(self.known.values())

    def verify(self, path: str, kind: str | None, body: bytes) -> tuple[dict, str, dict | None]:
        """The account of a request, its URL, and its payload: `None` if it only reads."""
        assert kind == "application/jose+json", kind
        jws = json.loads(body)
        header = json.loads(decode(jws["protected"]))
        if header["nonce"] not in self.nonces:
            raise Problem(400, "badNonce")
        self.nonces.remove(header["nonce"])
        assert (header["alg"], header["url"]) == ("ES256", self.base + path), header
        if path == "/account":
            jwk = header["jwk"]
            assert "kid" not in header
            canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
            thumbprint = encode(hashlib.sha256(canonical.encode()).digest())
            account = {"jwk": jwk, "thumbprint": thumbprint, "url": f"{self.base}/accounts/{thumbprint}"}
        else:
            assert "jwk" not in header
            account = next((known for known in self.accounts.values() if known["url"] == header["kid"]), None)
            if account is None:
                raise Problem(400, "accountDoesNotExist")
        signature = decode(jws["signature"])
        assert len(signature) == 64
        self.check_signature(account["jwk"], f"{jws['protected']}.{jws['payload']}".encode(), signature)
        payload = decode(jws["payload"])
        return account, path, json.loads(payload) if payload else None

    def check_signature(self, jwk: dict, message: bytes, signature: bytes) -> None:
        numbers = integer(signature[:32]) + integer(signature[32:])
        name = secrets.token_hex(4)
        key, der, text = (self.folder / f"{name}.{end}" for end in ("spki", "signature", "message"))
        key.write_bytes(P256 + b"\4" + decode(jwk["x"]) + decode(jwk["y"]))
        der.write_bytes(bytes([0x30, len(numbers)]) + numbers)
        text.write_bytes(message)
        openssl("dgst", "-sha256", "-verify", str(key), "-keyform", "DER", "-signature", str(der), str(text))

    def post(self, path: str, kind: str | None, body: bytes) -> tuple[int, object]:
        self.fields: dict[str, str] = {}
        account, path, payload = self.verify(path, kind, body)
        match path.strip("/").split("/"):
            case ["account"]:
                return self.new_account(account, payload)
            case ["order"]:
                return self.new_order(account, payload)
            case ["orders", name]:
                assert payload is None, "an order is read"
                return 200, self.order(name)
            case ["authorizations", name]:
                assert payload is None, "an authorization is read"
                return 200, self.authorizations[name]
            case ["challenges", name, kind]:
                assert payload == {}, payload
                return 200, self.begin_validation(account, name, kind)
            case ["finalize", name]:
                return 200, self.finalize(name, payload)
            case ["certificates", name]:
                self.fields["Content_Type"] = "application/pem-certificate-chain"
                return 200, self.orders[name]["chain"]
        raise Problem(404, "malformed", path)

    def new_account(self, account: dict, payload: dict) -> tuple[int, object]:
        assert payload["termsOfServiceAgreed"] is True
        binding = payload.get("externalAccountBinding")
        if self.binds and binding is None:
            raise Problem(403, "externalAccountRequired")
        if binding is not None:
            self.check_binding(binding, account["jwk"])
        status = 200 if account["thumbprint"] in self.accounts else 201
        self.accounts.setdefault(account["thumbprint"], {**account, "contact": payload["contact"]})
        self.fields["Location"] = account["url"]
        return status, {"status": "valid"}

    def check_binding(self, binding: dict, jwk: dict) -> None:
        """RFC 8555 §7.3.4."""
        key_id, key = EXTERNAL_ACCOUNT
        assert json.loads(decode(binding["protected"])) == {"alg": "HS256", "kid": key_id, "url": f"{self.base}/account"}
        assert json.loads(decode(binding["payload"])) == jwk
        message = f"{binding['protected']}.{binding['payload']}".encode()
        if not hmac.compare_digest(hmac.digest(decode(key), message, "sha256"), decode(binding["signature"])):
            raise Problem(403, "unauthorized", "the binding is not signed by the key of the account")

    def new_order(self, account: dict, payload: dict) -> tuple[int, object]:
        if self.refusals:
            raise self.refusals.pop(0)
        replaced = payload.get("replaces")
        # RFC 9773 §5.
        if replaced is not None and replaced in self.replaced:
            raise Problem(409, "alreadyReplaced")
        assert replaced is None or replaced in self.names(), replaced
        self.replaced.append(replaced)
        name = secrets.token_hex(4)
        domains = [identifier["value"] for identifier in payload["identifiers"]]
        authorizations = [self.new_authorization(domain) for domain in domains]
        self.orders[name] = {
            "status": "pending",
            "domains": domains,
            "authorizations": [f"{self.base}/authorizations/{one}" for one in authorizations],
            "finalize": f"{self.base}/finalize/{name}",
        }
        self.fields["Location"] = f"{self.base}/orders/{name}"
        return 201, self.order(name)

    def new_authorization(self, domain: str) -> str:
        name = secrets.token_hex(4)
        kinds = ("dns-01", "http-01", "tls-alpn-01")
        challenges = [
            {"type": kind, "status": "pending", "token": secrets.token_urlsafe(16), "url": f"{self.base}/challenges/{name}/{kind}"}
            for kind in kinds
        ]
        identifier = {"type": "dns", "value": domain}
        self.authorizations[name] = {"status": "pending", "identifier": identifier, "challenges": challenges}
        return name

    def order(self, name: str) -> dict:
        order = self.orders[name]
        states = [self.authorizations[url.rsplit("/", 1)[1]]["status"] for url in order["authorizations"]]
        if order["status"] == "pending" and set(states) == {"valid"}:
            order["status"] = "ready"
        shown = {key: value for key, value in order.items() if key not in ("chain", "domains")}
        # It takes a moment: the next one who reads it finds it done.
        if order["status"] == "processing":
            order.update(status="valid", certificate=f"{self.base}/certificates/{name}")
        return shown

    def begin_validation(self, account: dict, name: str, kind: str) -> dict:
        authorization = self.authorizations[name]
        challenge = next(one for one in authorization["challenges"] if one["type"] == kind)
        challenge["status"] = "processing"
        expected = f"{challenge['token']}.{account['thumbprint']}"
        threading.Thread(target=self.validate, args=(authorization, challenge, expected), daemon=True).start()
        return dict(challenge)

    def validate(self, authorization: dict, challenge: dict, expected: str) -> None:
        domain = authorization["identifier"]["value"]
        try:
            {"http-01": self.ask, "tls-alpn-01": self.shake_hands}[challenge["type"]](domain, challenge["token"], expected)
            challenge["status"] = authorization["status"] = "valid"
            self.validated.append((domain, challenge["type"]))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is why a domain is not validated
            challenge["error"] = {"type": "urn:ietf:params:acme:error:unauthorized", "detail": f"{type(error).__name__}: {error}"}
            challenge["status"] = authorization["status"] = "invalid"

    def ask(self, domain: str, token: str, expected: str) -> None:
        """RFC 8555 §8.3."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        connection.request("GET", f"/.well-known/acme-challenge/{token}", headers={"Host": domain})
        response = connection.getresponse()
        content = response.read().decode()
        connection.close()
        assert (response.status, content) == (200, expected), (response.status, content)

    def shake_hands(self, domain: str, _: str, expected: str) -> None:
        """RFC 8737 §3."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["acme-tls/1"])
        with socket.create_connection(("127.0.0.1", self.tls_port), timeout=5) as plain, context.wrap_socket(plain, server_hostname=domain) as tls:
            assert tls.selected_alpn_protocol() == "acme-tls/1", tls.selected_alpn_protocol()
            certificate = tls.getpeercert(binary_form=True)
            # Nothing comes on it but its end.
            with suppress(ssl.SSLError):
                assert tls.recv(1) == b""
        assert ACME_IDENTIFIER + hashlib.sha256(expected.encode()).digest() in certificate, "another digest"
        assert names_of(certificate) == {domain}, names_of(certificate)

    def finalize(self, name: str, payload: dict) -> dict:
        order = self.orders[name]
        assert self.order(name)["status"] == "ready", order["status"]
        request, extensions, certificate = (self.folder / f"{name}.{end}" for end in ("csr", "cnf", "pem"))
        request.write_bytes(decode(payload["csr"]))
        text = subprocess.run(["openssl", "req", "-inform", "DER", "-in", request, "-noout", "-text", "-verify"], check=True, capture_output=True).stdout.decode()
        asked = {word.strip() for line in text.splitlines() if "DNS:" in line for word in line.split(",")}
        assert asked == {f"DNS:{domain}" for domain in order["domains"]}, asked
        extensions.write_text("subjectAltName=" + ",".join(sorted(asked)) + "\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n"
                              "authorityKeyIdentifier=keyid\n")
        openssl("x509", "-req", "-inform", "DER", "-in", str(request), "-CA", str(self.root.root), "-CAkey", str(self.root.key),
                "-CAcreateserial", "-days", "30", "-extfile", str(extensions), "-out", str(certificate))
        order.update(status="processing", chain=certificate.read_bytes() + self.root.root.read_bytes())
        return self.order_as_it_is(name)

    def order_as_it_is(self, name: str) -> dict:
        return {key: value for key, value in self.orders[name].items() if key not in ("chain", "domains")}


def names_of(certificate: bytes) -> set[str]:
    """The names that a certificate is for."""
    shown = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-ext", "subjectAltName"], input=certificate, check=True, capture_output=True)
    return {word.strip().removeprefix("DNS:") for line in shown.stdout.decode().splitlines() if "DNS:" in line for word in line.split(",")}


def renewal_name(certificate: Path) -> str:
    """RFC 9773 §4.1: the identifier of the issuer's key, and the serial number as it stands in the certificate."""
    shown = openssl("x509", "-in", str(certificate), "-noout", "-serial", "-ext", "authorityKeyIdentifier").split("\n")
    key = bytes.fromhex(shown[2].strip().removeprefix("keyid:").replace(":", ""))
    serial = bytes.fromhex(shown[0].removeprefix("serial="))
    return f"{encode(key)}.{encode(integer(serial)[2:])}"


class Pebble:
    """Let's Encrypt's authority for tests, with the name server that belongs to it: every name is the loopback address."""

    def __init__(self, folder: Path, http_port: int, tls_port: int) -> None:
        self.http_port, self.tls_port = http_port, tls_port
        names, names_management, port, management = (free_port() for _ in range(4))
        root = Authority(folder, "directory root")
        certificate, key = root.issue("directory", "localhost")
        configuration = folder / "pebble.json"
        configuration.write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{port}", "managementListenAddress": f"127.0.0.1:{management}", "certificate": str(certificate),
            "privateKey": str(key), "httpPort": http_port, "tlsPort": tls_port, "ocspResponderURL": "",
            "externalAccountBindingRequired": True, "externalAccountMACKeys": dict([EXTERNAL_ACCOUNT]),
        }}))
        off = [f"-{kind}=" for kind in ("http01", "https01", "tlsalpn01")]
        servers = [
            ["pebble-challtestsrv", "-defaultIPv4=127.0.0.1", "-defaultIPv6=", f"-dns01=127.0.0.1:{names}", f"-management=127.0.0.1:{names_management}", *off],
            ["pebble", "-config", str(configuration), "-dnsserver", f"127.0.0.1:{names}", "-strict"],
        ]
        # Every fifth nonce is refused, and no authorization is used again.
        environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "20", "PEBBLE_AUTHZREUSE": "0"}
        self.log = open(folder / "pebble.log", "wb")
        self.children = [subprocess.Popen(server, env=environment, stdout=self.log, stderr=self.log) for server in servers]
        wait_for_port(names_management, self.children[0])
        wait_for_port(management, self.children[1])
        self.directory_url = f"https://localhost:{port}/dir"
        self.directory_ca = root.root
        context = ssl.create_default_context(cafile=root.root)
        with urllib.request.urlopen(f"https://localhost:{management}/roots/0", context=context) as response:
            self.issuer = folder / "issuer.pem"
            self.issuer.write_bytes(response.read())

    def close(self) -> None:
        for child in self.children:
            child.terminate()
            child.wait(10)
        self.log.close()
