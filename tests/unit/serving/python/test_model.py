"""A Python model computes like any other, and whatever it does to itself hurts nobody."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from millrace.models import Bundle, InvalidBundle, VerificationFailed, verify
from millrace.models.frameworks import CannotBundle, bundle_python
from millrace.serving.python.launch import Launcher, local_launcher
from millrace.serving.python.model import PythonModel
from millrace.serving.runtimes import Unavailable, load_runtime
from tests.unit.serving.python import moody as moods
from tests.unit.serving.python.conftest import HERE, ROWS

Run = Callable[..., dict[str, np.ndarray]]


def soon(run: Run) -> None:
    """It answers again before long."""
    for _ in range(200):
        try:
            assert run(4.0)["score"].tolist() == [[8.0]]
            return
        except Unavailable:
            time.sleep(0.1)
    raise AssertionError("it does not answer any more")


def test_it_answers_numbers_and_text(run: Run) -> None:
    got = run(1.0, 2.5)
    assert got["score"].tolist() == [[2.0], [5.0]]
    assert got["word"].tolist() == [["w"], ["w"]]


@pytest.mark.parametrize(
    ("mood", "told"),
    [
        (moods.CRASH, "its process ended by SIGABRT"),
        (moods.LEAVE, "its process ended with exit code 7"),
        (moods.EAT, "out of memory"),
    ],
)
def test_a_process_that_ends_is_told_and_started_again(run: Run, mood: float, told: str) -> None:
    with pytest.raises(Unavailable, match=told):
        run(mood)
    soon(run)


@pytest.mark.parametrize("mood", [moods.HANG, moods.SPIN, moods.HOLD])
def test_a_process_that_hangs_is_killed_at_the_deadline(run: Run, mood: float) -> None:
    before = children()
    with pytest.raises(TimeoutError):
        run(mood, timeout=0.3)
    soon(run)
    gone(before)


def test_an_exception_is_told_in_a_line_and_the_process_goes_on(run: Run) -> None:
    with pytest.raises(RuntimeError, match=r"^ValueError: no such customer$"):
        run(moods.RAISE)
    # At once: nothing was started again.
    assert run(4.0)["score"].tolist() == [[8.0]]


def test_answers_of_another_shape_are_refused(run: Run) -> None:
    with pytest.raises(RuntimeError, match=r"gave float64 \[2\] as 'score', which is FP64 \[2, 1\]|\[1\]"):
        run(moods.WRONG, 1.0)
    assert run(4.0)["score"].tolist() == [[8.0]]


@pytest.mark.parametrize("mood", [moods.LARGE, moods.LONG])
def test_an_answer_that_is_too_large_is_not_taken_in(run: Run, mood: float) -> None:
    """The memory is the server's, which answers for other models too."""
    with pytest.raises(Unavailable, match=r"a message of \d+ bytes is too large"):
        run(mood)
    soon(run)


def test_it_has_no_network(run: Run) -> None:
    """Not even the loopback, where a server of this machine might answer."""
    with pytest.raises(RuntimeError, match="Network is unreachable"):
        run(moods.CALL)


def test_what_it_prints_does_not_disturb(run: Run) -> None:
    assert run(moods.PRINT)["score"].tolist() == [[2 * moods.PRINT]]


