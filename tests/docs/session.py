"""A page while it runs: one shell and one interpreter from its first block to its last."""

from __future__ import annotations

import doctest
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.docs import clone, console
from tests.docs.block import Block
from tests.docs.compare import difference
from tests.docs.files import FileTrouble, write_or_compare
from tests.docs.interpreter import Interpreter
from tests.docs.page import ROOT, Page
from tests.docs.shell import Over, Result, Shell

LOG_LINES = 20
PAUSE = 0.5
# Seconds that a command of `before:` may take.
BEFORE = 60.0


class Session:
    """Runs the blocks of a page in order; keeps what each command really printed for `update`."""

    def __init__(self, page: Page, site_directory: Path | None = None) -> None:
        self.page, self.site_directory = page, site_directory
        self._scratch = Path(tempfile.mkdtemp(prefix="millrace-page-"))
        for name in ("shell", "after"):
            (self._scratch / name).mkdir()
        self.clone = clone.copy(self._scratch)
        self.environment = clone.environment(self.clone, site_directory)
        self._shell: Shell | None = None
        self._interpreter: Interpreter | None = None
        self._update = False
        # Lines of the page that show an output, and the real one, of everything that ran.
        self.real: list[tuple[range, str]] = []
        for example in page.examples:
            example.namespace["session"] = self

    def run(self, block: Block, *, update: bool = False) -> str | None:
        """Run a block; what is wrong with it, None when all is as the page shows.

        With `update` another output is nothing wrong: it is only kept.
        """
        self._update = update
        try:
            if block.is_file:
                _, directory = self.shell.state()
                write_or_compare(block, directory, self.clone)
                return None
            return self._console(block) if block.kind == "console" else self._python(block)
        except (Over, FileTrouble, console.ConsoleError) as error:
            return f"{self.page.name}:{block.line}: {error}"

    @property
    def shell(self) -> Shell:
        if self._shell is None:
            self._shell = Shell(self.clone, self._scratch / "shell", self.environment)
            for command in self.page.head.before:
                result = self._shell.run(command, BEFORE)
                if result.status != 0:
                    raise Over(f"before: {command}\nended with {result.status}:\n{result.output}")
        return self._shell

    @property
    def interpreter(self) -> Interpreter:
        """Started with the variables and in the directory that the shell has by then."""
        if self._interpreter is None:
            variables, directory = self.shell.state()
            python = Path(sys.executable)
            if self.page.head.python != "tests":
                from millrace.cli import environments

                python = environments.make(self.page.head.python, self._scratch / "environment.log")
                variables["PYTHONPATH"] = str(ROOT / "src")
            self._interpreter = Interpreter(python, directory, self._scratch, variables)
        return self._interpreter

    def _console(self, block: Block) -> str | None:
        commands = console.commands(block.text)
        for command in commands:
            wanted = block.exit if command is commands[-1] else 0
            deadline = time.monotonic() + block.limit
            while True:
                result = self.shell.run(command.text, max(0.1, deadline - time.monotonic()))
                trouble = self._trouble(block, command.output, result, wanted)
                # With `update` too: what a page shows now is a better guess than the first answer.
                fits = not trouble and not difference(command.output, result.output, block.rules)
                if fits or not command.retry or result.status is None or time.monotonic() > deadline:
                    break
                time.sleep(PAUSE)
            lines = range(block.first + command.output_lines.start, block.first + command.output_lines.stop)
            self.real.append((lines, result.output))
            if trouble:
                return self._told(block.first + command.line, f"$ {command.text}", trouble)
        return None

    def _python(self, block: Block) -> str | None:
        if not any(line.lstrip().startswith(">>> ") for line in block.text.splitlines()):
            result = self.interpreter.run(block.text, block.limit)
            trouble = self._trouble(block, block.output or "", result, 0)
            if block.output is not None:
                self.real.append((block.output_lines, result.output))
            return self._told(block.line, block.text.rstrip(), trouble) if trouble else None
        for example in doctest.DocTestParser().get_examples(block.text):
            result = self.interpreter.run(example.source, block.limit, prompt=True)
            # A raised exception is what the page shows, or it differs.
            result = result if result.status is None else Result(result.output, 0, result.seconds)
            start = block.first + example.lineno + example.source.count("\n")
            self.real.append((range(start, start + example.want.count("\n")), result.output))
            if trouble := self._trouble(block, example.want, result, 0):
                return self._told(block.first + example.lineno, f">>> {example.source.rstrip()}", trouble)
        return None

    def _trouble(self, block: Block, shown: str, result: Result, wanted: int) -> str | None:
        if result.status is None and result.seconds >= block.limit - 0.2:
            return f"it passed its time limit of {block.limit:g} s; until then it said:\n{result.output}"
        if result.status is None:
            return f"it ended the shell or interpreter of this page:\n{result.output}"
        if result.status != wanted:
            return f"it ended with {result.status}, not with {wanted}:\n{result.output}"
        return None if self._update else difference(shown, result.output, block.rules)

    def _told(self, line: int, command: str, trouble: str) -> str:
        parts = [f"{self.page.name}:{line}", command, "", trouble.rstrip()]
        if self.page.head.service and self.site_directory:
            parts += ["", f"the last lines of the log of {self.page.head.service}:", self._log()]
        return "\n".join(parts)

    def _log(self) -> str:
        words = [sys.executable, "-m", "millrace.cli", "logs", self.page.head.service, "-n", str(LOG_LINES)]
        run = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=20, check=False
        )
        return (run.stdout + run.stderr).rstrip()

    def close(self) -> list[str]:
        """Run what the page says to run at its end, and take everything away; what went wrong in it."""
        trouble = []
        try:
            if self.page.head.after:
                # Of its own: the page's may have ended with a command that failed.
                last = Shell(self.clone, self._scratch / "after", self.environment)
                for command in self.page.head.after:
                    result = last.run(command, 120)
                    if result.status != 0:
                        trouble.append(f"after: {command}\nended with {result.status}:\n{result.output}")
                last.close()
        except Over as error:
            trouble.append(f"after: {error}")
        finally:
            if self._interpreter:
                self._interpreter.close()
            if self._shell:
                self._shell.close()
            shutil.rmtree(self._scratch, ignore_errors=True)
        return trouble


def site_directory() -> Path | None:
    """State directory of the site that pages run against: $MILLRACE_SITE_DIR."""
    named = os.environ.get("MILLRACE_SITE_DIR")
    return Path(named).resolve() if named else None
