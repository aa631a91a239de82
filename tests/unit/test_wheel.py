"""What `pip install .` brings is enough to make and serve bundles: a wheel in a bare environment."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.unit.serving.bundles import make_bundle
from tests.unit.serving.served import Serving

ROOT = Path(__file__).parents[2]


def required(wheel: Path) -> set[str]:
    """The distributions that a wheel needs, directly or not, without extras."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        ahead = _wanted(Parser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist", []))
    found = set()
    while ahead:
        name = re.sub(r"[-_.]+", "-", ahead.pop()).lower()
        if name not in found:
            found.add(name)
            ahead += _wanted(distribution(name).requires or [])
    return found


def _wanted(requires: list[str]) -> list[str]:
    wanted = [Requirement(text) for text in requires]
    return [each.name for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]


def link(name: str, into: Path) -> None:
    """What a distribution has installed here, linked into another environment: no registry is asked."""
    here = Path(sysconfig.get_path("purelib"))
    for top in {part.parts[0] for part in distribution(name).files or () if part.parts[0] != ".."}:
        if top != "__pycache__" and (here / top).exists() and not (into / top).exists():
            (into / top).symlink_to(here / top)


@pytest.fixture(scope="module")
def bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and what it requires, and nothing else."""
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            place,
            ROOT,
        ],
        check=True,
    )
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "millrace/cli/serve.py" in names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "playbooks/"))]
    venv.create(place / "venv", with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place / "venv")}))
    for name in required(wheel):
        link(name, packages)
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", place / "venv", "install", "--quiet", "--no-deps", wheel],
        check=True,
    )
    return place / "venv/bin"


def test_only_what_is_needed_is_there(bin: Path) -> None:
    absent = ["docker", "ansible", "yaml", "confluent_kafka", "pandas", "sklearn", "pytest"]
    code = f"import importlib.util as u; print([n for n in {absent} if u.find_spec(n)])"
    assert subprocess.run([bin / "python", "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_it_serves_and_checks_bundles(bin: Path, tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "models/tiny")
    said = subprocess.run(
        [bin / "millrace", "bundle", made.path], capture_output=True, text=True, cwd=tmp_path
    )
    assert made.digest in said.stdout, said.stderr
    with Serving(tmp_path / "models", command=[bin / "millrace"]) as server:
        assert server.infer("tiny", x=[2.5], kind=["a"], count=[1]).status_code == 200
        assert server.end() == 0


def test_what_needs_more_says_so(bin: Path, tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"")
    (tmp_path / "rows.csv").write_text("a\n1\n")
    words = [bin / "millrace", "bundle", "model.joblib", "--rows", "rows.csv", "--out", "made"]
    said = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.endswith("needs joblib, which is not installed: pip install 'millrace[sklearn]'\n")


@pytest.mark.parametrize("verb", ["--help", "--version", "serve --help", "bundle --help", "demo --help"])
def test_help_is_there(bin: Path, verb: str) -> None:
    run = subprocess.run([bin / "millrace", *verb.split()], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("verb", ["demo", "status", "fetch"])
def test_a_verb_of_a_site_names_what_it_needs(bin: Path, verb: str, tmp_path: Path) -> None:
    run = subprocess.run([bin / "millrace", verb], capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode, len(run.stderr.splitlines())) == (1, 1), run.stderr
    assert "pip install 'millrace[cli]'" in run.stderr
