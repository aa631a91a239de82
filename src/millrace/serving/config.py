"""Configuration files (TOML) of the prediction server and what it shares with control."""

from pathlib import Path
from typing import TypeVar

import msgspec


class InvalidConfig(Exception):
    """What is wrong with a configuration file."""


class Tls(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """PEM files: the site's CA, this host's certificate and key."""

    ca: str
    certificate: str
    key: str


class Kafka(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where the deployment records are. With [tls] the connection is SASL_SSL (SCRAM-SHA-512), else plain."""

    brokers: list[str]
    topic: str = "millrace.deployments"
    username: str = ""
    password_file: str = ""
    # Seconds without an answer after which Kafka counts as away.
    away_after: float = 5.0


class Registry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    url: str


class ServingConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """prediction.toml. Replica N listens on `port + N - 1` and keeps its state in `state_dir/N`.

    With `socket_dir` it listens at `socket_dir/N.sock` as well, without TLS: the folder's owner and group
    decide who gets there. Whoever comes that way has no certificate, so [tls] says what is kept from them.
    """

    name: str
    address: str
    port: int
    state_dir: str
    kafka: Kafka
    registry: Registry
    socket_dir: str = ""
    # Common names of the hosts whose certificates may prepare and abandon.
    control_hosts: list[str] = []
    tls: Tls | None = None
    max_body_bytes: int = 4 * 1024 * 1024
    # Bodies in memory at one time; more are answered 503.
    max_pending_bytes: int = 32 * 1024 * 1024
    max_rows: int = 20_000
    # Seconds that a client may take to send the head of a request, and its body.
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    # Model versions in memory, and bytes that they take there; those used longest ago stay on the disk.
    loaded_models: int = 1000
    loaded_bytes: int = 256 * 1024 * 1024
    # One line of JSON for each request.
    access_log: bool = False
    # Seconds between "not ready" and the end, so that the gateway sends its requests elsewhere.
    drain_seconds: float = 3.0
    # A prepared version that no record asked for is dropped after this.
    hold_seconds: float = 300.0
    # A bundle that is no longer live stays on the disk this long.
    keep_seconds: float = 86_400.0


T = TypeVar("T")


def load(path: Path, kind: type[T]) -> T:
    """The configuration in `path`; raises `InvalidConfig` that names file and field."""
    try:
        config = msgspec.toml.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise InvalidConfig(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidConfig(f"{path}: {error}") from error
    return config


def require_tls_beyond_loopback(address: str, tls: Tls | None, socket_dir: str = "") -> None:
    """Without certificates anyone who connects is trusted, so nobody but this machine may."""
    if tls is None and socket_dir:
        raise InvalidConfig(
            "socket_dir: who comes by a socket would be trusted with all, a [tls] table is needed"
        )
    if tls is None and not (address.startswith("127.") or address in ("::1", "localhost")):
        raise InvalidConfig(f"address {address} is not loopback: a [tls] table is needed")
