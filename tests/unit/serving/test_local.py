"""`millrace serve`: models from a folder, without a site."""

from __future__ import annotations

import shutil
import signal
import socket
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from millrace.cli import app
from tests.unit.serving.bundles import make_bundle
from tests.unit.serving.served import Serving

ROW = {"x": [2.5], "kind": ["a"], "count": [1]}


def refusal(*words: str | Path) -> str:
    """The last line of a server that does not start."""
    result = CliRunner().invoke(app, ["serve", *map(str, words)])
    assert result.exit_code == 1, result.output
    return result.output.splitlines()[-1]


def test_it_answers_follows_the_folder_and_ends(tmp_path: Path) -> None:
    make_bundle(tmp_path / "models/tiny/1", 2.0)
    make_bundle(tmp_path / "models/other", 3.0)
    with Serving(tmp_path / "models") as server:
        assert server.infer("tiny", **ROW).json()["predictions"] == [
            {"score": [5.0], "label": ["a"], "number": [1]}
        ]
        index = server.ask("POST", "/v2/repository/index").json()
        assert {(each["name"], each["version"]) for each in index} == {("tiny", "1"), ("other", "1")}
        assert server.ask("GET", "/v2/health/ready").json() == {"ready": True, "live": True}
        make_bundle(tmp_path / "models/tiny/2", 10.0)
        server.wait_for("tiny 2 is live")
        assert server.infer("tiny", **ROW).json()["predictions"][0]["score"] == [25.0]
        make_bundle(tmp_path / "models/tiny/3", 11.0, wrong=True)
        assert server.wait_for("tiny 3 is refused").endswith("; 2 goes on")
        assert server.infer("tiny", **ROW).json()["predictions"][0]["score"] == [25.0]
        shutil.rmtree(tmp_path / "models/other")
        server.wait_for("other is gone")
        assert server.infer("other", **ROW).status_code == 404
        assert server.end() == 0


def test_it_ends_in_order_when_it_is_told_to(tmp_path: Path) -> None:
    make_bundle(tmp_path / "tiny")
    with Serving(tmp_path / "tiny") as server:
        assert server.infer("tiny", **ROW).status_code == 200
        assert server.end(signal.SIGTERM) == 0


def test_the_line_that_it_prints_asks_a_model(tmp_path: Path) -> None:
    import subprocess

    make_bundle(tmp_path / "tiny")
    with Serving(tmp_path / "tiny") as server:
        line = server.wait_for("curl").strip()
        answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout
        assert answer == '{"predictions":[{"score":[3.0],"label":["a"],"number":[1]}]}'


def test_only_this_machine_may_ask_unless_anyone_is_meant(tmp_path: Path) -> None:
    make_bundle(tmp_path / "tiny")
    assert "say --anyone if that is meant" in refusal(tmp_path / "tiny", "--host", "0.0.0.0")
    with Serving(tmp_path / "tiny", "--host", "0.0.0.0", "--anyone") as server:
        assert server.infer("tiny", **ROW).status_code == 200


def test_nobody_may_prepare_versions_there(tmp_path: Path) -> None:
    make_bundle(tmp_path / "tiny")
    with Serving(tmp_path / "tiny") as server:
        assert server.ask("POST", "/replica/prepare", json={}).status_code == 404


def test_what_cannot_be_served_is_told_in_a_sentence(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing").endswith(f"There is no folder {tmp_path / 'nothing'}.")
    (tmp_path / "empty").mkdir()
    assert "is empty: `millrace bundle MODEL" in refusal(tmp_path / "empty")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/model.onnx").write_text("")
    assert "is neither a bundle nor a folder of bundles" in refusal(tmp_path / "full")
    make_bundle(tmp_path / "bad", wrong=True)
    assert "has no bundle that can be served: see the lines above" in refusal(tmp_path / "bad")


def test_a_port_that_is_taken_is_told_before_models_are_loaded(tmp_path: Path) -> None:
    make_bundle(tmp_path / "tiny")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", str(tmp_path / "tiny"), "--port", port])
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert f"Port {port} of 127.0.0.1 cannot be had (Address already in use)" in result.output


@pytest.fixture
def moods(tmp_path: Path) -> Path:
    """A folder with a Python model and another one beside it."""
    from millrace.models.frameworks import bundle_python
    from tests.unit.serving.python.conftest import HERE, ROWS

    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/factor.txt").write_text("2")
    bundle_python(
        "moody:Moody", HERE / "moody.py", ROWS, tmp_path / "models/moody", artifacts=tmp_path / "artifacts",
        memory=1 << 30,
    )  # fmt: skip
    make_bundle(tmp_path / "models/tiny")
    return tmp_path / "models"


def test_a_python_model_hurts_nobody_else(moods: Path) -> None:
    from tests.unit.serving.python import moody

    with Serving(moods) as server:

        def ask(x: float) -> tuple[int, str]:
            answer = server.infer("moody", x=[x], word=["w"])
            assert server.infer("tiny", **ROW).status_code == 200
            return answer.status_code, answer.text

        assert ask(4.0) == (200, '{"predictions":[{"score":[8.0],"word":["w"]}]}')
        assert server.ask("GET", "/v2/models/moody").json()["platform"] == "python"
        status, text = ask(moody.RAISE)
        assert (status, "ValueError: no such customer" in text) == (400, True)
        status, text = ask(moody.CRASH)
        assert (status, "its process ended by SIGABRT" in text) == (503, True)
        for _ in range(100):
            status, text = ask(4.0)
            if status == 200:
                break
            assert (status, "its process is being started again" in text) == (503, True)
            # Asked in haste it would be left alone for a while.
            time.sleep(0.2)
        assert status == 200
        assert server.end() == 0
