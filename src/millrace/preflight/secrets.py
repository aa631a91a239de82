"""The secrets of a site: generated once, kept in one YAML file that ansible-vault may encrypt."""

from __future__ import annotations

import base64
import os
import secrets
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from millrace.problem import Problem

ALPHABET = string.ascii_letters + string.digits
NAMES = (
    "dns_tsig",
    "gateway_to_backend",
    "kafka_admin",
    "kafka_cluster_id",
    "kafka_control",
    "kafka_prediction",
    "mlflow_flask",
    "postgresql_exporter",
    "postgresql_mlflow",
    "site_id",
    "spark_connect_token",
    "spark_rpc",
)


def names(users: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every secret a site needs; `users` as in `site_users`, one who brings a `password_hash` needs none."""
    return sorted([*NAMES, *(f"user_{user['name']}" for user in users if not user.get("password_hash"))])


def generate(name: str) -> str:
    """A new value in the form that its reader wants."""
    if name == "dns_tsig":
        return base64.b64encode(secrets.token_bytes(32)).decode()
    if name == "kafka_cluster_id":
        return _kafka_uuid()
    if name == "site_id":
        return secrets.token_hex(6)
    return "".join(secrets.choice(ALPHABET) for _ in range(32))


def complete(existing: Mapping[str, str], wanted: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """`existing` with a new value for every wanted name it lacks, and the names that were added."""
    missing = sorted(set(wanted) - set(existing))
    return {**existing, **{name: generate(name) for name in missing}}, missing


def dump(values: Mapping[str, str], path: Path) -> None:
    """Write the secrets file, readable by its owner alone (0600, in a directory of 0700).

    Raises Problem when the file there has values that ansible-vault encrypted one by one.
    """
    if path.exists() and "!vault" in path.read_text():
        # They were decrypted when they were read.
        raise Problem(
            f"{path} has values encrypted by ansible-vault one by one, which writing what is missing would "
            "leave in clear: put the values in clear yourself, converge once, and encrypt the whole file "
            "with `ansible-vault encrypt`."
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [
        "# Secrets of this site, generated once. Keep a copy: hosts cannot be converged without them.",
        "# ansible-vault encrypt may encrypt this file.",
        *(f"{name}: {_quoted(values[name])}" for name in sorted(values)),
    ]
    half = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write("\n".join(lines) + "\n")
    half.replace(path)


def _quoted(value: str) -> str:
    """A YAML string in one line, whatever is in it."""
    return str(yaml.safe_dump(value, default_style='"', width=float("inf"))).rstrip("\n")


def _kafka_uuid() -> str:
    """16 random bytes as Kafka writes them: 22 characters of URL-safe base64, the first no '-'."""
    while (text := base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")).startswith("-"):
        pass
    return text
