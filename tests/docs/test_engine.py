"""The engine, on pages that must pass and on pages that must fail."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from sybil.example import SybilFailure

from tests.docs.block import PageError
from tests.docs.page import ROOT, Page
from tests.docs.runner import NoSite, Runner, selected
from tests.docs.update import renewed

Write = Callable[[str], Page]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Makes a page of a text; `~~~` stands for the fences of blocks."""

    def write(text: str) -> Page:
        path = tmp_path / "page.md"
        path.write_text(text.replace("~~~", "```"))
        return Page(path)

    return write


def outcome(page: Page) -> list[str | None]:
    """What is wrong with each block of a page that needs no site, then with what it left."""
    runner = Runner(None)
    found: list[str | None] = []
    for example in page.examples:
        if not example.parsed.runs:
            continue
        try:
            runner.run(page, example)
            found.append(None)
        except SybilFailure as failure:
            found.append(failure.result)
    return [*found, *runner.left(page)]


@pytest.mark.parametrize(
    "text",
    [
        "~~~console\n$ echo one\none\n$ printf 'a\\nb\\n'\na\nb\n~~~\n",
        "~~~console\n$ x=kept; cd docs\n~~~\n\n~~~console\n$ echo $x; basename $PWD\nkept\ndocs\n~~~\n",
        "~~~console\n$ export SEEN=yes\n~~~\n\n~~~python\n>>> import os; os.environ['SEEN']\n'yes'\n~~~\n",
        "~~~python\na = 20\n~~~\n\n~~~python\nprint(a + 1)\n~~~\n\n~~~text\n21\n~~~\n",
        "~~~python\n>>> 1 / 0\nTraceback (most recent call last):\n  ...\nZeroDivisionError: ...\n~~~\n",
        "~~~console\n$ printf '%s\\n' \\\n    two \\\n    lines\ntwo\nlines\n$ echo a \\\n  b\na b\n~~~\n",
        "~~~console\n$ cat\n$ echo not swallowed\nnot swallowed\n~~~\n",
        "<!-- exit: 3 -->\n\n~~~console\n$ (exit 3)\n~~~\n",
        "<!-- normalise: times, digests -->\n\n"
        "~~~console\n$ echo 2026-01-02T03:04:05Z $(sha256sum < README.md)\n2020-02-02T02:02:02Z "
        + "0" * 64 + " -\n~~~\n",
        '~~~yaml title="new/file.yml"\na: 1\n~~~\n\n~~~console\n$ cat new/file.yml\na: 1\n~~~\n',
        '~~~toml title="pyproject.toml"\n[project]\nname = "millrace"\n...\nreadme = "README.md"\n~~~\n',
        "~~~console\n$ (sleep 1; touch there) &\n$ cat there 2>&1 # retry\n~~~\n",
        "---\nbefore: ['x=set']\n---\n~~~console\n$ echo $x\nset\n~~~\n",
        '~~~python title="made.py"\nprint(3)\n~~~\n\n~~~console\n$ .venv/bin/python made.py\n3\n~~~\n',
        "1. In a list:\n\n    ~~~console\n    $ echo deep\n    deep\n    ~~~\n",
    ],
)  # fmt: skip
def test_a_page_that_is_right_passes(written: Write, text: str) -> None:
    assert set(outcome(written(text))) == {None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("~~~console\n$ echo one\ntwo\n~~~\n", "-two\n+one"),
        ("~~~console\n$ echo one\n~~~\n", "+one"),
        ("~~~console\n$ true\none\n~~~\n", "-one"),
        ("~~~console\n$ echo a b\na...c\n~~~\n", "+a b"),
        ("~~~console\n$ echo one\n$ (exit 3)\n~~~\n", "+one"),
        ("~~~console\n$ (exit 3)\n~~~\n", "page.md:2\n$ (exit 3)\n\nit ended with 3, not with 0"),
        ("<!-- exit: 3 -->\n\n~~~console\n$ true\n~~~\n", "it ended with 0, not with 3"),
        ("<!-- limit: 1 s -->\n\n~~~console\n$ echo h; sleep 9\n~~~\n", "of 1 s; until then it said:\nh"),
        ("<!-- limit: 1 s -->\n\n~~~console\n$ false # retry\n~~~\n", "nothing says that `false` only reads"),
        ("<!-- limit: 1 s -->\n\n~~~console\n$ cat nowhere # retry\n~~~\n", "it ended with 1"),
        ("<!-- limit: 1 s -->\n\n~~~python\nwhile True: pass\n~~~\n", "time limit of 1 s"),
        ("~~~console\n$ exit 0\n~~~\n", "it ended the shell"),
        ("~~~console\n$ if\n~~~\n", "syntax error"),
        ("~~~console\necho one\n~~~\n", "begins with `$ `"),
        ("~~~python\n>>> 1 + 1\n3\n~~~\n", "-3\n+2"),
        ("~~~python\n>>> 1 / 0\n1\n~~~\n", "ZeroDivisionError"),
        ("~~~python\nraise ValueError('no')\n~~~\n", "ValueError: no"),
        ("~~~python\nprint(1)\n~~~\n\n~~~text\n2\n~~~\n", "-2\n+1"),
        ("~~~python\nprint(1)\n~~~\n", "+1"),
        ('~~~yaml title="playbooks/site.yml"\n- hosts: nobody\n~~~\n', "is not as shown"),
        ('~~~ini title="/etc/passwd"\na\n~~~\n', "outside the clone"),
        ('~~~ini title="../../x"\na\n~~~\n', "outside the clone"),
        ("---\nbefore: ['false']\n---\n~~~console\n$ true\n~~~\n", "before: false\nended with 1"),
        ("---\nafter: ['false']\n---\n~~~console\n$ true\n~~~\n", "after: false\nended with 1"),
        ("<!-- normalise: times -->\n\n~~~console\n$ echo 2026-01-02\n2020-02-02\n~~~\n", "+2026-01-02"),
    ],
)  # fmt: skip
def test_a_page_that_is_wrong_fails_and_says_where_and_how(written: Write, text: str, said: str) -> None:
    found = outcome(written(text))
    assert said in "\n".join(filter(None, found))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- normalise: tymes -->\n\n~~~console\n$ true\n~~~\n", "there is no rule tymes"),
        ("text\n\n<!-- notrun: a reason -->\n\n~~~console\n$ true\n~~~\n", "known are not run, limit"),
        ("<!-- not run: no -->\n\n~~~console\n$ true\n~~~\n", "say why, in words"),
        ("<!-- limit: soon -->\n\n~~~console\n$ true\n~~~\n", "no number of seconds"),
        ("<!-- exit: 1 -->\n\n~~~text\na\n~~~\n", "does not run"),
        ("~~~bash\ntrue\n~~~\n", "write console"),
        ("~~~console\n$ echo {{ name }}\n~~~\n", "filled in while the pages are built"),
        ("---\nsite: mars\n---\n~~~console\n$ true\n~~~\n", "Invalid enum value 'mars'"),
        ("---\nsit: none\n---\n", "unknown field `sit`"),
        ("---\nsite: none\nleaves: a mess\n---\n", "$.leaves"),
    ],
)
def test_a_page_that_makes_no_sense_is_refused_with_its_line(written: Write, text: str, said: str) -> None:
    with pytest.raises(PageError) as refused:
        assert written(text).examples
    assert said in str(refused.value)
    assert "page.md:" in str(refused.value)


