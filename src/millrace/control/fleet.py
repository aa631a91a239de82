"""The prediction servers as control sees them: found by SRV, asked over mutual TLS."""

from collections.abc import Sequence
from typing import Any

import dns.exception
import dns.resolver
import msgspec
import requests

from millrace.serving.config import Tls
from millrace.serving.records import Record


class ReplicaError(Exception):
    """A replica refused, or could not be asked; says why."""


class NoReplicas(Exception):
    """There is nobody to deploy to."""


class Placed(msgspec.Struct):
    """A version as a replica reports it."""

    version: str
    digest: str
    generation: int


class Holding(msgspec.Struct):
    generation: int


class Status(msgspec.Struct):
    """What a replica says of itself."""

    ready: bool
    models: dict[str, Placed]
    leaving: list[str]
    held: dict[str, Holding]
    failed: dict[str, str]


class Replica:
    """One prediction server process at `host:port`."""

    def __init__(self, name: str, tls: Tls | None) -> None:
        self.name = name
        self._tls = tls

    def prepare(self, record: Record, timeout: float) -> None:
        """Have the version fetched, verified and held; raises `ReplicaError`."""
        self._ask("POST", "/replica/prepare", timeout, record.encode())

    def abandon(self, model: str, generation: int, timeout: float) -> None:
        """Have what was prepared dropped; raises `ReplicaError`."""
        self._ask(
            "POST",
            "/replica/abandon",
            timeout,
            msgspec.json.encode({"model": model, "generation": generation}),
        )

    def status(self, timeout: float) -> Status:
        """Raises `ReplicaError`."""
        content = self._ask("GET", "/replica/status", timeout)
        try:
            return msgspec.json.decode(content, type=Status)
        except msgspec.MsgspecError as error:
            raise ReplicaError(f"its status cannot be read: {error}") from error

    def _ask(self, method: str, path: str, timeout: float, body: bytes | None = None) -> bytes:
        scheme = "https" if self._tls else "http"
        more: dict[str, Any] = {}
        if self._tls:
            more = {"verify": self._tls.ca, "cert": (self._tls.certificate, self._tls.key)}
        try:
            with requests.Session() as session:
                # Proxies and CAs of the environment are not meant for the site's own hosts.
                session.trust_env = False
                answer = session.request(
                    method, f"{scheme}://{self.name}{path}", data=body, timeout=(5, timeout), **more
                )
        except requests.Timeout as error:
            raise ReplicaError(f"it did not answer within {timeout:.0f} s") from error
        except requests.RequestException as error:
            raise ReplicaError(f"it cannot be reached: {_innermost(error)}") from error
        if answer.status_code != 200:
            try:
                text = str(answer.json()["error"])
            except (ValueError, KeyError, TypeError):
                text = f"it answered {answer.status_code}"
            raise ReplicaError(text)
        return answer.content


class Fleet:
    """All replicas of the site, asked for anew each time."""

    def __init__(self, srv: str, names: Sequence[str], tls: Tls | None) -> None:
        """`names` (host:port) stand for what the SRV record would list."""
        self._srv = srv
        self._names = names
        self._tls = tls

    def members(self) -> list[Replica]:
        """Raises `NoReplicas`."""
        return [Replica(name, self._tls) for name in sorted(self._names or self._look_up())]

    def _look_up(self) -> list[str]:
        try:
            answer = dns.resolver.resolve(self._srv, "SRV", lifetime=5)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
            raise NoReplicas(f"no prediction server is known: {self._srv} has no SRV record") from error
        except dns.exception.DNSException as error:
            raise NoReplicas(f"prediction servers cannot be looked up: {error}") from error
        return [f"{str(entry.target).rstrip('.')}:{entry.port}" for entry in answer]


def _innermost(error: BaseException) -> str:
    """requests wraps what happened several times; the last one says it."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            return str(error)
        error = inner
