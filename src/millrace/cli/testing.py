"""A run of tests: the site that they need, suite by suite, and the sum."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

import docker

from millrace import project
from millrace.box import engine, host
from millrace.cli import steps
from millrace.cli.making import NODE, Making
from millrace.cli.screen import Line, Screen
from millrace.cli.steps import Step
from millrace.cli.suites import ON_REQUEST, SUITES, Result, Suite, pytest_suite
from millrace.problem import Problem
from millrace.site import state_root


class Testing:
    """All suites on a fresh site, or those that were asked for on the one that is there."""

    def __init__(self, site: str, keep: bool, what: Sequence[str]) -> None:
        """Raises Problem for a suite or a path that does not exist."""
        self.site, self.what = site, what
        self.keep = keep or bool(what)
        self.suites = [s for s in choose(what) if not (keep and s.name == "down")]
        self._fresh = any(suite.name == "converge" for suite in self.suites)
        self.logs = state_root() / f"{site}-logs"
        self._screen = Screen()
        self._results: list[Result] = []

    def run(self) -> Result:
        """The sum of all results. Raises Problem when the site cannot be made."""
        self.logs.mkdir(parents=True, exist_ok=True)
        alone = [suite for suite in self.suites if not suite.site]
        on_site = [suite for suite in self.suites if suite.site]
        for suite in alone:
            self._run(suite)
        if on_site:
            self._make_site()
        for number, suite in enumerate(on_site):
            result = self._run(suite)
            if suite.name == "converge" and result.failed:
                rest = ", ".join(s.name for s in on_site[number + 1 :] if s.name != "down")
                self._screen.write(f"        not run without a site: {rest}", "red")
                break
        if on_site and not self.keep:
            self._remove(engine.connect())
            engine.end_own(engine.connect())
        return Result(sum(r.passed for r in self._results), sum(r.failed for r in self._results))

    def _run(self, suite: Suite) -> Result:
        results: list[Result] = []

        def do(line: Line) -> str:
            result = suite.run(self.logs, line.note, state_root() / self.site)
            results.append(result)
            self._results.append(result)
            if result.failed:
                raise Problem(result.why)
            return result.words

        try:
            steps.run([Step(f"{suite.name}, {suite.title}", do)], self._screen)
        except steps.Failed as problem:
            self._screen.write(f"        {results[0].words}\n{problem}")
        return results[0]

    def _make_site(self) -> None:
        """A host for the suite that converges it, else a converged site."""
        if self._fresh:
            # An engine that starts brings back the hosts of a run that was interrupted.
            steps.run([Step("what an earlier run left", self._clean)], self._screen)
        there = host.find(engine.connect(), self.site, NODE) if engine.answering() else None
        making = Making(self.site, None if there else free_port(), None, ())
        steps.run(making.host_steps() if self._fresh else making.site_steps(), self._screen)

    def _clean(self, line: Line) -> str:
        gone = self._remove(engine.start(line.note))
        return f"{', '.join(gone)} removed" if gone else "nothing"

    def _remove(self, client: docker.DockerClient) -> list[str]:
        shutil.rmtree(state_root() / self.site, ignore_errors=True)
        return host.remove_all(client, self.site)


def choose(what: Sequence[str]) -> list[Suite]:
    """Suites by name; paths become a suite of their own. Raises Problem."""
    known = {suite.name: suite for suite in SUITES}
    paths = [word for word in what if word not in known]
    for path in paths:
        if not (project.root() / path.split("::")[0]).exists():
            raise Problem(
                f"There is no suite and no file {path}. Suites: {', '.join(known)}; "
                "files as tests/site/test_dns.py."
            )
    chosen = (
        [known[word] for word in what if word in known]
        if what
        else [suite for suite in SUITES if suite.name not in ON_REQUEST]
    )
    return (
        [*chosen, pytest_suite("files", "as asked for", *paths, site=needs_site(paths))] if paths else chosen
    )


def needs_site(paths: Sequence[str]) -> bool:
    """Whether any of these tests asks a live site."""
    alone = ("tests/unit", "tests/fuzz", "tests/frameworks")
    return not all(any(Path(path).is_relative_to(place) for place in alone) for path in paths)


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