def test_after_a_failure_the_rest_of_the_page_does_not_run(written: Write, tmp_path: Path) -> None:
    page = written(f"~~~console\n$ false\n~~~\n\n~~~console\n$ touch {tmp_path}/ran\n~~~\n")
    _, second = outcome(page)
    assert second == f"not run, because {page.name}:1 failed"
    assert not (tmp_path / "ran").exists()


def test_a_block_asked_for_alone_runs_after_those_before_it(written: Write) -> None:
    page = written("~~~console\n$ x=1\n~~~\n\n~~~console\n$ echo $x\n1\n~~~\n")
    Runner(None).run(page, page.examples[1])


def test_the_last_commands_run_after_a_failure_too(written: Write, tmp_path: Path) -> None:
    page = written(f"---\nafter: ['touch {tmp_path}/ran']\n---\n~~~console\n$ exit 1\n~~~\n")
    outcome(page)
    assert (tmp_path / "ran").exists()


def test_a_page_leaves_no_process_and_no_file_behind(written: Write, tmp_path: Path) -> None:
    page = written(
        f"~~~console\n$ sleep 321 & echo $! > {tmp_path}/child\n$ pwd > {tmp_path}/where; touch left\n~~~\n"
    )
    assert set(outcome(page)) == {None}
    child, where = ((tmp_path / name).read_text().strip() for name in ("child", "where"))
    status = Path("/proc", child, "status")
    assert not status.exists() or "State:\tZ" in status.read_text()
    assert not Path(where).exists()
    assert Path(where) != ROOT