def test_calls_from_several_threads_come_one_after_the_other(run: Run) -> None:
    got: list[float] = []
    threads = [threading.Thread(target=lambda n=n: got.append(run(n)["score"][0, 0])) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [2.0 * n for n in range(20)]


def test_a_call_behind_a_slow_one_gives_up_in_time_and_kills_nothing(moody: Bundle) -> None:
    model = PythonModel(moody, local_launcher())
    given = {"x": np.array([[moods.HANG]]), "word": np.array([["w"]], object)}
    ended: list[BaseException] = []

    def hang() -> None:
        try:
            model.run(given, timeout=1.5)
        except TimeoutError as error:
            ended.append(error)

    slow = threading.Thread(target=hang)
    slow.start()
    time.sleep(0.3)
    with pytest.raises(TimeoutError, match="other calls"):
        model.run({**given, "x": np.array([[1.0]])}, timeout=0.2)
    assert not ended
    slow.join()
    assert len(ended) == 1
    # Its successor is there: it would be among the children of the next test.
    soon(lambda *values: model.run({**given, "x": np.array([[value] for value in values])}))
    model.close()


def test_nothing_is_left_when_it_is_closed(moody: Bundle, launcher: Launcher) -> None:
    before = children()
    model = PythonModel(moody, launcher)
    own = children() - before
    assert len(own) == 1
    model.close()
    gone(own)


def gone(processes: set[int]) -> None:
    """They end soon."""
    for _ in range(100):
        if not processes & children():
            return
        time.sleep(0.1)
    raise AssertionError("a process is still there")


def children() -> set[int]:
    """Processes below this one that run models."""
    found = set()
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().split(b"\0")
            parent = int((each.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        if any(word.endswith(b"serving/python/child") for word in words) and _below(parent, os.getpid()):
            found.add(int(each.parent.name))
    return found


def _below(process: int, ancestor: int) -> bool:
    while process > 1:
        if process == ancestor:
            return True
        process = int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return False


def test_the_gate_runs_it_as_a_server_does(moody: Bundle, tmp_path: Path) -> None:
    verify(moody)
    runtime = load_runtime(moody)
    assert (runtime.platform, runtime.inline) == ("python", False)
    runtime.close()


def write(folder: Path, code: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "own_model.py").write_text(code)
    return folder / "own_model.py"


HEAD = "import os\nclass Own:\n    def load(self, path): pass\n    def predict(self, inputs):\n        "


def test_a_model_that_answers_otherwise_elsewhere_is_refused(tmp_path: Path) -> None:
    """It depends on its environment, of which the process has nothing."""
    code = write(
        tmp_path / "c", HEAD + "return {'y': inputs['x'] * (1 if 'USER_OF_TEST' in os.environ else 2)}"
    )
    os.environ["USER_OF_TEST"] = "1"
    try:
        with pytest.raises(VerificationFailed, match="'y' differs"):
            bundle_python("own_model:Own", code, {"x": np.ones(3)}, tmp_path / "bundle")
    finally:
        del os.environ["USER_OF_TEST"]
    assert not (tmp_path / "bundle").exists()


def test_what_is_wrong_with_a_model_is_told(moody: Bundle, tmp_path: Path) -> None:
    rows = {"x": np.ones(3)}
    code = write(tmp_path / "c", HEAD + "return inputs['z']")
    for entry, told in [
        ("own_model", "write it as module:Class"),
        ("own_model:Other", "no attribute 'Other'"),
        ("own_model:Own", "fails here already: KeyError: 'z'"),
    ]:
        with pytest.raises(CannotBundle, match=told):
            bundle_python(entry, code, rows, tmp_path / "bundle")
    write(tmp_path / "c", HEAD + "return inputs['x']")
    with pytest.raises(CannotBundle, match="gave a ndarray"):
        bundle_python("own_model:Own", code, rows, tmp_path / "bundle")
    (tmp_path / "factor.txt").write_text("-1")
    with pytest.raises(CannotBundle, match="a negative factor"):
        bundle_python("moody:Moody", HERE / "moody.py", ROWS, tmp_path / "bundle", artifacts=tmp_path)


def test_a_model_that_does_not_load_in_its_process_is_told(tmp_path: Path, launcher: Launcher) -> None:
    code = write(
        tmp_path / "c", HEAD.replace("pass", "os.environ['USER_OF_TEST']") + "return {'y': inputs['x']}"
    )
    os.environ["USER_OF_TEST"] = "1"
    try:
        with pytest.raises(CannotBundle, match="does not load: KeyError"):
            bundle_python("own_model:Own", code, {"x": np.ones(3)}, tmp_path / "bundle")
    finally:
        del os.environ["USER_OF_TEST"]


def test_a_process_that_ends_before_it_is_ready_is_told(
    moody: Bundle, launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where numpy cannot be imported."""
    import sys

    from millrace.serving.python import launch

    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(launch, "python_for", lambda *_: broken)
    # The warden is another process.
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "from millrace.serving.python import environment\n"
        f"environment.python_for = lambda *_: {str(broken)!r}\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{site}:{':'.join(sys.path)}")
    with pytest.raises(InvalidBundle, match="process ended with exit code 3"):
        PythonModel(moody, launcher)


def test_a_bundle_that_was_changed_is_not_run(moody: Bundle, launcher: Launcher, tmp_path: Path) -> None:
    import shutil

    copy = Bundle.load(shutil.copytree(moody.path, tmp_path / "copy"))
    (copy.path / "code.tar").write_bytes(b"other")
    with pytest.raises(InvalidBundle, match=r"code\.tar was changed"):
        PythonModel(copy, launcher)
