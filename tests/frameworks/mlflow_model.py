"""`mlflow_model.py DIR LOCK`: DIR/bundle of a saved pyfunc."""

import sys
from pathlib import Path

import mlflow.pyfunc
import pandas as pd

from millrace.models.frameworks import bundle_mlflow

place, lock = Path(sys.argv[1]), Path(sys.argv[2])


class Doubles(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"twice": model_input["a"] * 2, "word": model_input["b"] + "!"})


mlflow.pyfunc.save_model(str(place / "saved"), python_model=Doubles(), pip_requirements=["pandas"])
rows = pd.DataFrame({"a": [1.0, 2.5], "b": ["x", "ü"]})
print(bundle_mlflow(place / "saved", rows, place / "bundle", requirements=lock).manifest.framework)
