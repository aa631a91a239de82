"""A bundle of a Python model, and the two ways to run it: as on a laptop, and as on a site."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from millrace.models import Bundle
from millrace.models.frameworks import bundle_python
from millrace.serving.python.isolated import isolated_launcher
from millrace.serving.python.launch import Launcher, local_launcher
from millrace.serving.python.model import PythonModel

HERE = Path(__file__).parent
ROWS = {"x": np.array([[1.0], [2.5], [-3.0]]), "word": np.array([["a"], ["ü"], [""]], object)}


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Environments of models go with the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


@pytest.fixture(scope="session")
def moody(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    place = tmp_path_factory.mktemp("moody")
    (place / "artifacts").mkdir()
    (place / "artifacts/factor.txt").write_text("2")
    return bundle_python(
        "moody:Moody",
        HERE / "moody.py",
        ROWS,
        place / "bundle",
        artifacts=place / "artifacts",
        memory=1 << 30,
    )


class Service:
    """What systemd does with the socket on a host: a warden for each connection."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)
        self.wardens: list[subprocess.Popen[bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.place)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            descriptor = connection.fileno()
            warden = subprocess.Popen(
                [sys.executable, "-m", "millrace.serving.python.warden"],
                pass_fds=[descriptor],
                env={**os.environ, "MILLRACE_CONNECTION": str(descriptor)},
            )
            self.wardens.append(warden)
            connection.close()

    def close(self) -> None:
        self._listener.close()
        for warden in self.wardens:
            warden.wait(20)


@pytest.fixture(params=["laptop", "site"])
def launcher(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Launcher]:
    if request.param == "laptop":
        yield local_launcher()
        return
    service = Service(tmp_path / "s")
    yield isolated_launcher(service.place)
    service.close()


@pytest.fixture
def run(moody: Bundle, launcher: Launcher) -> Iterator[Callable[..., dict[str, np.ndarray]]]:
    """Asks the model: `run(x, ..., timeout=...)`."""
    model = PythonModel(moody, launcher)

    def ask(*values: float, timeout: float | None = None) -> dict[str, np.ndarray]:
        words = np.array([["w"]] * len(values), object)
        return model.run({"x": np.array(values)[:, None], "word": words}, timeout=timeout)

    yield ask
    model.close()
