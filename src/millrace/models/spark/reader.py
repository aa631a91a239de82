"""Reads the folder that Spark's PipelineModel.save writes: JSON metadata and parquet data of each stage."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from millrace.models.spark.errors import ConversionError, UnsupportedStage

#: The second is what a client of Spark Connect writes.
PIPELINES = {"org.apache.spark.ml.PipelineModel", "pyspark.ml.pipeline.PipelineModel"}


@dataclass(frozen=True)
class Stage:
    """A fitted stage, as saved."""

    path: Path
    metadata: dict[str, Any]

    @property
    def class_name(self) -> str:
        return str(self.metadata["class"])

    @property
    def uid(self) -> str:
        return str(self.metadata["uid"])

    @cached_property
    def params(self) -> dict[str, Any]:
        """Parameters by name; those that were set go before the defaults."""
        return {**self.metadata.get("defaultParamMap", {}), **self.metadata["paramMap"]}

    @cached_property
    def columns(self) -> list[tuple[str, str]]:
        """Pairs of input and output column, of stages that have one or several."""
        if self.params.get("inputCols"):
            return list(zip(self.params["inputCols"], self.params["outputCols"], strict=True))
        return [(self.params["inputCol"], self.params["outputCol"])]

    def number(self, param: str) -> float:
        """A numeric parameter; Spark writes NaN and infinities as text."""
        return to_number(self.params[param])

    def rows(self, part: str = "data") -> list[dict[str, Any]]:
        """All rows of the stage's parquet folder `part`."""
        files = sorted((self.path / part).glob("*.parquet"))
        if not files:
            raise ConversionError(f"{self.path} has no {part}: the saved pipeline is incomplete")
        # Here, because what only shares the converter's parts needs no parquet.
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        return [row for file in files for row in pq.read_table(file).to_pylist()]

    def row(self) -> dict[str, Any]:
        """The only row of the stage's data."""
        rows = self.rows()
        if len(rows) != 1:
            raise self.unsupported(f"its data has {len(rows)} rows instead of one")
        return rows[0]

    def unsupported(self, reason: str) -> UnsupportedStage:
        return UnsupportedStage(self.class_name, self.uid, reason)

    def choice(self, param: str, *known: str) -> str:
        """A parameter that must have one of the known values."""
        value = str(self.params[param])
        if value not in known:
            raise self.unsupported(f"{param}={value!r} is not known")
        return value

    def refuse(self, *params: str) -> None:
        """Raise UnsupportedStage if one of the parameters is set."""
        for param in params:
            if self.params.get(param) not in (None, ""):
                raise self.unsupported(f"its parameter {param} is set to {self.params[param]}")


def read_stages(path: str | os.PathLike[str]) -> list[Stage]:
    """The stages of a saved PipelineModel in order, nested pipelines unfolded; or a single saved stage."""
    path = Path(path)
    files = sorted((path / "metadata").glob("part-*"))
    if not files:
        raise ConversionError(f"{path} is no saved Spark model: it has no metadata/part-* file")
    try:
        metadata = json.loads(files[0].read_text())
    except ValueError as error:
        raise ConversionError(f"{files[0]} is not JSON: {error}") from error
    if metadata["class"] not in PIPELINES:
        return [Stage(path, metadata)]
    uids = metadata["paramMap"]["stageUids"]
    width = len(str(len(uids)))
    return [
        stage for i, uid in enumerate(uids) for stage in read_stages(path / "stages" / f"{i:0{width}d}_{uid}")
    ]


def to_number(value: Any) -> float:
    """A number as Spark's JSON has it: 1.5, "NaN", "Inf", "-Infinity"."""
    return float(value)


def to_vector(value: dict[str, Any]) -> np.ndarray:
    """Spark's vector struct as doubles [size]."""
    if value["type"] == 1:
        return np.array(value["values"], np.float64)
    dense = np.zeros(value["size"])
    dense[value["indices"]] = value["values"]
    return dense


def to_matrix(value: dict[str, Any]) -> np.ndarray:
    """Spark's matrix struct as doubles [rows, columns]."""
    shape = (value["numRows"], value["numCols"])
    if value["type"] == 1:
        values = np.array(value["values"], np.float64)
        return values.reshape(shape, order="C" if value["isTransposed"] else "F")
    dense = np.zeros(shape)
    # Compressed columns, or compressed rows when transposed.
    pointers, indices, values = value["colPtrs"], value["rowIndices"], value["values"]
    for major in range(len(pointers) - 1):
        for k in range(pointers[major], pointers[major + 1]):
            at = (major, indices[k]) if value["isTransposed"] else (indices[k], major)
            dense[at] = values[k]
    return dense
