"""The bill of materials refuses what cannot be meant, and names an artifact by what it is made from."""

from pathlib import Path

import pytest

from millrace.artifacts import BomError, load_bom
from millrace.artifacts.locks import canonical, read_jars, read_requirements
from tests.unit.artifacts.conftest import Clone

ROOT = Path(__file__).parents[3]
HASH = "0" * 64
PIN = f"a==1 --hash=sha256:{HASH}\n"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("kind: snap", "kind snap; known are python, jars, tool, project"),
        ("kind: python, colour: red", "unknown colour"),
        ("build: [a]", "has no kind"),
        ("kind: java", "of kind java, and no other, has a `program`"),
        ("kind: java, program: ../nothing", "has a `program`, a directory with .java files"),
        ("kind: jars, program: ../program", "of kind java, and no other"),
    ],
)
def test_wrong_entry(clone: Clone, entry: str, says: str) -> None:
    (clone.root / "program").mkdir()
    (clone.root / "program/A.java").touch()
    clone.add("thing", entry, PIN)
    with pytest.raises(BomError, match=f"component thing .*{says}"):
        load_bom(clone.bom)


def test_version_that_yaml_reads_as_a_number(clone: Clone) -> None:
    clone.add("thing", "kind: python", PIN)
    clone.bom.write_text(clone.bom.read_text().replace("version: '1'", "version: 1.0"))
    with pytest.raises(BomError, match="put it in quotes"):
        load_bom(clone.bom)


def test_lock_that_is_not_there(clone: Clone) -> None:
    clone.add("thing", "kind: python", PIN)
    (clone.locks / "thing.lock").unlink()
    with pytest.raises(BomError, match=r"locks/thing.lock, which does not exist"):
        load_bom(clone.bom)


@pytest.mark.parametrize("text", ["", "bom_python: [", "bom_python: '3.13'"])
def test_wrong_file(clone: Clone, text: str) -> None:
    clone.bom.write_text(text)
    with pytest.raises(BomError, match=r"bom.yml"):
        load_bom(clone.bom)


def test_unknown_component(clone: Clone) -> None:
    clone.add("thing", "kind: python", PIN)
    with pytest.raises(BomError, match="no component think; it has thing"):
        load_bom(clone.bom).component("think")


def test_id_follows_the_lock_and_the_hosts_python(clone: Clone) -> None:
    clone.add("thing", "kind: python", PIN)
    clone.add("other", "kind: jars", f"{HASH}  g/a/1/a-1.jar\n")
    names = ("thing", "other")
    thing, other = (load_bom(clone.bom).id(name) for name in names)
    assert thing.startswith("1-")
    (clone.locks / "thing.lock").write_text(PIN.replace("a==1", "a==2"))
    locked, unchanged = (load_bom(clone.bom).id(name) for name in names)
    assert locked != thing
    assert unchanged == other
    clone.bom.write_text(clone.bom.read_text().replace("3.13", "3.14"))
    newer, unchanged = (load_bom(clone.bom).id(name) for name in names)
    assert newer != locked
    assert unchanged == other


def test_id_follows_the_sources_of_a_program(clone: Clone) -> None:
    source = clone.root / "program/A.java"
    source.parent.mkdir()
    source.write_text("class A {}")
    clone.add("thing", "kind: java, program: ../program", f"{HASH}  g/a/1/a-1.jar\n")
    before = load_bom(clone.bom).id("thing")
    assert load_bom(clone.bom).id("thing") == before
    source.write_text("class A { int a; }")
    assert load_bom(clone.bom).id("thing") != before


@pytest.mark.parametrize(
    "line", ["a==1", "a>=1 --hash=sha256:" + HASH, "a @ file:///a --hash=sha256:" + HASH]
)
def test_pin_without_version_or_checksum(tmp_path: Path, line: str) -> None:
    (tmp_path / "lock").write_text(f"{PIN}{line}\n")
    with pytest.raises(BomError, match="is not `name==version"):
        read_requirements(tmp_path / "lock")


@pytest.mark.parametrize("path", ["/a/b/1/b-1.jar", "a/../../b/b-1.jar", "b-1.jar", "a/b/1/b&1.jar"])
def test_jar_outside_of_a_repository(tmp_path: Path, path: str) -> None:
    (tmp_path / "lock").write_text(f"{HASH}  {path}\n")
    with pytest.raises(BomError, match="is not `sha256"):
        read_jars(tmp_path / "lock")


def test_jars_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(f"{HASH}  g/a/1/a-1.jar\n{HASH}  h/a/1/a-1.jar\n")
    with pytest.raises(BomError, match=r"has a-1.jar twice"):
        read_jars(tmp_path / "lock")


def test_versions_are_those_of_the_locks() -> None:
    bom = load_bom(ROOT / "playbooks" / "bom.yml")
    for name, component in bom.components.items():
        registry, _, what = component.source.partition(":")
        if registry == "pypi":
            locked = {pin.name: pin.version for pin in read_requirements(component.lock)}
            assert locked[canonical(what)] == component.version, name
        elif registry == "maven":
            versions = {(jar.group, jar.artifact): jar.version for jar in read_jars(component.lock)}
            group, artifact = what.split(":")
            assert versions[group, artifact] == component.version, name
        else:
            assert f'version = "{component.version}"' in (ROOT / "pyproject.toml").read_text(), name
