"""Certificates: a host has one for all its names, its programs trust the authority, its key is its own."""

from __future__ import annotations

import ssl
import time
from typing import Any

from tests.site.live import SITE

testinfra_hosts = SITE.hosts("all")
TLS = SITE.variables["site_tls_dir"]

# Python 3.13 on the host checks more than others do: this is what a strict client sees.
STRICT = """
import socket, ssl, sys, threading
name, directory = sys.argv[1:]
server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{directory}/ca.crt")
server.load_cert_chain(f"{directory}/host.crt", f"{directory}/host.key")
server.verify_mode = ssl.CERT_REQUIRED
client = ssl.create_default_context()
client.load_cert_chain(f"{directory}/host.crt", f"{directory}/host.key")
ours, theirs = socket.socketpair()
def serve():
    with server.wrap_socket(theirs, server_side=True) as stream:
        stream.sendall(stream.recv(9))
threading.Thread(target=serve).start()
with client.wrap_socket(ours, server_hostname=name) as stream:
    stream.sendall(b"certified")
    print(stream.recv(9).decode())
"""


def names(host: Any) -> list[str]:
    name = SITE.name(host)
    return [f"{name}.{SITE.domain}", name, SITE.address(host), "localhost", "127.0.0.1"]


def test_strict_clients_and_servers_trust_it_under_every_name(host: Any) -> None:
    for name in names(host):
        # The client trusts what the whole host trusts, the server the site's authority alone.
        answer = host.run("python3 -c %s %s %s", STRICT, name, TLS)
        assert answer.stdout.strip() == "certified", f"{name}: {answer.stderr}"


def test_no_other_name_passes(host: Any) -> None:
    answer = host.run("python3 -c %s %s %s", STRICT, "somebody.else", TLS)
    assert "certificate is not valid for 'somebody.else'" in answer.stderr


def test_key_is_read_by_its_group_alone(host: Any) -> None:
    key = host.file(f"{TLS}/host.key")
    assert (key.user, key.group, key.mode) == ("root", SITE.variables["site_tls_group"], 0o640)
    denied = host.run("setpriv --reuid=nobody --regid=nogroup --clear-groups cat %s", f"{TLS}/host.key")
    assert "Permission denied" in denied.stderr


def test_authority_key_is_on_no_host(host: Any) -> None:
    found = host.check_output("find / -xdev -name %s -not -path %s", "ca.key", "/proc/*")
    assert found == ""
    control = SITE.directory / "ca/ca.key"
    assert control.stat().st_mode & 0o777 == 0o600


def test_certificate_has_more_than_a_third_of_its_life(host: Any) -> None:
    dates = host.check_output("openssl x509 -in %s -noout -dates", f"{TLS}/host.crt").splitlines()
    start, end = (ssl.cert_time_to_seconds(line.split("=", 1)[1]) for line in dates)
    assert end - time.time() > (end - start) / 3
