"""Secrets are generated once, each in the form its reader wants."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml

from millrace.preflight import secrets
from millrace.problem import Problem


def test_every_secret_has_a_value_of_its_own() -> None:
    values, added = secrets.complete({}, secrets.names([]))
    assert added == sorted(values)
    assert len(set(values.values())) == len(values)
    assert all(len(value) >= 12 for value in values.values())


def test_users_without_a_hash_get_a_password() -> None:
    users = [
        {"name": "ann", "group": "operators"},
        {"name": "ben", "group": "operators", "password_hash": "$6$x"},
    ]
    wanted = secrets.names(users)
    assert "user_ann" in wanted
    assert "user_ben" not in wanted


def test_known_secrets_are_kept_and_missing_ones_added() -> None:
    values, added = secrets.complete({"spark_rpc": "kept", "of_somebody": "else"}, ["spark_rpc", "user_ann"])
    assert added == ["user_ann"]
    assert values["spark_rpc"] == "kept"
    assert values["of_somebody"] == "else"


def test_kafka_takes_the_cluster_id() -> None:
    for _ in range(300):
        value = secrets.generate("kafka_cluster_id")
        assert len(value) == 22
        assert not value.startswith("-")
        assert len(base64.urlsafe_b64decode(value + "==")) == 16


def test_bind_takes_the_transfer_key() -> None:
    assert len(base64.b64decode(secrets.generate("dns_tsig"), validate=True)) == 32


def test_file_is_the_owners_alone_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "state/secrets.yml"
    secrets.dump({"user_ann": "p: #1'", "kafka_admin": "0123"}, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert yaml.safe_load(path.read_text()) == {"user_ann": "p: #1'", "kafka_admin": "0123"}
    assert [file.name for file in path.parent.iterdir()] == ["secrets.yml"]


@pytest.mark.parametrize(
    "value", ['say "when"', "C:\\new", "two\nlines", "  spaces ", "grün \U0001f600 \x7f", "yes"]
)
def test_whatever_somebody_put_there_reads_back(tmp_path: Path, value: str) -> None:
    path = tmp_path / "secrets.yml"
    for _ in range(2):
        secrets.dump({"user_ann": value, "long": "a b " * 100}, path)
        assert yaml.safe_load(path.read_text()) == {"user_ann": value, "long": "a b " * 100}


def test_values_that_are_encrypted_alone_are_not_written_in_clear(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yml"
    path.write_text(before := "user_ann: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n")
    with pytest.raises(Problem, match="ansible-vault encrypt"):
        secrets.dump({"user_ann": "in clear"}, path)
    assert path.read_text() == before
