"""Steps on the screen: what each does, that it is alive, how long it took."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

QUIET = 5.0
# Columns of what is no terminal: more than any table here has.
PIPE = 4096


def console_for(file: TextIO) -> Console:
    """A console that folds tables at a terminal's width; a pipe or file gets each row on one line."""
    return Console(file=file, highlight=False, width=None if file.isatty() else PIPE)


class Line:
    """One running step: its latest note, and lines it leaves on the screen."""

    def __init__(self, screen: Screen, title: str) -> None:
        self.title, self.latest, self.started = title, "", time.monotonic()
        self._screen, self.task = screen, screen.begun(title)

    def note(self, text: str) -> None:
        """What it is doing now; replaces the note before."""
        self.latest = text.strip()
        self._screen.noted(self)

    def say(self, text: str) -> None:
        """A line that stays."""
        self._screen.write(f"    {text}")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


class Screen:
    """A terminal gets a moving line for each running step; anything else a line now and then."""

    def __init__(self, console: Console | None = None, every: float = 10.0) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._every = every
        self._live = self.console.is_terminal and not self.console.is_dumb_terminal
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=self.console,
            transient=True,
        )
        self._running: list[Line] = []
        self._lock = threading.RLock()
        self._over = threading.Event()

    @contextmanager
    def shown(self) -> Iterator[Screen]:
        """While steps run."""
        self._over.clear()
        ticker = threading.Thread(target=self._tick, daemon=True)
        if self._live:
            self._progress.start()
        else:
            ticker.start()
        try:
            yield self
        finally:
            self._over.set()
            if self._live:
                self._progress.stop()

    def write(self, text: str, style: str | None = None) -> None:
        """A line that stays."""
        with self._lock:
            # Text, because a style of print would colour the moving lines as well.
            self.console.print(Text(text, style=style or ""))
            if not self._live:
                self.console.file.flush()

    def begin(self, title: str) -> Line:
        """A step has started."""
        line = Line(self, title)
        with self._lock:
            self._running.append(line)
        return line

    def end(self, line: Line, mark: str, text: str, style: str | None = None) -> None:
        """A step is over: `mark` is one word, as `done`."""
        with self._lock:
            self._running.remove(line)
            if line.task is not None:
                self._progress.remove_task(line.task)
                self._progress.refresh()
        took = f"{line.seconds:.0f} s" if line.seconds >= 1 else ""
        self.write(
            f"{mark:>7}  {line.title}{': ' if text else ''}{text}{f'  ({took})' if took else ''}", style
        )

    def begun(self, title: str) -> TaskID | None:
        """Told by a line that it exists."""
        return self._progress.add_task(title, total=None, note="") if self._live else None

    def noted(self, line: Line) -> None:
        """Told by a line that its note changed."""
        if line.task is not None:
            self._progress.update(line.task, note=line.latest[: max(10, self.console.width - 50)])

    def _tick(self) -> None:
        while not self._over.wait(self._every):
            with self._lock:
                for line in self._running:
                    if line.seconds >= QUIET:
                        what = f", {line.latest}" if line.latest else ""
                        self.write(f"    ...  {line.title}: {line.seconds:.0f} s{what}")
