"""A bundle: a directory with a model, its signature, and rows that it must reproduce.

    bundle.json         format, runtime, framework, signature, sha256 of every other file
    model.onnx          the model; or model.pmml; or Python code: see millrace.models.python
    verification.json   inputs, and the outputs that the training framework gave for them

The digest names a bundle everywhere. It is the sha256 of the canonical bundle.json, so it covers every byte.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from millrace.models.tensors import DATATYPES, Tensor, TensorData, datatype_of, decode_tensor, encode_tensor

if TYPE_CHECKING:
    from onnx import ModelProto

FORMAT = 1
MANIFEST = "bundle.json"
MODEL = "model.onnx"
DOCUMENT = "model.pmml"
VERIFICATION = "verification.json"
#: What a bundle of each runtime must hold beside its verification rows.
RUNTIMES = {
    "onnx": (MODEL,),
    "pmml": (DOCUMENT,),
    "python": ("python.json", "code.tar", "requirements.txt"),
}
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class InvalidBundle(Exception):
    """A directory that is not a bundle this version can use; the text says what is wrong with it."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of bundle.json."""

    format: int
    runtime: str
    framework: str
    created_by: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    files: dict[str, str]

    @classmethod
    def parse(cls, content: bytes) -> Manifest:
        """Read and check a bundle.json. Raises InvalidBundle."""
        try:
            manifest = msgspec.json.decode(content, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidBundle(f"{MANIFEST} is not a bundle's manifest: {error}") from error
        manifest._check()
        return manifest

    @property
    def digest(self) -> str:
        """`sha256:` and 64 hex digits."""
        return "sha256:" + _sha256(msgspec.json.encode(self, order="sorted"))

    def _check(self) -> None:
        if self.format != FORMAT:
            raise InvalidBundle(f"the bundle has format {self.format}; this Millrace reads format {FORMAT}")
        if self.runtime not in RUNTIMES:
            known = ", ".join(RUNTIMES)
            raise InvalidBundle(f"the bundle wants the runtime {self.runtime!r}; known is {known}: upgrade")
        for kind, tensors in (("input", self.inputs), ("output", self.outputs)):
            if not tensors:
                raise InvalidBundle(f"the bundle declares no {kind}")
            if len({t.name for t in tensors}) < len(tensors):
                raise InvalidBundle(f"the bundle declares an {kind} twice")
            for tensor in tensors:
                _check_signature(kind, tensor)
        for name in (*RUNTIMES[self.runtime], VERIFICATION):
            if name not in self.files:
                raise InvalidBundle(f"{MANIFEST} lists no {name}")
        for name, checksum in self.files.items():
            if not _FILE_NAME.fullmatch(name) or name == MANIFEST:
                raise InvalidBundle(f"{MANIFEST} lists a file with the unacceptable name {name!r}")
            if not _SHA256.fullmatch(checksum):
                raise InvalidBundle(f"{MANIFEST} has no sha256 for {name}")


class _Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inputs: tuple[TensorData, ...]
    outputs: tuple[TensorData, ...]


@dataclass(frozen=True)
class Verification:
    """Rows that a bundle must reproduce: arrays by name, all with the same number of rows."""

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are complete and unchanged."""

    path: Path
    manifest: Manifest

    def __fspath__(self) -> str:
        """So that a bundle may stand wherever its directory may, as in `millrace.log_model`."""
        return str(self.path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Bundle:
        """Open a bundle and check manifest, checksums and verification rows. Raises InvalidBundle."""
        path = Path(path)
        if not (path / MANIFEST).is_file():
            raise InvalidBundle(f"{path} is not a bundle: it has no {MANIFEST}")
        bundle = cls(path, Manifest.parse((path / MANIFEST).read_bytes()))
        surplus = {p.name for p in path.iterdir()} - set(bundle.manifest.files) - {MANIFEST}
        if surplus:
            raise InvalidBundle(f"{path} holds {sorted(surplus)[0]}, which its {MANIFEST} does not list")
        for name in bundle.manifest.files:
            bundle.read(name)
        bundle.verification()
        return bundle

    @property
    def digest(self) -> str:
        """`sha256:` and 64 hex digits, over every byte of the bundle."""
        return self.manifest.digest

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return self.manifest.outputs

    def read(self, name: str) -> bytes:
        """The bytes of a file of the bundle. Raises InvalidBundle when they are not those of the manifest."""
        file = self.path / name
        if file.is_symlink() or not file.is_file():
            raise InvalidBundle(f"{self.path} is incomplete, it lacks {name}: fetch or write it again")
        content = file.read_bytes()
        if (found := _sha256(content)) != self.manifest.files[name]:
            raise InvalidBundle(
                f"{name} was changed after the bundle was written: its sha256 is {found}, "
                f"{MANIFEST} says {self.manifest.files[name]}"
            )
        return content

    def verification(self) -> Verification:
        """The rows to reproduce. Raises InvalidBundle when they do not fit the signature."""
        try:
            rows = msgspec.json.decode(self.read(VERIFICATION), type=_Rows)
            inputs = {t.name: decode_tensor(t) for t in rows.inputs}
            outputs = {t.name: decode_tensor(t) for t in rows.outputs}
        except (msgspec.MsgspecError, ValueError) as error:
            raise InvalidBundle(f"{VERIFICATION} cannot be read: {error}") from error
        _check_rows("input", self.inputs, inputs)
        _check_rows("output", self.outputs, outputs)
        counts = {len(array) for array in (*inputs.values(), *outputs.values())}
        if len(counts) != 1 or 0 in counts:
            raise InvalidBundle(
                f"{VERIFICATION} needs as many rows in each tensor, at least one: {sorted(counts)}"
            )
        return Verification(inputs, outputs)


def write_bundle(
    path: str | os.PathLike[str],
    model: ModelProto | bytes,
    verification_inputs: Mapping[str, np.ndarray],
    verification_outputs: Mapping[str, np.ndarray],
    *,
    framework: str,
) -> Bundle:
    """Write a bundle into `path`, which must not exist or be empty.

    The arrays have the rows first, and the shapes and types of the model's inputs ([N, 1] for a column);
    `verification_outputs` come from the training framework itself, and name the outputs that will be served.
    `framework` says what made them, as in `scikit-learn 1.9.1`.
    Whether the model reproduces the rows is for `millrace.models.verify` to say.

    Raises InvalidBundle when signature and model do not fit, FileExistsError when `path` holds something.
    """
    from millrace.models.runtime import OnnxModel

    content = model if isinstance(model, bytes) else model.SerializeToString(deterministic=True)
    return write_files(
        path,
        "onnx",
        {MODEL: content},
        verification_inputs,
        verification_outputs,
        framework=framework,
        check=OnnxModel,
    )


def write_files(
    path: str | os.PathLike[str],
    runtime: str,
    files: Mapping[str, bytes],
    verification_inputs: Mapping[str, np.ndarray],
    verification_outputs: Mapping[str, np.ndarray],
    *,
    framework: str,
    check: Callable[[Bundle], object] = lambda bundle: None,
) -> Bundle:
    """Write a bundle of any runtime, with its `files`, as `write_bundle` does for ONNX.

    `check` sees the bundle before it is moved to `path`, and raises InvalidBundle when it cannot be used.
    """
    path = Path(path)
    if path.exists() and any(path.iterdir()):
        raise FileExistsError(f"{path} is not empty: remove it, or name another directory for the bundle")
    inputs = {name: _as_array(array) for name, array in verification_inputs.items()}
    outputs = {name: _as_array(array) for name, array in verification_outputs.items()}
    try:
        rows = _Rows(
            tuple(encode_tensor(name, array) for name, array in inputs.items()),
            tuple(encode_tensor(name, array) for name, array in outputs.items()),
        )
    except (TypeError, ValueError) as error:
        raise InvalidBundle(f"verification rows cannot be written: {error}") from error
    contents = {**files, VERIFICATION: msgspec.json.encode(rows)}
    manifest = Manifest(
        format=FORMAT,
        runtime=runtime,
        framework=framework,
        created_by=f"millrace {_own_version()}",
        inputs=tuple(Tensor(n, datatype_of(a), (-1, *a.shape[1:])) for n, a in inputs.items()),
        outputs=tuple(Tensor(n, datatype_of(a), (-1, *a.shape[1:])) for n, a in outputs.items()),
        files={name: _sha256(content) for name, content in contents.items()},
    )
    manifest._check()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as parent:
        draft = Path(parent) / path.name
        draft.mkdir()
        for name, content in contents.items():
            (draft / name).write_bytes(content)
        (draft / MANIFEST).write_bytes(
            msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"
        )
        check(Bundle.load(draft))
        if path.exists():
            path.rmdir()
        shutil.move(draft, path)
    return Bundle(path, manifest)


def _as_array(values: np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    return array.astype(object) if array.dtype.kind == "U" else array


def _check_signature(kind: str, tensor: Tensor) -> None:
    if not tensor.name:
        raise InvalidBundle(f"the bundle declares an {kind} without a name")
    if tensor.datatype not in DATATYPES:
        raise InvalidBundle(f"{kind} {tensor.name!r} has the unknown datatype {tensor.datatype!r}")
    if not tensor.shape or tensor.shape[0] != -1 or any(n < 1 for n in tensor.shape[1:]):
        raise InvalidBundle(
            f"{kind} {tensor.name!r} has the shape {list(tensor.shape)}; rows come first, as -1, then sizes"
        )


def _check_rows(kind: str, signature: tuple[Tensor, ...], arrays: dict[str, np.ndarray]) -> None:
    if set(arrays) != {t.name for t in signature}:
        raise InvalidBundle(f"{VERIFICATION} has other {kind}s than {MANIFEST} declares: {sorted(arrays)}")
    for tensor in signature:
        array = arrays[tensor.name]
        if datatype_of(array) != tensor.datatype or array.shape[1:] != tensor.shape[1:] or array.ndim == 0:
            raise InvalidBundle(
                f"{VERIFICATION} has {kind} {tensor.name!r} as {datatype_of(array)} {list(array.shape)}, "
                f"{MANIFEST} as {tensor.datatype} {list(tensor.shape)}"
            )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _own_version() -> str:
    try:
        return version("millrace")
    except PackageNotFoundError:
        return "from source"
