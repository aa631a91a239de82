"""The sidecar's program is compiled while it is fetched, without a JDK."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import pytest

from millrace.artifacts import ClientFailed, Store, load_bom
from millrace.artifacts.client import Clients
from millrace.artifacts.java import compiled
from millrace.artifacts.locks import read_jars

COMPONENT = load_bom().component("pmml")


def compile_to_jar(program: Path, tmp: Path) -> bytes:
    jars = {jar.artifact: Store().kept(jar.sha256) for jar in read_jars(COMPONENT.lock)}
    assert all(jars.values())
    compiler = [jars.pop(name) for name in COMPONENT.build]
    tmp.mkdir()
    return compiled(Clients(), compiler, list(jars.values()), program, tmp)  # type: ignore[arg-type]


@pytest.fixture
def program(tmp_path: Path, pmml4s: None) -> Path:
    assert COMPONENT.program
    return shutil.copytree(COMPONENT.program, tmp_path / "program")


def test_equal_sources_make_equal_bytes_that_the_oldest_java_runs(program: Path, tmp_path: Path) -> None:
    first = compile_to_jar(program, tmp_path / "first")
    assert compile_to_jar(program, tmp_path / "second") == first
    classes = zipfile.ZipFile(io.BytesIO(first))
    # Java 17's class files have the number 61.
    assert classes.read("millrace/pmml/Sidecar.class")[6:8] == bytes([0, 61])


def test_a_mistake_in_a_source_is_told(program: Path, tmp_path: Path) -> None:
    source = program / "millrace/pmml/Late.java"
    source.write_text(source.read_text().replace("UID = 1;", "UID = one;"))
    with pytest.raises(ClientFailed, match=r"(?s)Late\.java.*one cannot be resolved"):
        compile_to_jar(program, tmp_path / "out")
