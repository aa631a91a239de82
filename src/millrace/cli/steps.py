"""A row of steps that knows what is done already, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence

from millrace.cli import program
from millrace.cli.screen import Line, Screen
from millrace.problem import Problem


@dataclasses.dataclass(frozen=True)
class Step:
    """`do` does it and returns a few words on what came of it; `done` returns some if nothing is to do.

    `done` looks at the real state, never at a mark of an earlier run alone.
    """

    title: str
    do: Callable[[Line], str]
    done: Callable[[Line], str | None] | None = None


class Failed(Problem):
    """A step's Problem, with the name of the step."""


def run(steps: Sequence[Step | tuple[Step, ...]], screen: Screen) -> None:
    """Run steps in order, those of a tuple side by side. Raises Failed for the first that cannot be done."""
    with screen.shown():
        for step in steps:
            if isinstance(step, tuple):
                _together(step, screen)
            else:
                _one(step, screen)


def _one(step: Step, screen: Screen) -> None:
    line = screen.begin(step.title)
    try:
        there = step.done(line) if step.done else None
        if there is not None:
            screen.end(line, "there", there, "dim")
            return
        text = step.do(line)
    except Problem as problem:
        screen.end(line, "failed", "", "red")
        raise Failed(str(problem)) from problem
    except BaseException:
        screen.end(line, "stopped", "", "yellow")
        raise
    screen.end(line, "done", text)


def _together(steps: tuple[Step, ...], screen: Screen) -> None:
    """All run to their end, so that the work of one is not lost by the failure of another."""
    errors: list[BaseException] = []

    def work(step: Step) -> None:
        try:
            _one(step, screen)
        except BaseException as error:
            errors.append(error)

    # Daemons: an interrupted main thread does not wait for them.
    threads = [threading.Thread(target=work, args=(step,), daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    except BaseException:
        # Interrupted: steps whose programs end can still tidy up after themselves.
        program.end_all()
        for thread in threads:
            thread.join(10)
        raise
    if errors:
        raise errors[0]
