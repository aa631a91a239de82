"""Which iris is it? A random forest of scikit-learn, from measuring to the registry in a few seconds.

eval "$(millrace env)"
python examples/iris/train.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline

import millrace
from millrace.models import Bundle, verify, write_bundle

COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]  # cm


def read_flowers() -> tuple[pd.DataFrame, np.ndarray]:
    """Measures of 150 flowers in COLUMNS, and the names of their species."""
    iris = load_iris()
    return pd.DataFrame(iris.data.astype(np.float32), columns=COLUMNS), iris.target_names[iris.target]


def make_bundle(model: Pipeline, flowers: pd.DataFrame, path: Path) -> Bundle:
    """The pipeline as ONNX, a column an input, with scikit-learn's own answers for all flowers."""
    onnx_model = to_onnx(
        model,
        initial_types=[(column, FloatTensorType([None, 1])) for column in COLUMNS],
        options={"zipmap": False},
    )
    inputs = {column: flowers[[column]].to_numpy() for column in COLUMNS}
    outputs = {
        "label": model.predict(flowers),
        "probabilities": model.predict_proba(flowers).astype(np.float32),
    }
    return write_bundle(path, onnx_model, inputs, outputs, framework=f"scikit-learn {sklearn.__version__}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", default="iris", help="name in the registry")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep DIR/bundle")
    parser.add_argument("--no-register", action="store_true", help="stop before the registry")
    options = parser.parse_args()

    flowers, species = read_flowers()
    model = make_pipeline(
        ColumnTransformer([("measures", "passthrough", COLUMNS)]),
        RandomForestClassifier(n_estimators=100, random_state=1),
    )
    accuracy = float(cross_val_score(model, flowers, species, cv=5).mean())
    model.fit(flowers, species)
    print(f"{len(flowers)} flowers, 100 trees, accuracy {accuracy:.3f} in cross-validation")
    with tempfile.TemporaryDirectory() as directory:
        bundle = make_bundle(model, flowers, (options.keep or Path(directory)) / "bundle")
        verify(bundle)
        print(f"as ONNX it reproduces scikit-learn's answers for {len(flowers)} flowers: {bundle.digest}")
        if options.no_register:
            return
        # Only here: without a site there is no registry.
        import mlflow

        mlflow.set_experiment(options.name)
        with mlflow.start_run(run_name=options.name) as run:
            mlflow.log_metric("accuracy", accuracy)
            version = millrace.log_model(bundle.path, options.name, run_id=run.info.run_id)
    print(f"registered as {options.name}:{version}; next: millrace deploy {options.name}:{version}")


if __name__ == "__main__":
    main()
