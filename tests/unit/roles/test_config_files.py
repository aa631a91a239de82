"""Files of a service are put in place together: whole, valid, and only when they differ."""

from __future__ import annotations

import getpass
import grp
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
OWN = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


def place(files: list[dict[str, Any]], *arguments: str, ok: bool = True) -> dict[str, Any]:
    """Result of the task on this machine."""
    words = json.dumps({"files": [{**OWN, **file} for file in files]})
    run = subprocess.run(
        [Path(sys.executable).parent / "ansible", "localhost", "-i", "localhost,", "-c", "local",
         "-e", f"ansible_python_interpreter={sys.executable}", "-e", "greeting=hello",
         "-m", "config_files", "-a", words, *arguments],
        env={**os.environ, "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1",
             "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode == 0) == ok, run.stdout + run.stderr
    return (
        json.JSONDecoder().raw_decode(run.stdout.split("=>", 1)[1].strip())[0] if ok else {"said": run.stdout}
    )


@pytest.fixture
def template(tmp_path: Path) -> Path:
    (tmp_path / "a.j2").write_text("{{ greeting }} {{ whom }}\n")
    return tmp_path / "a.j2"


def test_templates_and_text_are_placed_once(tmp_path: Path, template: Path) -> None:
    files = [
        {"src": str(template), "vars": {"whom": "world"}, "dest": str(tmp_path / "new/a"), "mode": "0640"},
        {"content": "two\n", "dest": str(tmp_path / "b")},
    ]
    first = place(files)
    assert first["written"] == [str(tmp_path / "new/a"), str(tmp_path / "b")]
    assert (tmp_path / "new/a").read_text() == "hello world\n"
    assert (tmp_path / "new/a").stat().st_mode & 0o777 == 0o640
    second = place(files)
    assert (second["changed"], second["written"]) == (False, [])
    (tmp_path / "b").chmod(0o600)
    assert place(files)["written"] == [str(tmp_path / "b")]
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o644


def test_when_one_is_refused_none_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old\n")
    files = [
        {"content": "new\n", "dest": str(tmp_path / "a")},
        {"content": "bad\n", "dest": str(tmp_path / "b"), "validate": "grep good %s"},
    ]
    assert f"{tmp_path}/b is not valid, the old one stays" in place(files, ok=False)["said"]
    assert (tmp_path / "a").read_text() == "old\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_check_mode_tells_and_writes_nothing(tmp_path: Path) -> None:
    told = place([{"content": "new\n", "dest": str(tmp_path / "folder/a")}], "--check")
    assert told["written"] == [str(tmp_path / "folder/a")]
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_content_is_refused(tmp_path: Path) -> None:
    said = place([{"dest": str(tmp_path / "a")}], ok=False)["said"]
    assert "one of src, copy, content" in said
