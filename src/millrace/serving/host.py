"""What a service has to do with its host: certificates that are renewed, systemd that waits."""

import logging
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from millrace.serving.config import Tls

log = logging.getLogger("millrace.serving")


def server_context(tls: Tls) -> ssl.SSLContext:
    """TLS with this host's certificate, for clients with one of the site's CA. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    context.load_verify_locations(tls.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def watch_certificate(context: ssl.SSLContext, tls: Tls) -> Callable[[], None]:
    """A function that loads the certificate anew when its file has changed: renewal needs no restart."""
    seen = Path(tls.certificate).stat().st_mtime_ns

    def look() -> None:
        nonlocal seen
        now = Path(tls.certificate).stat().st_mtime_ns
        if now != seen:
            context.load_cert_chain(tls.certificate, tls.key)
            seen = now
            log.info("the renewed certificate is in use")

    return look


def notify_systemd(state: str) -> None:
    """Tell systemd (Type=notify) a state as of sd_notify(3); does nothing where systemd did not ask."""
    place = os.environ.get("NOTIFY_SOCKET")
    if not place:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(state.encode(), "\0" + place[1:] if place.startswith("@") else place)
