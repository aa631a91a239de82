"""A model's own packages: locked by hashes, in an environment of their own, from the bundle's wheels."""

from __future__ import annotations

import hashlib
import shutil
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import pytest

from millrace.models import Bundle, InvalidBundle
from millrace.models.frameworks import CannotBundle, bundle_python
from millrace.serving.python import environment
from millrace.serving.python.launch import Launcher
from millrace.serving.python.model import PythonModel

CODE = """
import sys
import numpy as np
class Own:
    def load(self, path):
        self.loaded = {"millrace" in sys.modules}
    def predict(self, inputs):
        try:
            from dearness import FACTOR
        except ImportError:
            FACTOR = 3.0
        return {"y": inputs["x"] * FACTOR}
"""


def wheel(folder: Path, name: str, number: str, module: str) -> Path:
    """A wheel with one module."""
    file = folder / f"{name}-{number}-py3-none-any.whl"
    information = f"{name}-{number}.dist-info"
    contents = {
        f"{name}.py": module,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*contents, f"{information}/RECORD"])
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in {**contents, f"{information}/RECORD": record}.items():
            archive.writestr(path, text)
    return file


def copy_of_numpy(folder: Path) -> Path:
    """A wheel of the numpy that is installed here, so that no registry is asked."""
    import importlib.metadata

    found = importlib.metadata.distribution("numpy")
    number = found.version
    tag = next(line[5:] for line in (found.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: "))
    file = folder / f"numpy-{number}-{tag}.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for part in found.files or ():
            place = Path(str(part.locate()))
            if ".." not in part.parts and place.is_file() and "__pycache__" not in part.parts:
                archive.write(place, str(part))
    return file


def lock(*wheels: Path) -> str:
    lines = []
    for file in wheels:
        name, number = file.name.split("-")[:2]
        lines.append(f"{name}=={number} --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    place = tmp_path_factory.mktemp("packed")
    (place / "wheels").mkdir()
    wheels = copy_of_numpy(place / "wheels"), wheel(place / "wheels", "dearness", "1.0", "FACTOR = 3.0")
    (place / "requirements.txt").write_text(lock(*wheels))
    (place / "own.py").write_text(CODE)
    return bundle_python(
        "own:Own",
        place / "own.py",
        {"x": np.arange(3.0)},
        place / "bundle",
        requirements=place / "requirements.txt",
        wheels=place / "wheels",
    )


def test_a_model_with_packages_of_its_own(packed: Bundle, launcher: Launcher) -> None:
    model = PythonModel(packed, launcher)
    assert model.run({"x": np.array([[2.0]])})["y"].tolist() == [[6.0]]
    model.close()


def test_its_environment_holds_what_is_locked_and_is_kept(packed: Bundle, tmp_path: Path) -> None:
    python = environment.python_for(packed, tmp_path)
    names = {p.name.split("-")[0] for p in python.parents[1].glob("lib/*/site-packages/*.dist-info")}
    assert {"numpy", "dearness"} <= names
    assert not names & {"millrace", "requests", "onnxruntime"}
    made = python.stat().st_ctime_ns
    assert environment.python_for(packed, tmp_path) == python
    assert python.stat().st_ctime_ns == made


def test_a_wheel_that_is_not_the_locked_one_is_refused(packed: Bundle, tmp_path: Path) -> None:
    copy = shutil.copytree(packed.path, tmp_path / "copy")
    changed = (copy / "requirements.txt").read_text().splitlines()
    changed[1] = changed[1][:-4] + "0000"
    (copy / "requirements.txt").write_text("\n".join(changed))
    with pytest.raises(InvalidBundle, match=r"requirements\.txt was changed"):
        environment.python_for(Bundle(copy, packed.manifest), tmp_path / "caches")
    files = {
        **packed.manifest.files,
        "requirements.txt": hashlib.sha256("\n".join(changed).encode()).hexdigest(),
    }
    manifest = msgspec.structs.replace(packed.manifest, files=files)
    with pytest.raises(InvalidBundle, match=r"cannot be installed: .*Hash mismatch"):
        environment.python_for(Bundle(copy, manifest), tmp_path / "caches")
    assert not list((tmp_path / "caches").glob("*/bin"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("numpy\n", "does not lock 'numpy'.*--generate-hashes"),
        ("numpy==2.0\n", "does not lock 'numpy==2.0'"),
        (f"dearness==1 --hash=sha256:{'0' * 64}\n", "has no numpy"),
    ],
)
def test_requirements_must_be_locked(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(CODE)
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(CannotBundle, match=told):
        bundle_python(
            "own:Own", tmp_path / "own.py", {"x": np.ones(2)}, tmp_path / "b", requirements=tmp_path / "r.txt"
        )


def test_a_site_wants_the_wheels_in_the_bundle(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    from millrace.serving.python import warden

    (tmp_path / "own.py").write_text(CODE)
    (tmp_path / "r.txt").write_text(f"numpy=={version('numpy')} --hash=sha256:{'0' * 64}\n")
    packed: Bundle = request.getfixturevalue("packed")
    files = {name: sum for name, sum in packed.manifest.files.items() if name != "wheels.tar"}
    without = Bundle(packed.path, msgspec.structs.replace(packed.manifest, files=files))
    with pytest.raises(InvalidBundle, match="carries no wheels"):
        warden._check(without)


def test_nothing_required_is_the_servers_own_interpreter(moody: Bundle, tmp_path: Path) -> None:
    assert environment.python_for(moody, tmp_path) == Path(sys.executable)
