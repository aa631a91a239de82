"""The way it is usually done: a pickled scikit-learn model behind one route of flask, speaking V2.

gunicorn --chdir DIRECTORY app:app, with MODELS naming the folder of the pickles.
"""

import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from flask import Flask, request

app = Flask(__name__)
models = {path.stem: joblib.load(path) for path in Path(os.environ["MODELS"]).glob("*.joblib")}


@app.post("/v2/models/<name>/infer")
def infer(name: str) -> dict[str, Any]:
    asked = request.get_json()
    given = asked["inputs"][0]
    rows = np.array(given["data"], dtype=np.float32).reshape(given["shape"])
    model = models[name]
    # One call for both outputs: predict() would compute the probabilities once more.
    probabilities = model.predict_proba(rows)
    labels = model.classes_[probabilities.argmax(axis=1)]
    return {
        "model_name": name,
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [len(rows)], "data": labels.tolist()},
            {
                "name": "probabilities",
                "datatype": "FP64",
                "shape": list(probabilities.shape),
                "data": probabilities.ravel().tolist(),
            },
        ],
    }


@app.get("/v2/health/ready")
def ready() -> dict[str, bool]:
    return {"ready": True}
