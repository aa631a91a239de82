"""A replica's disk."""

import shutil
from pathlib import Path

import pytest

from millrace.models import Bundle, InvalidBundle
from millrace.models.registry import RegistryError
from millrace.serving import store as store_module
from millrace.serving.records import State
from millrace.serving.store import ReplicaStore
from tests.unit.serving.bundles import make_bundle, record_of


class Registry:
    """Stands for MLflow: hands out one bundle and counts how often."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.asked = 0

    def fetch(self, url: str, name: str, version: str, dest: Path, tls: object) -> Bundle:
        self.asked += 1
        shutil.copytree(self.bundle.path, dest)
        return Bundle.load(dest)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry(make_bundle(tmp_path / "made"))
    monkeypatch.setattr(store_module, "fetch_bundle", registry.fetch)
    return registry


@pytest.fixture
def store(tmp_path: Path) -> ReplicaStore:
    return ReplicaStore(tmp_path / "state", "http://127.0.0.1:1", None)


def test_a_bundle_is_fetched_once(store: ReplicaStore, registry: Registry) -> None:
    digest = registry.bundle.digest
    assert store.bundle("tiny", "1", digest).digest == digest
    assert store.bundle("tiny", "1", digest).digest == digest
    assert registry.asked == 1


def test_a_damaged_bundle_is_fetched_again(store: ReplicaStore, registry: Registry) -> None:
    digest = registry.bundle.digest
    (store.bundle("tiny", "1", digest).path / "model.onnx").write_bytes(b"")
    assert store.bundle("tiny", "1", digest).read("model.onnx")
    assert registry.asked == 2


def test_another_bundle_than_the_record_names_is_refused(store: ReplicaStore, registry: Registry) -> None:
    wanted = "sha256:" + "0" * 64
    for _ in range(2):
        with pytest.raises(RegistryError, match=registry.bundle.digest):
            store.bundle("tiny", "1", wanted)
    assert registry.asked == 2


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:../../../etc", "md5:" + "0" * 64, "sha256:" + "Z" * 64]
)
def test_what_is_no_digest_never_becomes_a_path(store: ReplicaStore, digest: str) -> None:
    with pytest.raises(InvalidBundle, match="digest"):
        store.bundle("tiny", "1", digest)


def test_state_is_kept_and_an_unreadable_one_is_none(
    store: ReplicaStore, registry: Registry, tmp_path: Path
) -> None:
    assert store.read() is None
    state = State({"tiny": record_of(registry.bundle)}, {"tiny": "the topic's id"})
    store.write(state)
    assert store.read() == state
    store.write(State({}))
    assert store.read() == State({})
    (tmp_path / "state" / "state.json").write_text('{"format": 1, "mod')
    assert store.read() is None
    assert [p.name for p in (tmp_path / "state").iterdir() if p.name.startswith(".")] == []


def test_state_without_logs_is_read(store: ReplicaStore, registry: Registry, tmp_path: Path) -> None:
    record = record_of(registry.bundle)
    (tmp_path / "state" / "state.json").write_bytes(
        b'{"format": 1, "models": {"tiny": ' + record.encode() + b"}}"
    )
    assert store.read() == State({"tiny": record})


def test_unused_bundles_are_removed_when_they_are_old(store: ReplicaStore, registry: Registry) -> None:
    digest = registry.bundle.digest
    path = store.bundle("tiny", "1", digest).path
    store.collect([], older_than_s=3600)
    assert path.exists()
    store.collect([digest], older_than_s=-1)
    assert path.exists()
    store.collect([], older_than_s=-1)
    assert not path.exists()
