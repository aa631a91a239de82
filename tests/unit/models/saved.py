"""Saved pipelines with Spark's own answers, made by make_fixtures.py."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(path.name for path in FIXTURES.iterdir())


@dataclass(frozen=True)
class Saved:
    """Inputs [N, 1] and Spark's outputs by name; `answered` [N] tells which rows Spark did not drop."""

    pipeline: Path
    types: dict[str, Any]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    answered: np.ndarray


def load(name: str) -> Saved:
    content = json.loads((FIXTURES / name / "rows.json").read_text())
    inputs = {
        column: np.array(values, object if isinstance(values[0], str) else np.float64)[:, None]
        for column, values in content["inputs"].items()
    }
    answered = np.array([value is not None for value in content["outputs"]["prediction"]])
    outputs = {
        column: np.array([value for value in values if value is not None], np.float64)
        for column, values in content["outputs"].items()
    }
    return Saved(FIXTURES / name / "pipeline", content["types"], inputs, outputs, answered)


def run(model: ModelProto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs of a model, given those of the inputs that it has."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    given = {node.name: inputs[node.name] for node in session.get_inputs()}
    return dict(zip(outputs, session.run(outputs, given), strict=True))
