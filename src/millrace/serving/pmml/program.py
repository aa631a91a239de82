"""Where a laptop has Java and the sidecar's jars; on a site the unit knows both."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

OLDEST_JAVA = 17
MAIN = "millrace.pmml.Sidecar"


class NoProgram(Exception):
    """Something is missing on this machine; the text says how to get it."""


def java() -> str:
    """The program `java`. Raises NoProgram when there is none, or one that is too old."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    wanted = f"install a JRE, {OLDEST_JAVA} or newer (Debian: apt install default-jre-headless)"
    if found is None:
        where = f"JAVA_HOME ({home})" if home else "PATH"
        raise NoProgram(f"PMML4S needs Java, and there is none in {where}: {wanted}")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise NoProgram(f"{found} is {said.strip().splitlines()[0] if said else 'no Java'}: {wanted}")
    return found


def jars() -> Path:
    """The directory with the sidecar's jars. Raises NoProgram.

    It is $MILLRACE_PMML_HOME/lib, or comes from the artifact store: the newest that a clone has fetched.
    """
    if home := os.environ.get("MILLRACE_PMML_HOME"):
        if any(Path(home).glob("lib/*.jar")):
            return Path(home) / "lib"
        raise NoProgram(f"MILLRACE_PMML_HOME is {home}, which holds no lib/*.jar")
    # Not by millrace.artifacts: that belongs to the machine that fetches, with packages of its own.
    store = Path(os.environ.get("MILLRACE_STORE") or "~/.cache/millrace").expanduser()
    fetched = sorted(store.glob("artifacts/pmml-*.json"), key=lambda path: path.stat().st_mtime)
    if not fetched:
        raise NoProgram(f"PMML4S is not in {store}: `./millrace fetch pmml` in a clone of Millrace brings it")
    place = store / "pmml" / str(json.loads(fetched[-1].read_text())["id"])
    if not place.is_dir():
        place.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            with tarfile.open(fetched[-1].with_suffix(".tar")) as tar:
                tar.extractall(Path(folder) / "pmml", filter="data")
            # Another process may have been first.
            if not place.is_dir():
                (Path(folder) / "pmml").rename(place)
    return place / "lib"
