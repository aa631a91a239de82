"""A host's key, made where it is used, and the request for its certificate when one is due."""

from __future__ import annotations

import grp
import ipaddress
import os
import re
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: ca_request
short_description: Makes a private key and, when its certificate is due, a certificate request
description:
  - The key is made on the host and stays there.
  - A certificate is due when it is missing, does not belong to the key, names others than it should,
    is not signed by the authority, or has a third of its life left.
options:
  path:
    description: Key and certificate without their suffixes C(.key) and C(.crt).
    type: path
    required: true
  names:
    description: DNS names and addresses the certificate is for; the first is its common name.
    type: list
    elements: str
    required: true
  group:
    description: Group that reads the key.
    type: str
    required: true
  authority:
    description: Certificate of the authority (PEM).
    type: str
    required: true
author: [Millrace]
"""
RETURN = r"""
csr: {description: Request to sign (PEM), empty when the certificate is right., type: str, returned: always}
reason: {description: Why a certificate is due., type: str, returned: always}
"""

MODE = 0o640


def openssl(*arguments: str) -> str:
    """Output of openssl; raises CalledProcessError when it fails."""
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True).stdout


def alternatives(names: list[str]) -> list[str]:
    """Names as openssl's subjectAltName wants them, none twice."""
    found = []
    for name in dict.fromkeys(names):
        try:
            found.append(f"IP:{ipaddress.ip_address(name)}")
        except ValueError:
            found.append(f"DNS:{name}")
    return found


def held(certificate: Path) -> set[str]:
    """subjectAltName of a certificate as `alternatives` writes it."""
    text = openssl("x509", "-in", str(certificate), "-noout", "-ext", "subjectAltName")
    found = set()
    for kind, value in re.findall(r"(DNS|IP Address):([^,\s]+)", text):
        found.add(f"DNS:{value}" if kind == "DNS" else f"IP:{ipaddress.ip_address(value)}")
    return found


def life_left(certificate: Path) -> float:
    """Share of a certificate's life that is left: 1 when new, 0 or less when expired."""
    text = openssl("x509", "-in", str(certificate), "-noout", "-startdate", "-enddate")
    start, end = (ssl.cert_time_to_seconds(line.split("=", 1)[1]) for line in text.splitlines())
    return (end - time.time()) / (end - start)


def signed_by(certificate: Path, authority: str) -> bool:
    with tempfile.NamedTemporaryFile("w", suffix=".crt") as file:
        file.write(authority)
        file.flush()
        verify = ["openssl", "verify", "-no_check_time", "-CAfile", file.name, str(certificate)]
        return subprocess.run(verify, capture_output=True, check=False).returncode == 0


def due(key: Path, certificate: Path, names: list[str], authority: str) -> str:
    """Why the certificate must be made anew; empty when it is right."""
    if not key.exists() or not certificate.exists():
        return "there is none"
    try:
        public = openssl("pkey", "-in", str(key), "-pubout")
        if openssl("x509", "-in", str(certificate), "-noout", "-pubkey") != public:
            return "it belongs to another key"
        if held(certificate) != set(alternatives(names)):
            return "it is for other names"
        if not signed_by(certificate, authority):
            return "it is of another authority"
        if life_left(certificate) < 1 / 3:
            return "a third of its life is left"
    except (subprocess.CalledProcessError, ValueError):
        return "it is unreadable"
    return ""


def make_key(key: Path, group: int) -> None:
    """Put a new key in place whole: nobody sees half of one."""
    half = key.with_suffix(".new")
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
    os.chown(half, 0, group)
    half.chmod(MODE)
    half.replace(key)


def request(key: Path, names: list[str]) -> str:
    extensions = {
        "subjectAltName": ",".join(alternatives(names)),
        "basicConstraints": "critical,CA:FALSE",
        "keyUsage": "critical,digitalSignature,keyAgreement",
        "extendedKeyUsage": "serverAuth,clientAuth",
    }
    added = [word for name, value in extensions.items() for word in ("-addext", f"{name}={value}")]
    # A common name has room for 64 characters.
    return openssl("req", "-new", "-key", str(key), "-subj", f"/CN={names[0][:64]}", *added)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "group": {"type": "str", "required": True},
            "authority": {"type": "str", "required": True, "no_log": False},
        },
        supports_check_mode=True,
    )
    names = module.params["names"]
    key, certificate = (Path(f"{module.params['path']}{suffix}") for suffix in (".key", ".crt"))
    reason = due(key, certificate, names, module.params["authority"])
    answer: dict[str, Any] = {"changed": False, "csr": "", "reason": reason}
    try:
        if module.check_mode:
            module.exit_json(**{**answer, "changed": bool(reason)})
        group = grp.getgrnam(module.params["group"]).gr_gid
        if not key.exists():
            make_key(key, group)
            answer["changed"] = True
        state = key.stat()
        if (state.st_uid, state.st_gid, state.st_mode & 0o777) != (0, group, MODE):
            os.chown(key, 0, group)
            key.chmod(MODE)
            answer["changed"] = True
        if reason:
            answer["csr"] = request(key, names)
    except subprocess.CalledProcessError as error:
        module.fail_json(msg=f"openssl failed: {error.stderr.strip()}")
    except (OSError, KeyError) as error:
        module.fail_json(msg=f"The key {key} cannot be made: {error}.")
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
