"""The models that are asked: iris as a tree and as a forest, iris by column, and the flights of Spark."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

from millrace import project
from millrace.cli import environments
from millrace.models import Bundle, verify, write_bundle
from millrace.models.bundle import MODEL
from millrace.models.frameworks import bundle_sklearn
from tests.bench.serving.baseline.train import fitted

COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def make(folder: Path) -> None:
    """Bundles `tree`, `forest` (one input X [N, 4]), `columns` (four inputs) and `flights` in `folder`."""
    iris = load_iris()
    rows = iris.data.astype(np.float32)
    for name, model in fitted().items():
        bundle_sklearn(model, rows, folder / name)
    flowers = pd.DataFrame(rows, columns=COLUMNS)
    bundle_sklearn(
        DecisionTreeClassifier(random_state=1).fit(flowers, iris.target), flowers, folder / "columns"
    )
    shutil.copytree(flights(), folder / "flights")


def flights() -> Path:
    """The bundle of examples/flights, trained by Spark on this machine and kept: that takes a minute."""
    places = ("examples/flights", "requirements/local.txt", "src/millrace/models/spark")
    sources = [project.root() / place for place in places]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = caches / "millrace/bench" / project.digest(sources)
    if not (kept / "bundle").exists():
        kept.mkdir(parents=True, exist_ok=True)
        log = kept / "log"
        words = [environments.make(environments.LOCAL, log), sources[0] / "train.py", "--local"]
        with log.open("ab") as file:
            subprocess.run(
                [*words, "--keep", kept / "new"],
                env={**os.environ, "PYTHONPATH": str(project.root() / "src")},
                stdout=file,
                stderr=file,
                check=True,
            )
        (kept / "new/bundle").rename(kept / "bundle")
    return kept / "bundle"


def copies(bundle: Path, folder: Path, count: int) -> None:
    """`count` models in `folder` that differ from `bundle` in their digest alone."""
    original = Bundle.load(bundle)
    model = onnx.load_from_string(original.read(MODEL))
    rows = original.verification()
    for number in range(count):
        model.doc_string = f"number {number}"
        write_bundle(
            folder / f"small-{number}",
            model,
            rows.inputs,
            rows.outputs,
            framework=original.manifest.framework,
        )
    verify(Bundle.load(folder / "small-0"))
