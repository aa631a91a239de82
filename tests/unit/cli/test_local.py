"""`millrace demo --local`: the journey without a site, and who names it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from millrace import project
from millrace.box import engine
from millrace.cli import app, environments, local
from millrace.cli.making import Making
from millrace.cli.screen import Screen
from millrace.models import Bundle
from millrace.problem import Problem
from tests.unit.models import arithmetic

#: What an example's train.py does, with a model that needs no training.
SCRIPT = """
import pathlib, shutil, sys
keep = pathlib.Path(sys.argv[sys.argv.index("--keep") + 1])
shutil.copytree(pathlib.Path(__file__).parent / "bundle", keep / "bundle")
(pathlib.Path(__file__).parent / "called").write_text(" ".join(sys.argv[1:]))
print("trained")
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with two examples that are trained at once, in the interpreter of the tests."""
    for model in local.MODELS:
        place = tmp_path / "clone/examples" / model
        place.mkdir(parents=True)
        arithmetic.write(place / "bundle")
        (place / "train.py").write_text(SCRIPT)
        (place / "rows.json").write_text('[{"a": 1.0, "b": 2.0}]')
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(project, "root", lambda: tmp_path / "clone")
    monkeypatch.setattr(environments, "ready", lambda name: Path(sys.executable))
    return tmp_path / "clone"


def test_it_trains_serves_asks_and_ends(clone: Path, tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["demo", "--local"])
    assert said.exit_code == 0, said.output
    for model in local.MODELS:
        assert f'{model} {{"a": 1.0, "b": 2.0}}' in said.output
        assert '-> {"total": [3.0], "label": [0]}' in said.output
        Bundle.load(tmp_path / "state/.local/models" / model / "1")
    assert (clone / "examples/flights/called").read_text().startswith("--local --keep")
    assert (clone / "examples/iris/called").read_text().startswith("--no-register --keep")
    assert f"./millrace serve {tmp_path / 'state/.local/models'}" in said.output


def test_what_is_trained_is_not_trained_again(clone: Path) -> None:
    CliRunner().invoke(app, ["demo", "--local"])
    for model in local.MODELS:
        (clone / "examples" / model / "called").unlink()
    said = CliRunner().invoke(app, ["demo", "--local"])
    assert said.exit_code == 0, said.output
    assert not list(clone.glob("examples/*/called"))


def test_a_damaged_bundle_is_trained_again(clone: Path, tmp_path: Path) -> None:
    CliRunner().invoke(app, ["demo", "--local"])
    (tmp_path / "state/.local/models/iris/1/model.onnx").write_bytes(b"")
    (clone / "examples/iris/called").unlink()
    assert CliRunner().invoke(app, ["demo", "--local"]).exit_code == 0
    assert (clone / "examples/iris/called").exists()


def test_a_training_that_fails_is_told_with_its_last_words(clone: Path) -> None:
    (clone / "examples/iris/train.py").write_text("raise SystemExit('no flowers')")
    said = CliRunner().invoke(app, ["demo", "--local"])
    assert said.exit_code == 1
    assert "iris could not be trained: no flowers" in said.output
    assert "`./millrace demo --local` goes on from there" in said.output


def test_no_java_is_told(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    said = CliRunner().invoke(app, ["demo", "--local"])
    assert "Spark needs Java: install a JRE" in said.output


def test_an_engine_that_cannot_be_used_names_the_way_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Problem("This user may not speak to the Docker engine.")

    making, line = Making("demo", None, None, ()), Screen().begin("x")
    monkeypatch.setattr(engine, "start", refuse)
    with pytest.raises(Problem, match=r"may not speak[^$]*\./millrace demo --local"):
        making._engine(line)
    monkeypatch.setattr(engine, "answering", refuse)
    monkeypatch.setattr("millrace.box.machine.check_distribution", lambda text: "a system")
    with pytest.raises(Problem, match=r"may not speak[^$]*\./millrace demo --local"):
        making._check(line)
