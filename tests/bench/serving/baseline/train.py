"""python train.py FOLDER: the models of iris as pickles, made by the environment that loads them."""

import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

MODELS = {
    "tree": DecisionTreeClassifier(random_state=1),
    "forest": RandomForestClassifier(n_estimators=100, random_state=1),
}


def fitted() -> dict[str, DecisionTreeClassifier | RandomForestClassifier]:
    """Both models, fitted on all flowers."""
    iris = load_iris()
    rows = iris.data.astype(np.float32)
    return {name: model.fit(rows, iris.target) for name, model in MODELS.items()}


if __name__ == "__main__":
    for name, model in fitted().items():
        joblib.dump(model, Path(sys.argv[1]) / f"{name}.joblib")
