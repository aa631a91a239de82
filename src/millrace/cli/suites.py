"""Suites of tests: what each runs, what it needs, and what came of it."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from millrace import project
from millrace.cli import program

BIN = Path(sys.executable).parent
# As one process of pytest says it, and as one of several does.
TEST = re.compile(r"^(?P<one>tests/\S+::.*?) (?:PASSED|FAILED|ERROR)|^\[gw\d+\].* (?P<several>tests/\S+::.*)")
# Tests that need no site share nothing, so each core runs some.
SHARED_OUT = ("--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal")


@dataclasses.dataclass(frozen=True)
class Result:
    """Numbers of checks, and what a person wants to read of those that failed."""

    passed: int
    failed: int
    skipped: int = 0
    why: str = ""

    @property
    def words(self) -> str:
        """As `41 passed, 1 failed`."""
        parts = [f"{self.passed} passed"]
        parts += [
            f"{number} {what}"
            for number, what in ((self.failed, "failed"), (self.skipped, "skipped"))
            if number
        ]
        return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class Suite:
    """`run` gets where to write logs, whom to tell what it does now, and the site's state directory.

    `site`: it needs one; else it runs before there is any.
    """

    name: str
    title: str
    run: Callable[[Path, Callable[[str], None], Path], Result]
    site: bool = False


def pytest_suite(name: str, title: str, *paths: str, site: bool = False) -> Suite:
    """A suite of pytest's: files or directories of tests/, and options."""
    return Suite(
        name, title, lambda logs, note, directory: run_pytest(name, paths, logs, note, directory), site
    )


def run_pytest(
    name: str, words: Sequence[str], logs: Path, note: Callable[[str], None], site: Path
) -> Result:
    """Run pytest in the clone; its output goes to `logs/NAME.log`, its report to `logs/NAME.xml`."""
    report, log = logs / f"{name}.xml", logs / f"{name}.log"
    for old in (report, log):
        old.unlink(missing_ok=True)
    variables = {**os.environ, "PYTHONUNBUFFERED": "1"}
    variables.pop("MILLRACE_SITE_DIR", None)
    if (site / "site.json").exists():
        variables["MILLRACE_SITE_DIR"] = str(site)

    def listen(line: str) -> None:
        test = TEST.match(line)
        if test:
            note(test["one"] or test["several"])

    command = [sys.executable, "-m", "pytest", "-v", "--color=no", f"--junitxml={report}", *words]
    code = program.run(command, log, listen, variables, project.root())
    if not report.exists():
        return Result(0, 1, why=f"pytest ended with {code} before its report:\n{tail(log, 20)}")
    return read_report(report, log)


def read_report(report: Path, log: Path) -> Result:
    """What a JUnit report says. A suite without a single test has failed."""
    root = ElementTree.parse(report).getroot()
    cases = list(root.iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    if not cases:
        return Result(0, 1, why=f"No test was found:\n{tail(log, 5)}")
    why = "\n".join(reasons(failed)) + (f"\nThe whole output: {log}" if failed else "")
    return Result(len(cases) - len(failed) - skipped, len(failed), skipped, why)


def reasons(failed: Sequence[ElementTree.Element]) -> Iterator[str]:
    """For each failed test its name and the end of what it said."""
    for case in failed:
        yield f"{case.get('classname', '').replace('.', '/')}::{case.get('name')}"
        for kind in ("failure", "error"):
            found = case.find(kind)
            if found is not None:
                lines = [line for line in (found.text or "").splitlines() if line.strip()]
                said = [line for line in lines if line.startswith("E ")][:12] or lines[-6:]
                yield from (f"    {line[:300]}" for line in said)


def tail(log: Path, count: int) -> str:
    """The last lines of a log."""
    return "\n".join(f"    {line}" for line in log.read_text(errors="replace").splitlines()[-count:])


# What each tool checks is in its own configuration file.
LINTERS = {
    "ruff check": ["ruff", "check", "--quiet", "."],
    "ruff format": ["ruff", "format", "--check", "--quiet", "."],
    "mypy": ["mypy"],
    "yamllint": ["yamllint", "--strict", "."],
    "ansible-lint": ["ansible-lint", "--offline", "--nocolor", "-q"],
    "mkdocs": ["mkdocs", "build", "--strict", "--quiet", "--site-dir", "{scratch}"],
}


def lint(logs: Path, note: Callable[[str], None], site: Path) -> Result:
    """Every linter, each one check."""
    failures = []
    # ansible-lint looks for roles and plugins where Ansible does.
    variables = {**os.environ, "ANSIBLE_CONFIG": str(project.playbooks() / "ansible.cfg")}
    with tempfile.TemporaryDirectory(prefix="millrace-docs-") as scratch:
        for name, words in LINTERS.items():
            note(name)
            log = logs / f"lint-{name.replace(' ', '-')}.log"
            log.unlink(missing_ok=True)
            words = [str(BIN / words[0]), *(word.replace("{scratch}", scratch) for word in words[1:])]
            if program.run(words, log, env=variables, cwd=project.root()):
                failures.append(f"{name}:\n{tail(log, 15)}")
    return Result(len(LINTERS) - len(failures), len(failures), why="\n".join(failures))


# Of the documentation: what needs no site, and what does.
DOCS = (
    "tests/docs/test_engine.py",
    "tests/docs/test_share.py",
    "tests/docs/test_site_state.py",
    "tests/docs/test_supported.py",
)
PAGES = ("tests/docs/test_pages.py", "tests/docs/test_map.py")
SUITES = (
    Suite("lint", "formats, types, rules and the docs' build", lint),
    pytest_suite("unit", "the code without a site", "tests/unit", *DOCS, *SHARED_OUT),
    pytest_suite("described", "the prediction server against its description", "tests/fuzz"),
    pytest_suite("frameworks", "bundles of Keras and PyTorch models", "tests/frameworks"),
    pytest_suite("converge", "a fresh host becomes a site", "tests/life/test_converge.py", site=True),
    pytest_suite("services", "every service of the site", "tests/site", site=True),
    pytest_suite("journey", "from training to an answered prediction", "tests/e2e", site=True),
    pytest_suite("pages", "every command of the documentation", *PAGES, site=True),
    pytest_suite("reboot", "the site after a reboot of its host", "tests/life/test_reboot.py", site=True),
    pytest_suite("again", "services and journey on the rebooted host", "tests/site", "tests/e2e", site=True),
    pytest_suite("mutation", "a broken service is noticed", "tests/life/test_mutation.py", site=True),
    pytest_suite("down", "nothing of the site is left", "tests/life/test_down.py", site=True),
)

# Run only when it is asked for: it installs gigabytes of packages.
ON_REQUEST = ("frameworks",)
