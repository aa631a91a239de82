"""Bringing bundles from a registry that answers as MLflow does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.models import Bundle, InvalidBundle
from millrace.models.registry import ModelNotFound, RegistryError, fetch_bundle
from tests.unit.web import Answers, serve

VERSION = "/api/2.0/mlflow/model-versions/get?name=sums&version=3"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/1/abc/artifacts/bundle"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    from tests.unit.models import arithmetic

    return arithmetic.write(tmp_path / "logged")


@pytest.fixture
def registry(bundle: Bundle) -> Iterator[Answers]:
    with serve() as answers:
        answers.set("GET", VERSION, version_record(bundle.digest))
        for file in bundle.path.iterdir():
            answers.set("GET", f"{ARTIFACTS}/{file.name}", file.read_bytes())
        yield answers


def version_record(digest: str, source: str = "mlflow-artifacts:/1/abc/artifacts/bundle") -> bytes:
    tags = [{"key": "millrace.digest", "value": digest}]
    return json.dumps({"model_version": {"name": "sums", "source": source, "tags": tags}}).encode()


def test_brings_the_bundle(registry: Answers, bundle: Bundle, tmp_path: Path) -> None:
    fetched = fetch_bundle(registry.url, "sums", "3", tmp_path / "live" / "sums-3")
    assert fetched.digest == bundle.digest
    assert Bundle.load(tmp_path / "live" / "sums-3").digest == bundle.digest
    assert [path.name for path in (tmp_path / "live").iterdir()] == ["sums-3"]


def test_asks_for_the_record_only_when_the_bundle_is_there(registry: Answers, tmp_path: Path) -> None:
    fetch_bundle(registry.url, "sums", "3", tmp_path / "live")
    registry.requests.clear()
    fetch_bundle(registry.url, "sums", "3", tmp_path / "live")
    assert [request.path for request in registry.requests] == [VERSION]


def test_repairs_a_damaged_copy(registry: Answers, bundle: Bundle, tmp_path: Path) -> None:
    fetch_bundle(registry.url, "sums", "3", tmp_path / "live")
    (tmp_path / "live" / "model.onnx").write_bytes(b"half")
    assert fetch_bundle(registry.url, "sums", "3", tmp_path / "live").digest == bundle.digest
    Bundle.load(tmp_path / "live")


def test_refuses_files_that_were_changed_in_the_registry(registry: Answers, tmp_path: Path) -> None:
    registry.set("GET", f"{ARTIFACTS}/model.onnx", b"another model")
    with pytest.raises(InvalidBundle, match=r"model\.onnx was changed"):
        fetch_bundle(registry.url, "sums", "3", tmp_path / "live" / "sums")
    assert list((tmp_path / "live").iterdir()) == []


def test_refuses_another_digest_than_was_registered(registry: Answers, tmp_path: Path) -> None:
    registry.set("GET", VERSION, version_record("sha256:" + "0" * 64))
    with pytest.raises(RegistryError, match=r"changed in the registry"):
        fetch_bundle(registry.url, "sums", "3", tmp_path / "live")
    assert not (tmp_path / "live").exists()


def test_tells_what_is_not_there(registry: Answers, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no version 4 of a model 'sums'"):
        fetch_bundle(registry.url, "sums", "4", tmp_path / "live")
    registry.remove("GET", f"{ARTIFACTS}/verification.json")
    with pytest.raises(RegistryError, match=r"verification\.json answered 404") as refusal:
        fetch_bundle(registry.url, "sums", "3", tmp_path / "live")
    assert not isinstance(refusal.value, ModelNotFound)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (b"<html>", "did not answer as MLflow"),
        (b"{}", "did not answer as MLflow"),
        (b"[]", "did not answer as MLflow"),
        (b'{"model_version": {"tags": []}}', r"millrace\.log_model"),
        (version_record("sha256:0", "s3://elsewhere/bundle"), "s3://elsewhere"),
        (version_record("sha256:0", "mlflow-artifacts:/1/../../secrets"), r"\.\./secrets"),
    ],
)
def test_tells_what_it_cannot_use(record: bytes, told: str, registry: Answers, tmp_path: Path) -> None:
    registry.set("GET", VERSION, record)
    with pytest.raises(RegistryError, match=told):
        fetch_bundle(registry.url, "sums", "3", tmp_path / "live")


def test_tells_a_registry_that_does_not_answer(tmp_path: Path) -> None:
    with serve() as answers:
        url = answers.url
    with pytest.raises(RegistryError, match="does not answer"):
        fetch_bundle(url, "sums", "3", tmp_path / "live")
