"""Programs a verb runs, and the lock that keeps two of them from one site."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from millrace.cli import lock, program
from millrace.cli.models import request_body
from millrace.problem import Problem


def test_output_goes_to_the_log_and_line_by_line_to_who_listens(tmp_path: Path) -> None:
    log, lines = tmp_path / "logs" / "x.log", []
    code = program.run(
        [sys.executable, "-c", "print('one'); print('two'); raise SystemExit(3)"], log, lines.append
    )
    assert code == 3
    assert lines == ["one", "two"]
    assert log.read_text().splitlines()[1:] == ["one", "two"]


def test_programs_end_with_the_verb_and_all_that_they_started(tmp_path: Path) -> None:
    pids: list[int] = []
    started = threading.Event()

    def listen(line: str) -> None:
        pids.append(int(line))
        started.set()

    words = ["sh", "-c", "sleep 100 & echo $!; wait"]
    thread = threading.Thread(target=program.run, args=(words, tmp_path / "log", listen))
    with program.ended_with_us():
        thread.start()
        assert started.wait(30)
    thread.join(30)
    assert not thread.is_alive()
    deadline = time.monotonic() + 30
    while alive(pids[0]):
        assert time.monotonic() < deadline, f"process {pids[0]} lives on"


def alive(pid: int) -> bool:
    """Nobody may be there to collect a dead process; it is dead all the same."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_one_verb_at_a_time_changes_a_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path))
    with lock.held("demo"):
        with lock.held("other"):
            pass
        with (
            pytest.raises(Problem, match=rf"process {os.getpid()}\) is changing site demo"),
            lock.held("demo"),
        ):
            pass
    with lock.held("demo"):
        pass


def test_a_request_names_the_inputs_as_the_model_does() -> None:
    signature = {"inputs": [{"name": "carrier", "datatype": "BYTES"}, {"name": "hour", "datatype": "FP64"}]}
    assert request_body(signature, {"hour": 5, "carrier": "UA"}) == {
        "inputs": [
            {"name": "carrier", "datatype": "BYTES", "shape": [1, 1], "data": ["UA"]},
            {"name": "hour", "datatype": "FP64", "shape": [1, 1], "data": [5]},
        ]
    }
