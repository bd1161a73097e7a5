"""Certificates for the peers' tests, made by the `openssl` program: a root, and what it issues.

Knows files and nothing else.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

#: What `openssl req -newkey` takes for each kind of key.
KINDS = {
    "rsa": ["-newkey", "rsa:2048"],
    "ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ed25519": ["-newkey", "ed25519"],
}


def openssl(*arguments: str) -> str:
    """What the program writes."""
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL, text=True).stdout


class Authority:
    """A root, in a folder that also gets everything that it issues."""

    def __init__(self, folder: Path, name: str = "root") -> None:
        self.folder = folder
        self.root = folder / "roots.pem"
        self.key = folder / "roots.key"
        openssl("req", "-x509", *KINDS["ecdsa"], "-nodes", "-days", "30", "-subj", f"/CN={name}",
                "-keyout", str(self.key), "-out", str(self.root))

    def issue(self, file: str, *names: str, kind: str = "ecdsa", client: bool = False) -> tuple[Path, Path]:
        """`file.pem` and `file.key`, for the given names; the first is the common name."""
        key, request, certificate = (self.folder / f"{file}.{end}" for end in ("key", "csr", "pem"))
        openssl("req", "-new", *KINDS[kind], "-nodes", "-subj", f"/O=Example/CN={names[0]}",
                "-keyout", str(key), "-out", str(request))
        extensions = self.folder / f"{file}.cnf"
        alternatives = ",".join(("IP:" if name.replace(".", "").isdigit() else "DNS:") + name for name in names)
        usage = "clientAuth" if client else "serverAuth"
        extensions.write_text(f"subjectAltName={alternatives}\nextendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n")
        openssl("x509", "-req", "-in", str(request), "-CA", str(self.root), "-CAkey", str(self.key), "-CAcreateserial",
                "-days", "30", "-extfile", str(extensions), "-out", str(certificate))
        return certificate, key
