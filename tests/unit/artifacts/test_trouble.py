"""Wrong, half, interrupted, absent: refused, mended, or told in one sentence."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from millrace.artifacts import (
    ClientMissing,
    RegistryUnreachable,
    StoreUnwritable,
    WrongChecksum,
    fetch,
    load_bom,
    reach,
)
from millrace.artifacts.store import Store, digest
from tests.unit.artifacts.conftest import Clone, make_wheel, sha256
from tests.unit.artifacts.test_fetch import run

Calls = Callable[[], list[str]]


@pytest.fixture
def plan(tmp_path: Path) -> Callable[[str], object]:
    """Sets what mvn does first, in shell."""
    return lambda text: (tmp_path / "bin" / "plan").write_text(text)


def test_wheel_that_is_not_the_locked_one(clone: Clone, store: Path) -> None:
    wheel = make_wheel(clone.wheels, "first")
    clone.add_python("thing", wheel)
    wheel.write_bytes(wheel.read_bytes() + b"more")
    with pytest.raises(WrongChecksum, match="pip got a file that is not the one of the lock"):
        run(clone, store)
    assert list((store / "artifacts").glob("*")) == []


def test_wrong_jar_is_fetched_again(
    clone: Clone, store: Path, registries: Calls, plan: Callable[[str], object]
) -> None:
    clone.add_jars("thing", a=b"right", b=b"b")
    half = 'mkdir -p "$into/org/test/a/1"; echo half > "$into/org/test/a/1/a-1.jar"; exit 0'
    plan(f'if [ "$(wc -l < "$MVN_LOG")" = 1 ]; then {half}; fi')
    run(clone, store)
    assert len(registries()) == 2
    assert Store(store).kept(sha256(b"right"))


def test_jar_wrong_twice_is_refused(clone: Clone, store: Path, registries: Calls) -> None:
    clone.add_jars("thing", a=b"right")
    (clone.jars / "org/test/a/1/a-1.jar").write_bytes(b"wrong")
    with pytest.raises(
        WrongChecksum, match=r"org/test/a/1/a-1.jar with another sha256 than its lock has, twice"
    ):
        run(clone, store)
    assert len(registries()) == 2
    assert list((store / "downloads").glob("*/*")) == []


@pytest.mark.parametrize("harm", ["flip", "cut", "no note"])
def test_damaged_tar_is_made_again(clone: Clone, store: Path, harm: str) -> None:
    clone.add_jars("thing", a=b"a")
    (artifact,), _ = run(clone, store)
    data = artifact.path.read_bytes()
    if harm == "flip":
        artifact.path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    elif harm == "cut":
        artifact.path.write_bytes(data[:-1])
    else:
        artifact.path.with_suffix(".json").unlink()
    _, said = run(clone, store)
    assert "thing 1:" in said
    assert digest(artifact.path) == artifact.sha256


def test_half_download_is_fetched_again(clone: Clone, store: Path, registries: Calls) -> None:
    clone.add_jars("thing", a=b"whole")
    half = store / "downloads" / sha256(b"whole") / "a-1.jar"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"wh")
    (artifact,), said = run(clone, store)
    assert "is broken: fetching it again" in said
    assert half.read_bytes() == b"whole"
    assert digest(artifact.path) == artifact.sha256


def test_interrupted_fetch_goes_on(
    clone: Clone, store: Path, registries: Calls, plan: Callable[[str], object]
) -> None:
    clone.add_python("first", make_wheel(clone.wheels, "first"))
    run(clone, store)
    clone.add_jars("thing", a=b"a")
    plan("exit 1")
    with pytest.raises(Exception, match="mvn failed"):
        run(clone, store)
    (store / "tmp" / "left").mkdir(parents=True)
    plan("")
    _, said = run(clone, store)
    assert "first 1:" not in said
    assert "thing 1:" in said
    assert list((store / "tmp").glob("*")) == []


def test_two_at_once(
    clone: Clone, store: Path, registries: Calls, plan: Callable[[str], object], tmp_path: Path
) -> None:
    clone.add_jars("thing", a=b"a")
    plan('until [ -e "$MVN_LOG.go" ]; do sleep 0.05; done')
    code = f"""
from pathlib import Path
from millrace.artifacts import fetch, load_bom
fetch(store=Path({str(store)!r}), bom=load_bom(Path({str(clone.bom)!r})))
"""
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    while not registries():
        assert first.poll() is None
        time.sleep(0.02)
    said: list[str] = []

    def heard(line: str) -> None:
        said.append(line)
        (tmp_path / "mvn.log.go").touch()

    fetch(store=store, report=heard, bom=load_bom(clone.bom))
    assert "another fetch is filling" in said[0]
    assert first.wait() == 0
    assert len(registries()) == 1


def test_store_that_cannot_be_written(clone: Clone, store: Path) -> None:
    clone.add_jars("thing", a=b"a")
    store.write_text("a file, where a directory should be")
    with pytest.raises(StoreUnwritable, match=r"cannot be filled \(File exists\): .* MILLRACE_STORE"):
        run(clone, store)


def test_mvn_is_missing(clone: Clone, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone.add_jars("thing", a=b"a")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ClientMissing, match="mvn is not installed: `apt install maven default-jre-headless`"):
        run(clone, store)


def test_maven_registry_out_of_reach(clone: Clone, store: Path, plan: Callable[[str], object]) -> None:
    clone.add_jars("thing", a=b"a")
    plan('echo "[ERROR] Could not transfer artifact a:a:pom:1 from/to central"; exit 1')
    for ask in (reach, fetch):
        with pytest.raises(
            RegistryUnreachable, match=r"mvn does not reach its registry; set .*~/.m2/settings.xml"
        ):
            ask(store=store, bom=load_bom(clone.bom))
    assert not (store / "artifacts").exists()


def test_python_registry_out_of_reach(clone: Clone, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(clone.wheels, "first")
    clone.add_python("thing", wheel)
    wheel.unlink()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    with pytest.raises(
        RegistryUnreachable, match="pip does not reach its registry; set a mirror by PIP_INDEX_URL"
    ):
        reach(store=store, bom=load_bom(clone.bom))


def test_reach_of_a_full_store_asks_nobody(clone: Clone, store: Path, registries: Calls) -> None:
    clone.add_jars("thing", a=b"a")
    run(clone, store)
    reach(store=store, bom=load_bom(clone.bom))
    assert len(registries()) == 1
