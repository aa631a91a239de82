"""`millrace demo --local`: the journey on this machine alone, without a site and without containers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from millrace import project
from millrace.cli import environments
from millrace.cli.models import ask_at, run_training, training_environment
from millrace.cli.screen import Line, Screen
from millrace.cli.steps import Step
from millrace.problem import Problem
from millrace.site import state_root

MODELS = ("iris", "flights")
PATIENCE = 60.0  # seconds until the server answers


class Journey:
    """From examples to answers: trained into bundles, served from a folder, asked."""

    #: Under which `lock.held` knows it.
    LOCK = "local"
    command = "./millrace demo --local"

    def __init__(self, port: int | None) -> None:
        self._port = port or 0
        # A name that no site has.
        self.directory = state_root() / ".local"
        self.models = self.directory / "models"
        self.began = time.monotonic()

    def steps(self) -> list[Step | tuple[Step, ...]]:
        """All of it, in order."""
        return [
            Step("this machine", self._check),
            training_environment(self._log("training-environment"), environments.LOCAL),
            *(Step(f"train {model}", self._training(model), self._trained(model)) for model in MODELS),
        ]

    def report(self, screen: Screen) -> None:
        """Serve the bundles, ask them, end the server, and say how to go on."""
        with _Server(self.models, self._port) as url:
            for model in MODELS:
                screen.write("")
                ask_at(url, model, screen.write)
        screen.write(
            f"""
Done after {time.monotonic() - self.began:.0f} s; the server has ended, and the bundles are in {self.models}.
Try next:
  ./millrace serve {self.models}
  ./millrace bundle {self.models}/iris/1
  rm -r {self.directory}               nothing of it is left
A whole site, where containers can run: ./millrace demo"""
        )

    def _log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def _check(self, line: Line) -> str:
        """Raises Problem when Spark could not run here."""
        home = os.environ.get("JAVA_HOME")
        java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
        if java is None:
            raise Problem("Spark needs Java: install a JRE, 17 or newer (Debian: default-jre-headless).")
        version = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
        if version.returncode:
            raise Problem(f"{java} does not run: {(version.stderr or version.stdout).strip()[:200]}")
        return f"Python {sys.version.split()[0]}, {version.stderr.splitlines()[0]}"

    def _training(self, model: str) -> Callable[[Line], str]:
        def do(line: Line) -> str:
            log = self._log(f"train-{model}")
            keep = self.directory / "kept" / model
            shutil.rmtree(keep, ignore_errors=True)
            alone = "--local" if model == "flights" else "--no-register"
            python = environments.make(environments.LOCAL, log, line.note)
            script = project.root() / "examples" / model / "train.py"
            source = {"PYTHONPATH": str(project.root() / "src"), "PYTHONUNBUFFERED": "1"}
            words: list[str | Path] = [python, script, alone, "--keep", keep]
            said = run_training(model, words, {**os.environ, **source}, log, line)
            place = self.models / model / "1"
            shutil.rmtree(place, ignore_errors=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(keep / "bundle", place)
            return said

        return do

    def _trained(self, model: str) -> Callable[[Line], str | None]:
        def done(line: Line) -> str | None:
            from millrace.models import Bundle, InvalidBundle

            try:
                return Bundle.load(self.models / model / "1").digest
            except InvalidBundle:
                return None

        return done


class _Server:
    """`millrace serve` on a folder, for a `with` statement that gets its address. Raises Problem."""

    def __init__(self, models: Path, port: int) -> None:
        self._words = [sys.executable, "-m", "millrace.cli", "serve", str(models), "--port", str(port)]
        self._said: list[str] = []
        self._listens = threading.Event()

    def __enter__(self) -> str:
        self._process = subprocess.Popen(
            self._words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._listen, daemon=True).start()
        if not self._listens.wait(PATIENCE) or not self._address():
            self.__exit__()
            raise Problem(f"The server did not start: {' '.join(self._said[-2:]) or 'it said nothing'}")
        return self._address()

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._said.append(line.strip())
            if self._address():
                break
        self._listens.set()
        self._process.stdout.read()

    def _address(self) -> str:
        """The address in its line `2 models on http://...,`."""
        words = [word.strip(",") for line in self._said for word in line.split() if " on http" in line]
        return next((word for word in words if word.startswith("http")), "")
