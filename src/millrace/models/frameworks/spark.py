"""Spark ML: the saved PipelineModel's folder by our own converter, the answers by Spark."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from millrace.models.bundle import Bundle
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.extras import named, need
from millrace.models.frameworks.finish import finish
from millrace.models.frameworks.samples import MOST_ROWS, Rows, tensors, thinned

_ROW = "millrace_row"
_SQL = {"b": "boolean", "i": "bigint", "u": "bigint", "f": "double", "O": "string"}
_TYPES = {"b": "integer", "i": "integer", "u": "integer", "f": "double", "O": "string"}


def bundle_spark(
    folder: str | os.PathLike[str],
    rows: Rows,
    path: str | os.PathLike[str],
    *,
    outputs: Sequence[str] | None = None,
    answers: Rows | None = None,
    spark: Any = None,
    most_rows: int = MOST_ROWS,
) -> Bundle:
    """A bundle of the folder that PipelineModel.save wrote, on this machine.

    `rows` are raw rows, a DataFrame or a mapping of columns, in the types that the pipeline was fitted on.
    Spark answers them: the SparkSession `spark`, or one in local mode, which needs PySpark and Java here.
    Who has Spark's answers for the rows already gives them as `answers`: a column for each output.
    `outputs` chooses among the pipeline's output columns: `prediction` and `probability`, where they exist.
    Rows that Spark drops, being invalid, are left out.
    Raises CannotBundle, MissingExtra, FileExistsError, and VerificationFailed from the gate.
    """
    need("spark", "Reading a saved Spark pipeline", "pyarrow")
    from millrace.models.spark import ConversionError, convert

    folder = Path(folder)
    columns = tensors(thinned(rows, most_rows))
    wide = [name for name, array in columns.items() if array.shape[1] > 1]
    types: Any = {n: _TYPES[a.dtype.kind] for n, a in columns.items() if n not in wide}
    try:
        found = [output.name for output in convert(folder, types).graph.output]
        wanted = list(outputs) if outputs else [n for n in ("prediction", "probability") if n in found]
        model = convert(folder, types, wanted)
    except ConversionError as error:
        raise CannotBundle(str(error)) from error
    inputs = {}
    for value in model.graph.input:
        if value.name not in columns:
            raise CannotBundle(f"the sample rows have no column {value.name!r}, which the pipeline reads")
        array = columns[value.name]
        inputs[value.name] = array if array.dtype.kind == "O" else array.astype(np.float64)
    if answers is not None:
        given = tensors(thinned(answers, most_rows))
        if lost := [name for name in wanted if name not in given]:
            raise CannotBundle(f"the answers have no column {lost[0]!r}")
        return finish(path, model, inputs, {name: given[name] for name in wanted}, "Spark")
    rows_kept, given = _ask(folder, columns, wanted, spark)
    inputs = {name: array[rows_kept] for name, array in inputs.items()}
    return finish(path, model, inputs, given, named("pyspark", "Spark"))


def _ask(
    folder: Path, columns: dict[str, np.ndarray], wanted: list[str], spark: Any
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Numbers of the rows that Spark answered, and its answers for them."""
    session = spark or local_spark()
    from pyspark.ml import PipelineModel  # type: ignore[import-not-found, unused-ignore]

    try:
        model = PipelineModel.load(folder.resolve().as_uri())
        schema = ", ".join([f"`{name}` {_SQL[a.dtype.kind]}" for name, a in columns.items()])
        values = [array[:, 0].tolist() for array in columns.values()]
        records = [(*record, number) for number, record in enumerate(zip(*values, strict=True))]
        frame = session.createDataFrame(records, f"{schema}, {_ROW} bigint")
        answered = model.transform(frame).select(_ROW, *wanted).orderBy(_ROW).collect()
    finally:
        if spark is None:
            session.stop()
    kept = np.array([record[_ROW] for record in answered], np.int64)
    given = {name: np.array([_flat(record[name]) for record in answered], np.float64) for name in wanted}
    return kept, given


def local_spark() -> Any:
    """A small SparkSession of this machine alone. Raises MissingExtra, CannotBundle when it cannot start."""
    need("spark", "Asking Spark for its answers", "pyspark")
    home = Path(importlib.util.find_spec("pyspark").origin or "").parent  # type: ignore[union-attr]
    instead = "or give Spark's answers as columns of the rows"
    if not (home / "jars").is_dir() and not os.environ.get("SPARK_HOME"):
        raise CannotBundle(
            f"the PySpark installed here is the client alone: pip install 'millrace[spark]', {instead}"
        )
    java = os.environ.get("JAVA_HOME")
    if not (shutil.which("java") or (java and (Path(java) / "bin/java").exists())):
        raise CannotBundle(f"Spark needs Java, and there is none: install a JRE (17 or newer), {instead}")
    from pyspark.sql import SparkSession  # type: ignore[import-not-found, unused-ignore]

    return (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )


def _flat(value: Any) -> Any:
    """A number, or a vector's numbers."""
    return value.toArray() if hasattr(value, "toArray") else value