def test_nothing_of_an_earlier_client_environment_reaches_a_page(
    written: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_GATEWAY", "https://elsewhere")
    assert outcome(written('~~~console\n$ echo "<$MILLRACE_GATEWAY>"\n<>\n~~~\n')) == [None]


def test_a_page_is_refused_without_the_site_it_needs(written: Write) -> None:
    page = written("---\nsite: single-node\n---\n~~~console\n$ true\n~~~\n")
    with pytest.raises(NoSite, match="MILLRACE_SITE_DIR"):
        selected([page], None, throwaway=False, named=True)
    assert selected([page], None, throwaway=False, named=False) == []


def test_update_writes_what_differs_and_keeps_what_fits(written: Write) -> None:
    page = written(
        "~~~console\n$ echo one two\none ...\n$ echo new\nold\nold\n$ echo more\n~~~\n\n"
        "~~~python\n>>> 1 + 1\n3\n~~~\n\n~~~python\nprint('b')\n~~~\n\n~~~text\na\n~~~\nend\n"
    )
    text, trouble = renewed(page, None)
    assert trouble == []
    assert text.replace("```", "~~~") == (
        "~~~console\n$ echo one two\none ...\n$ echo new\nnew\n$ echo more\nmore\n~~~\n\n"
        "~~~python\n>>> 1 + 1\n2\n~~~\n\n~~~python\nprint('b')\n~~~\n\n~~~text\nb\n~~~\nend\n"
    )


def test_update_stops_at_a_command_that_fails(written: Write) -> None:
    page = written("~~~console\n$ echo a\nb\n$ false\n$ echo c\nd\n~~~\n")
    text, trouble = renewed(page, None)
    assert "ended with 1" in trouble[0]
    assert "echo a\na\n" in text
    assert "echo c\nd\n" in text


def test_junit_names_page_and_line(written: Write, tmp_path: Path) -> None:
    page = written("~~~console\n$ true\n~~~\n\n~~~console\n$ echo no\nyes\n~~~\n")
    report = tmp_path / "report.xml"
    words = ["-q", "-p", "no:cacheprovider", "tests/docs/test_pages.py"]
    words += [f"--page={page.path}", f"--junitxml={report}"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1, run.stdout
    cases = ET.parse(report).getroot().iter("testcase")
    assert [(case.get("name"), len(case)) for case in cases] == [
        (f"test_block[{page.name}:1]", 0),
        (f"test_block[{page.name}:5]", 1),
        (f"test_block[{page.name}: leaves the site as it found it]", 0),
    ]
    assert "-yes\n+no" in run.stdout
