"""Verbs at the command line: help with examples, lines a shell can take, one sentence for what is wrong."""

import os
import subprocess
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import millrace
from millrace.cli import app, env, predict, services
from millrace.cli.completion import Shell, script
from millrace.problem import Problem

NAMES = [
    str(command.name or command.callback.__name__) for command in app.registered_commands if command.callback
]


@pytest.fixture(autouse=True)
def no_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_every_verb_shows_examples(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0
    assert f"millrace {name}" in shown.output.split("Examples")[1]


def test_the_version_is_printed() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("millrace 0.")


def test_python_runs_the_command_by_the_name_of_the_package() -> None:
    words = [sys.executable, "-m", "millrace", "logs", "kafak"]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("millrace: ")
    assert "did you mean kafka?" in run.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status"], "There is no site demo (no site was made here yet)"),
        (["logs", "kafak"], "did you mean kafka?"),
        (["train", "flihgts"], "did you mean flights?"),
        (["predict", "iris"], "Give at least one row"),
        (["predict", "iris", "--row", "{"], "--row 1 is not JSON"),
        (["predict", "iris:1", "--row", "{}"], "say iris, or deploy iris:1 first"),
        (["deploy", "iris:"], "'iris:' is no model: say MODEL, or MODEL:VERSION"),
        (["down", "--site", "../x"], "is no name for a site"),
        (["demo", "--site", "X"], "is no name for a site"),
        (["test", "--site", "demo"], "Tests remove the site"),
        (["test", "sites"], "There is no suite and no file sites"),
        (["env", "--inventory", "/nowhere"], "There is no inventory /nowhere"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_code_1(words: list[str], said: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "millrace.cli", *words], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr.startswith("millrace: ")
    assert said in run.stderr
    assert "Traceback" not in run.stderr + run.stdout


def test_env_lines_give_a_shell_exactly_the_values(tmp_path: Path) -> None:
    values = {
        "MILLRACE_PASSWORD": "a'b \"$HOME;`x`",
        "SPARK_REMOTE": "sc://localhost:8443/;use_ssl=true;token=t",
    }
    text = env.export_lines(values) + '\nprintf "%s\\n" "$MILLRACE_PASSWORD" "$SPARK_REMOTE"'
    run = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == list(values.values())
    text += f"\n{env.unset_lines(values)}\nprintf '%s' \"${{SPARK_REMOTE-gone}}\""
    assert subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True).stdout.endswith(
        "gone"
    )


@pytest.mark.parametrize("name", ["gateway", "haproxy", "HAProxy", "haproxy.service"])
def test_a_service_is_known_by_the_names_people_use(name: str) -> None:
    assert services.find(name).unit == "haproxy.service"


def test_units_of_our_own_are_known_by_their_unit_names() -> None:
    assert services.find("millrace-spark-connect.service") == services.find("connect")


def test_rows_come_from_options_and_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('[{"a": 2}, {"a": 3}]')
    assert predict.read_rows(['{"a": 1}'], file) == [{"a": 1}, {"a": 2}, {"a": 3}]
    file.write_text('{"a": 4}')
    assert predict.read_rows([], file) == [{"a": 4}]


@pytest.mark.parametrize(
    ("texts", "said"),
    [(['{"a": 1}', "[1]"], "Row 2 is "), (["{a: 1}"], "--row 1 is not JSON"), ([], "at least one")],
)
def test_what_is_no_row_is_named(texts: list[str], said: str) -> None:
    with pytest.raises(Problem, match=said):
        predict.read_rows(texts, None)


def test_a_file_of_rows_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"rows\.json is not readable: No such file"):
        predict.read_rows([], tmp_path / "rows.json")


def test_an_answer_of_a_fallback_is_told_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def warns(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        warnings.warn(f"the fallback of {name!r} answered", millrace.FallbackWarning, stacklevel=2)
        return [{"label": "unknown"} for _ in rows]

    monkeypatch.setattr("millrace.site.find", lambda *_: None)
    monkeypatch.setattr("millrace.cli.sdk.pointed_at", nullcontext)
    monkeypatch.setattr(millrace, "predict", warns)
    run = CliRunner().invoke(app, ["predict", "iris", "--row", "{}"])
    assert run.stdout == '{"label": "unknown"}\n'
    assert run.stderr == "millrace: the fallback of 'iris' answered\n"


def test_bash_completes_verbs_for_a_millrace_that_is_not_on_the_path(tmp_path: Path) -> None:
    program = tmp_path / "millrace"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m millrace.cli "$@"\n')
    program.chmod(0o755)
    ask = (
        f"{script(Shell.bash)}\nCOMP_WORDS=(./millrace sta); COMP_CWORD=1; _millrace_completion ./millrace; "
    )
    run = subprocess.run(
        ["bash", "-c", ask + 'echo "${COMPREPLY[@]}"'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "status"


@pytest.mark.parametrize("shell", [Shell.zsh, Shell.fish])
def test_other_shells_run_what_was_typed(shell: Shell) -> None:
    text = script(shell)
    assert "_MILLRACE_COMPLETE" in text
    assert " millrace)" not in text
    assert os.linesep.join(text.splitlines()).count("words[1]}" if shell is Shell.zsh else "-opc)[1]") >= 1
