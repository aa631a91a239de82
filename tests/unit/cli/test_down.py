"""`millrace down` without an engine: what would come back with it is not forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from millrace.box import engine, host, image
from millrace.cli import app
from millrace.site import Site


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State of the site demo, which has a container; no engine answers."""
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(engine, "answering", lambda: None)
    directory = tmp_path / "demo"
    Site("demo", directory, "localhost:1", "", "x", "", containers={"node1": "abc"}).write()
    return directory


def installed(monkeypatch: pytest.MonkeyPatch, program: str | None) -> None:
    monkeypatch.setattr(engine, "program", lambda: program)


def test_containers_that_come_back_keep_their_state(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "/usr/sbin/dockerd")
    ended = CliRunner().invoke(app, ["down"])
    assert ended.exit_code == 1
    assert "site demo has containers that come back with it: start the engine" in ended.stderr
    assert (state / "site.json").exists()


def test_an_engine_elsewhere_may_come_back_too(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, None)
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2376")
    ended = CliRunner().invoke(app, ["down"])
    assert ended.exit_code == 1
    assert "192.0.2.1:2376, and site demo has containers" in ended.stderr
    assert (state / "site.json").exists()


def test_without_any_docker_the_state_goes(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, None)
    ended = CliRunner().invoke(app, ["down"])
    assert ended.exit_code == 0
    assert f"removed state {state}" in ended.output
    assert not state.exists()


class Engine:
    """One that answers, without sites; the list says what else was asked to go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        monkeypatch.setattr(engine, "answering", lambda: self)
        monkeypatch.setattr(engine, "end_own", lambda client: self.asked.append("engine") or "ended")
        monkeypatch.setattr(host, "remove_all", lambda client, site: [])
        monkeypatch.setattr(image, "remove", lambda client: self.asked.append("image") or "removed")


def test_a_name_that_is_no_sites_takes_nothing_away(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Engine(monkeypatch)
    ended = CliRunner().invoke(app, ["down", "--site", "nope"])
    assert "There is no site nope here." in ended.output
    assert there.asked == []
    assert CliRunner().invoke(app, ["down"]).exit_code == 0
    assert there.asked == ["image", "engine"]


def test_a_site_without_containers_goes(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "/usr/sbin/dockerd")
    (state / "site.json").write_text("{")
    assert CliRunner().invoke(app, ["down"]).exit_code == 0
    assert not state.exists()
