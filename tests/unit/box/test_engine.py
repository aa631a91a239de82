"""The engine's process id: what is stale, what is ours, what is left alone."""

from pathlib import Path

import pytest

from millrace.box import engine
from millrace.problem import Problem


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc in which 41 is a dockerd and 42 something else."""
    for pid, name in ((41, "dockerd"), (42, "bash")):
        (tmp_path / "proc" / str(pid)).mkdir(parents=True)
        (tmp_path / "proc" / str(pid) / "comm").write_text(f"{name}\n")
    return tmp_path / "proc"


@pytest.mark.parametrize("content", ["42\n", "43", "", "rubbish"])
def test_a_pidfile_that_names_no_living_engine_is_removed(tmp_path: Path, proc: Path, content: str) -> None:
    pidfile = tmp_path / "docker.pid"
    pidfile.write_text(content)
    assert engine.remove_stale_pidfile(pidfile, proc)
    assert not pidfile.exists()


def test_a_living_engines_pidfile_stays(tmp_path: Path, proc: Path) -> None:
    pidfile = tmp_path / "docker.pid"
    pidfile.write_text("41")
    assert not engine.remove_stale_pidfile(pidfile, proc)
    assert pidfile.exists()


def test_no_pidfile_is_nothing_to_remove(tmp_path: Path, proc: Path) -> None:
    assert not engine.remove_stale_pidfile(tmp_path / "docker.pid", proc)


def test_an_engine_at_docker_host_is_never_started_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(Problem, match=r"DOCKER_HOST=.*start it, or unset DOCKER_HOST"):
        engine.start(lambda text: None)


def test_an_engine_that_does_not_come_up_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    log = tmp_path / "dockerd.log"
    log.write_text("".join(f"line {n}\n" for n in range(9)) + "failed to start daemon: no space\n")
    with pytest.raises(Problem, match=r"does not answer .*\n.*line 5\n(.*\n)*.*no space"):
        engine._wait(lambda text: None, lambda: f"its last words:\n{engine.last_lines(log)}", lambda: False)


def test_an_engine_of_another_is_not_ours_to_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path))
    assert engine.own_pid() is None
    engine.directory().mkdir()
    # Process 1 is no dockerd: the id of an engine that ended has been given to another program.
    (engine.directory() / "dockerd.pid").write_text("1\n")
    assert engine.own_pid() is None
