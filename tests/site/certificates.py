"""Certificates that the site's authority could have given to a host that is not there."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.site.live import SITE

DIRECTORY = "/run/millrace-site-test"


@contextmanager
def certificate_for(host: Any, name: str) -> Iterator[str]:
    """curl's options for a valid certificate of `name`, whose files lie on `host` until the block ends."""
    authority = SITE.directory / "ca"
    ca = x509.load_pem_x509_certificate((authority / "ca.crt").read_bytes())
    ca_key = serialization.load_pem_private_key((authority / "ca.key").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    host.check_output("install -d -m 0700 %s", DIRECTORY)
    try:
        for file, content in (
            ("test.crt", certificate.public_bytes(serialization.Encoding.PEM)),
            ("test.key", private),
        ):
            host.check_output("printf %%s %s > %s", content.decode(), f"{DIRECTORY}/{file}")
        yield f"--cert {DIRECTORY}/test.crt --key {DIRECTORY}/test.key"
    finally:
        host.check_output("rm -rf %s", DIRECTORY)
