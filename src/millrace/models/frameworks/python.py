"""Python code as a bundle: a class with `load` and `predict`, or an MLflow pyfunc."""

from __future__ import annotations

import importlib
import io
import os
import platform
import re
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from millrace.models.bundle import Bundle, InvalidBundle, write_files
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.extras import need
from millrace.models.frameworks.finish import checked
from millrace.models.frameworks.samples import MOST_ROWS, Rows, tensors, thinned
from millrace.models.python import CODE, ENTRY, MEMORY, REQUIREMENTS, WHEELS, Entry

_LEFT_OUT = {"__pycache__", ".git", ".venv"}


def bundle_python(
    entry: str,
    code: str | os.PathLike[str],
    rows: Rows,
    path: str | os.PathLike[str],
    *,
    artifacts: str | os.PathLike[str] | None = None,
    requirements: str | os.PathLike[str] | None = None,
    wheels: str | os.PathLike[str] | None = None,
    memory: int = MEMORY,
    most_rows: int = MOST_ROWS,
) -> Bundle:
    """A bundle of a class, `entry` being `module:Class`, in a module file or a folder of modules, `code`.

    The class is made without arguments; `load(path)` gets the folder with the files of `artifacts`, and
    `predict(inputs)` arrays [N, ...] by name (columns [N, 1]; text as objects of str), and returns arrays by
    name with the same N. It answers the sample rows here, in the environment it was made in; the gate runs it
    as a server does: in a process of its own, with nothing but `requirements`, a file locked with hashes that
    includes numpy, and `memory` bytes. `wheels`, a folder, makes it independent of a registry.
    Raises CannotBundle, FileExistsError, InvalidBundle, and VerificationFailed from the gate.
    """
    code = Path(code)
    module, _, name = entry.partition(":")
    if not module or not name:
        raise CannotBundle(f"{entry!r} does not name a class: write it as module:Class")
    inputs = tensors(thinned(rows, most_rows))
    with _importable(code if code.is_dir() else code.parent):
        try:
            model = getattr(importlib.import_module(module), name)()
            model.load(Path(artifacts) if artifacts else code.parent)
            answers = model.predict({n: array.copy() for n, array in inputs.items()})
        except Exception as error:  # whatever the model's own code raises
            raise CannotBundle(f"{entry} fails here already: {type(error).__name__}: {error}") from error
    if not isinstance(answers, dict):
        raise CannotBundle(f"{entry} gave a {type(answers).__name__}: predict returns arrays by name")
    return _write(
        path,
        Entry("class", entry, memory),
        {"code": code, **({"artifacts": Path(artifacts)} if artifacts else {})},
        inputs,
        {n: np.asarray(array) for n, array in answers.items()},
        Path(requirements) if requirements else None,
        Path(wheels) if wheels else None,
        f"Python {platform.python_version()}",
    )


def bundle_mlflow(
    folder: str | os.PathLike[str],
    rows: Rows,
    path: str | os.PathLike[str],
    *,
    requirements: str | os.PathLike[str],
    wheels: str | os.PathLike[str] | None = None,
    memory: int = MEMORY,
    most_rows: int = MOST_ROWS,
) -> Bundle:
    """A bundle of a saved MLflow model with a pyfunc flavour, whatever made it; the rest as `bundle_python`.

    A data frame of rows becomes an input for each column. What its predict returns becomes an output for each
    column, or `prediction`.
    """
    (pyfunc,) = need("mlflow", "Opening an MLflow model", "mlflow.pyfunc")
    from millrace.serving.python.child.millrace_process.loading import mlflow_predict, named

    folder = Path(folder)
    inputs = tensors(thinned(rows, most_rows))
    try:
        answers = named(mlflow_predict(pyfunc.load_model(str(folder)))(inputs))
    except Exception as error:  # whatever the model's own code raises
        raise CannotBundle(f"{folder} fails here already: {type(error).__name__}: {error}") from error
    (mlflow,) = need("mlflow", "Opening an MLflow model", "mlflow")
    lock, packed = Path(requirements), Path(wheels) if wheels else None
    entry, parts = Entry("mlflow", memory=memory), {"artifacts": folder}
    return _write(path, entry, parts, inputs, answers, lock, packed, f"MLflow {mlflow.__version__}")


def _write(
    path: str | os.PathLike[str],
    entry: Entry,
    parts: dict[str, Path],
    inputs: dict[str, np.ndarray],
    answers: dict[str, np.ndarray],
    requirements: Path | None,
    wheels: Path | None,
    framework: str,
) -> Bundle:
    files = {
        ENTRY: msgspec.json.encode(entry),
        CODE: _packed(parts),
        REQUIREMENTS: _lock(requirements),
    }
    if wheels:
        files[WHEELS] = _wheels(wheels)
    try:
        bundle = write_files(path, "python", files, inputs, answers, framework=framework)
    except InvalidBundle as error:
        raise CannotBundle(str(error)) from error
    try:
        return checked(bundle)
    except InvalidBundle as error:
        raise CannotBundle(f"as a server would run it: {error}") from error


def _lock(requirements: Path | None) -> bytes:
    """The requirements, every one pinned with a hash. Raises CannotBundle."""
    if requirements is None:
        return b""
    content = requirements.read_text()
    wanted = re.sub(r"\\\n", " ", content)
    for line in wanted.splitlines():
        line = line.split(" #")[0].strip()
        if line and not line.startswith("#") and ("==" not in line or "--hash=sha256:" not in line):
            raise CannotBundle(
                f"{requirements} does not lock {line.split()[0]!r}: "
                "uv pip compile --generate-hashes requirements.in -o requirements.txt"
            )
    if not re.search(r"^numpy==", wanted, re.M):
        raise CannotBundle(f"{requirements} has no numpy, in which rows come: add it and lock again")
    return content.encode()


def _packed(parts: dict[str, Path]) -> bytes:
    """A plain archive; equal files make equal bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, place in parts.items():
            if not place.exists():
                raise CannotBundle(f"there is no {place}")
            files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
            base = place if place.is_dir() else place.parent
            for file in files:
                inside = file.relative_to(base)
                if not _LEFT_OUT.intersection(inside.parts):
                    _add(tar, f"{name}/{inside.as_posix()}", file)
    return out.getvalue()


def _wheels(folder: Path) -> bytes:
    found = sorted(folder.glob("*.whl"))
    if not found:
        raise CannotBundle(
            f"{folder} holds no wheels: pip download --require-hashes -r requirements.txt -d {folder}"
        )
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for file in found:
            _add(tar, file.name, file)
    return out.getvalue()


def _add(tar: tarfile.TarFile, name: str, file: Path) -> None:
    info = tarfile.TarInfo(name)
    info.size = file.stat().st_size
    info.mode = 0o644
    with file.open("rb") as content:
        tar.addfile(info, content)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Modules of a folder come first; those that were imported from it are forgotten afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))
        for name in set(sys.modules) - before:
            origin: Any = getattr(sys.modules[name], "__file__", None)
            if origin and Path(origin).is_relative_to(folder.resolve()):
                del sys.modules[name]
