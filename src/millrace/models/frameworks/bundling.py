"""A bundle from files: what `millrace bundle` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from millrace.models import frameworks
from millrace.models.bundle import Bundle
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.extras import need
from millrace.models.frameworks.files import kind_of, read_model, read_pickle, read_rows
from millrace.models.frameworks.samples import MOST_ROWS
from millrace.models.python import MEMORY


@dataclass(frozen=True)
class PythonCode:
    """What a Python model comes with: see `bundle_python`. `entry` is a class, or `module:Class`."""

    entry: str = ""
    artifacts: Path | None = None
    requirements: Path | None = None
    wheels: Path | None = None
    memory: int = MEMORY


def bundle_file(
    model: Path,
    rows: Path | None,
    path: Path,
    *,
    kind: str | None = None,
    outputs: Sequence[str] = (),
    made_by: str | None = None,
    code: PythonCode | None = None,
    most_rows: int = MOST_ROWS,
    report: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """A bundle in `path` of the model in a file or folder, with the sample rows of another file.

    `kind` is one of `files.KINDS`, else told by the file. `outputs` names what a Keras or PyTorch model
    gives, or chooses columns of a Spark pipeline. Answers of `made_by`, the framework that trained the model,
    stand beside the inputs for ONNX, and may for PMML and Spark. `code` is for Python and MLflow models.
    `report` is told what was chosen, where there is a choice, and which columns lose digits.
    Raises CannotBundle, MissingExtra, FileExistsError, VerificationFailed.
    """
    kind = kind or kind_of(model)
    found: Any = None
    if kind == "pickle":
        kind, found = read_pickle(model)
    if kind == "pmml":
        sample = None if rows is None else read_rows(rows)
        return frameworks.bundle_pmml(
            model, path, sample, framework=made_by, most_rows=most_rows, report=report
        )
    if rows is None:
        raise CannotBundle("sample rows are needed, like those that the model will be asked: --rows FILE")
    sample = read_rows(rows)
    if kind == "onnx":
        return _onnx(model, sample, path, made_by, most_rows)
    if kind in ("python", "mlflow"):
        return _python(kind, model, sample, path, code or PythonCode(), most_rows)
    if kind == "spark":
        return _spark(model, sample, path, outputs, most_rows)
    found = read_model(kind, model) if found is None else found
    if kind in ("keras", "torch"):
        make = frameworks.bundle_keras if kind == "keras" else frameworks.bundle_torch
        given: Any = sample
        if isinstance(sample, Mapping) and rows.suffix != ".npz":
            given = _matrix(sample)
        named = {"outputs": outputs} if outputs else {}
        made = make(found, given, path, most_rows=most_rows, **named)
    else:
        simple = {
            "sklearn": frameworks.bundle_sklearn,
            "xgboost": frameworks.bundle_xgboost,
            "lightgbm": frameworks.bundle_lightgbm,
        }
        made = simple[kind](found, sample, path, most_rows=most_rows)
    if rounded := _rounded(sample, made):
        report(f"rounded to FP32, which is what the converted model takes: {', '.join(rounded)}")
    return made


def _rounded(sample: Any, made: Bundle) -> list[str]:
    """Columns, or inputs, of the rows with numbers that are no longer the same for the bundle."""
    arrays = sample if isinstance(sample, Mapping) else {made.inputs[0].name: sample}
    datatypes = {tensor.name: tensor.datatype for tensor in made.inputs}
    return [
        name
        for name, values in arrays.items()
        # Columns that are no inputs of their own make up the only one.
        if datatypes.get(name, made.inputs[0].datatype) == "FP32"
        and values.dtype.kind in "fiu"
        and not np.array_equal(
            values.astype(np.float64), values.astype(np.float32).astype(np.float64), equal_nan=True
        )
    ]


def _onnx(model: Path, sample: Any, path: Path, made_by: str | None, most_rows: int) -> Bundle:
    from onnx import load_model

    if not isinstance(sample, Mapping):
        raise CannotBundle("an ONNX model's rows need columns by name: its inputs, and the outputs' answers")
    if made_by is None:
        raise CannotBundle("say which program gave the answers among the rows: --made-by 'PyTorch 2.9'")
    try:
        names = [output.name for output in load_model(model, load_external_data=False).graph.output]
    except Exception as error:  # protobuf's errors, by whichever implementation is installed
        raise CannotBundle(f"{model} is no ONNX model: {error}") from error
    answers = {name: sample[name] for name in names if name in sample}
    if not answers:
        raise CannotBundle(
            "the rows hold no answers of the training framework: add columns named as the model's outputs, "
            f"{', '.join(names)}"
        )
    inputs = {name: values for name, values in sample.items() if name not in answers}
    return frameworks.bundle_onnx(model, inputs, answers, path, framework=made_by, most_rows=most_rows)


def _spark(model: Path, sample: Any, path: Path, outputs: Sequence[str], most_rows: int) -> Bundle:
    if not isinstance(sample, Mapping):
        raise CannotBundle("a Spark pipeline's rows need columns by name")
    wanted = list(outputs) or ["prediction", "probability"]
    answers = {name: sample[name] for name in wanted if name in sample}
    inputs = {name: values for name, values in sample.items() if name not in answers}
    return frameworks.bundle_spark(
        model, inputs, path, outputs=list(answers) or outputs, answers=answers or None, most_rows=most_rows
    )


def _python(kind: str, model: Path, sample: Any, path: Path, code: PythonCode, most_rows: int) -> Bundle:
    more: dict[str, Any] = {"wheels": code.wheels, "memory": code.memory, "most_rows": most_rows}
    if kind == "mlflow":
        if code.requirements is None:
            raise CannotBundle(
                "an MLflow model needs its packages locked: uv pip compile --generate-hashes "
                f"{model}/requirements.txt -o locked.txt, and --requirements locked.txt"
            )
        if isinstance(sample, Mapping):
            (pandas,) = need("mlflow", "Rows with columns", "pandas")
            sample = pandas.DataFrame(dict(sample))
        return frameworks.bundle_mlflow(model, sample, path, requirements=code.requirements, **more)
    entry = code.entry if ":" in code.entry else f"{model.stem}:{code.entry}"
    if not code.entry:
        raise CannotBundle(
            "say which class is the model: --entry Class, or --entry module:Class for a folder"
        )
    return frameworks.bundle_python(
        entry, model, sample, path, artifacts=code.artifacts, requirements=code.requirements, **more
    )


def _matrix(sample: Mapping[str, np.ndarray]) -> np.ndarray:
    """Columns of numbers as one matrix of 32-bit numbers, which is what such models take."""
    for name, values in sample.items():
        if values.dtype.kind not in "fiub":
            raise CannotBundle(f"column {name!r} is no number: give several inputs as arrays in an .npz file")
    return np.stack([values.astype(np.float32) for values in sample.values()], axis=1)
