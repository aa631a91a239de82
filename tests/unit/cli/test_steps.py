"""Steps: what is done already is not done again, what fails stops the row."""

import io

import pytest
from rich.console import Console

from millrace.cli import steps
from millrace.cli.screen import Line, Screen
from millrace.cli.steps import Failed, Step
from millrace.problem import Problem


class Shown:
    """A screen that is no terminal, and what was written on it."""

    def __init__(self, every: float = 10.0) -> None:
        self._out = io.StringIO()
        self.screen = Screen(Console(file=self._out, soft_wrap=True), every)

    @property
    def text(self) -> str:
        return self._out.getvalue()


@pytest.fixture
def shown() -> Shown:
    return Shown()


def adding(title: str, log: list[str]) -> Step:
    return Step(title, lambda line: log.append(title) or "new", lambda line: "old" if title in log else None)


def test_steps_run_in_order_and_say_what_came_of_them(shown: Shown) -> None:
    log: list[str] = []
    steps.run([adding("one", log), adding("two", log)], shown.screen)
    assert log == ["one", "two"]
    assert shown.text.split() == ["done", "one:", "new", "done", "two:", "new"]


def test_a_second_run_does_only_what_is_not_there(shown: Shown) -> None:
    log = ["one"]
    steps.run([adding("one", log), adding("two", log)], shown.screen)
    assert log == ["one", "two"]
    assert "there  one: old" in shown.text


def test_a_problem_stops_the_row_and_is_named(shown: Shown) -> None:
    log: list[str] = []

    def refuse(line: Line) -> str:
        raise Problem("the disk is full: free some space.")

    with pytest.raises(Failed, match="the disk is full"):
        steps.run([Step("image", refuse), adding("host", log)], shown.screen)
    assert log == []
    assert "failed  image" in shown.text


def test_an_interrupted_row_goes_on_where_it_stopped(shown: Shown) -> None:
    log: list[str] = []
    interrupted = iter([True, False])

    def work(line: Line) -> str:
        if next(interrupted):
            raise KeyboardInterrupt
        log.append("two")
        return ""

    row = [adding("one", log), Step("two", work), adding("three", log)]
    with pytest.raises(KeyboardInterrupt):
        steps.run(row, shown.screen)
    assert "stopped  two" in shown.text
    steps.run(row, shown.screen)
    assert log == ["one", "two", "three"]


def test_steps_side_by_side_all_end_though_one_fails(shown: Shown) -> None:
    log: list[str] = []

    def refuse(line: Line) -> str:
        raise Problem("no way")

    with pytest.raises(Failed, match="no way"):
        steps.run([(Step("bad", refuse), adding("good", log)), adding("after", log)], shown.screen)
    assert log == ["good"]


def test_without_a_terminal_a_long_step_says_that_it_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(every=0.01)
    monkeypatch.setattr("millrace.cli.screen.QUIET", 0.0)

    def wait(line: Line) -> str:
        line.note("extracting")
        while "..." not in shown.text:
            pass
        return ""

    steps.run([Step("image", wait)], shown.screen)
    assert "...  image: 0 s, extracting" in shown.text


def test_lines_of_a_step_stay_and_are_not_markup(shown: Shown) -> None:
    def speak(line: Line) -> str:
        line.say("TASK [base : apt]")
        return "[4 changed]"

    steps.run([Step("site.yml", speak)], shown.screen)
    assert "TASK [base : apt]" in shown.text
    assert "[4 changed]" in shown.text
