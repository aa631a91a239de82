"""What arrives in the store: whole, checked, once."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from millrace.artifacts import Artifact, MissingArtifact, check, fetch, load_bom, locate
from millrace.artifacts.store import digest
from tests.unit.artifacts.conftest import Clone, make_wheel, sha256


def run(clone: Clone, store: Path, *names: str) -> tuple[list[Artifact], str]:
    said: list[str] = []
    return fetch(names or None, store=store, report=said.append, bom=load_bom(clone.bom)), "\n".join(said)


def names_in(artifact: Artifact) -> list[str]:
    with tarfile.open(artifact.path) as tar:
        return tar.getnames()


def test_python_environment(clone: Clone, store: Path) -> None:
    first, second = (
        make_wheel(clone.wheels, "first"),
        make_wheel(clone.wheels, "second", tag="cp313-cp313-manylinux1_x86_64"),
    )
    make_wheel(clone.wheels, "second", tag="cp312-cp312-manylinux1_x86_64")
    clone.add_python("thing", first, second)
    (artifact,), said = run(clone, store)
    assert names_in(artifact) == ["requirements.txt", f"wheels/{first.name}", f"wheels/{second.name}"]
    with tarfile.open(artifact.path) as tar:
        lines = tar.extractfile("requirements.txt").read().decode()  # type: ignore[union-attr]
    assert f"first==1 --hash=sha256:{sha256(first.read_bytes())}\n" in lines
    assert digest(artifact.path) == artifact.sha256
    about = json.loads(artifact.path.with_suffix(".json").read_text())
    assert about == {
        "component": "thing",
        "version": "1",
        "id": artifact.id,
        "sha256": artifact.sha256,
        "size": artifact.size,
    }
    assert "thing 1: 0.0 MB in" in said


def test_tool_is_unpacked(clone: Clone, store: Path) -> None:
    clone.add_python("tool", make_wheel(clone.wheels, "toolbox", program="tool"), entry="kind: tool")
    (artifact,), _ = run(clone, store)
    with tarfile.open(artifact.path) as tar:
        assert [(member.name, member.mode) for member in tar] == [("tool", 0o755)]


def test_jars_lie_flat(clone: Clone, store: Path) -> None:
    clone.add_jars("thing", b=b"b", a=b"a")
    (artifact,), _ = run(clone, store)
    assert names_in(artifact) == ["lib/a-1.jar", "lib/b-1.jar"]


def test_two_stores_hold_the_same_bytes(clone: Clone, tmp_path: Path) -> None:
    clone.add_jars("thing", b=b"b", a=b"a")
    clone.add_python("other", make_wheel(clone.wheels, "other"))
    one, _ = run(clone, tmp_path / "one")
    two, _ = run(clone, tmp_path / "two")
    assert [artifact.sha256 for artifact in one] == [artifact.sha256 for artifact in two]


def test_full_store_asks_nobody(
    clone: Clone, store: Path, registries: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.add_jars("thing", a=b"a")
    clone.add_python("other", make_wheel(clone.wheels, "other"))
    first, _ = run(clone, store)
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    again, said = run(clone, store)
    assert again == first
    assert len(registries()) == 1
    assert said.startswith("all 2 artifacts are in")


def test_what_two_components_share_comes_once(
    clone: Clone, store: Path, registries: Callable[[], list[str]]
) -> None:
    clone.add_jars("one", a=b"a", b=b"b")
    clone.add_jars("two", b=b"b")
    run(clone, store, "one")
    run(clone, store, "two")
    assert len(registries()) == 1


def test_maven_starts_once_for_all(clone: Clone, store: Path, registries: Callable[[], list[str]]) -> None:
    clone.add_jars("one", a=b"a")
    clone.add_jars("two", b=b"b")
    run(clone, store)
    assert len(registries()) == 1


def test_only_what_is_asked_for(clone: Clone, store: Path) -> None:
    clone.add_jars("one", a=b"a")
    clone.add_jars("two", b=b"b")
    run(clone, store, "two")
    assert [path.stem.split("-")[0] for path in (store / "artifacts").glob("*.tar")] == ["two"]


def test_check_names_all_that_is_missing(clone: Clone, store: Path) -> None:
    clone.add_jars("one", a=b"a")
    clone.add_jars("two", b=b"b")
    clone.add_jars("three", c=b"c")
    run(clone, store, "two")
    with pytest.raises(MissingArtifact, match=r"lacks one 1-\w+, three 1-\w+: run `./millrace fetch`"):
        check(store=store, bom=load_bom(clone.bom))


def test_locate(clone: Clone, store: Path) -> None:
    clone.add_jars("thing", a=b"a")
    bom = load_bom(clone.bom)
    with pytest.raises(
        MissingArtifact, match=r"thing 1-\w+ is not in the artifact store .*: run `./millrace fetch`"
    ):
        locate("thing", store=store, bom=bom)
    (artifact,), _ = run(clone, store)
    assert locate("thing", store=store, bom=bom) == artifact


def test_a_new_lock_is_a_new_artifact(clone: Clone, store: Path) -> None:
    clone.add_jars("thing", a=b"a")
    (old,), _ = run(clone, store)
    clone.add_jars("thing", a=b"new")
    with pytest.raises(MissingArtifact):
        check(store=store, bom=load_bom(clone.bom))
    (new,), _ = run(clone, store)
    assert new.id != old.id
    assert old.path.exists()


def test_old_artifacts_do_not_pile_up(clone: Clone, store: Path) -> None:
    clone.add_jars("thing-more", a=b"a")
    for data in (b"1", b"2", b"3", b"4", b"5"):
        clone.add_jars("thing", a=data)
        run(clone, store, "thing")
    assert len(list((store / "artifacts").glob("*.tar"))) == 3
    assert locate("thing", store=store, bom=load_bom(clone.bom))


def test_own_wheel_follows_what_hosts_run(clone: Clone, store: Path) -> None:
    package = clone.root / "src" / "millrace"
    (package / "cli").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "cli" / "__init__.py").write_text("")
    build = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    project = (
        '[project]\nname = "millrace"\nversion = "1"\nrequires-python = ">=3.11"\nreadme = "README.md"\n'
    )
    (clone.root / "pyproject.toml").write_text(build + project)
    clone.add_python("own", make_wheel(clone.wheels, "first"), entry="kind: project, omit: [cli]")
    (artifact,), _ = run(clone, store)
    assert names_in(artifact) == [
        "requirements.txt",
        "wheels/first-1-py3-none-any.whl",
        "wheels/millrace-1-py3-none-any.whl",
    ]
    (package / "cli" / "__init__.py").write_text("changed = True\n")
    (clone.root / "README.md").write_text("changed\n")
    assert load_bom(clone.bom).id("own") == artifact.id
    (package / "__init__.py").write_text("changed = True\n")
    assert load_bom(clone.bom).id("own") != artifact.id
