"""Makes documents/ with JPMML's exporters: `python make_documents.py spark` or `... sklearn`.

Needs Java; for `spark` PySpark 4.2, pandas, pyspark2pmml; for `sklearn` sklearn2pmml and a scikit-learn that
it knows (1.9.0). Every document carries the framework's own answers as ModelVerification.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DOCUMENTS = Path(__file__).parent / "documents"
ROWS = 25


def houses() -> pd.DataFrame:
    random = np.random.default_rng(5)
    cities = ["Oslo", "New York", "Rome", "Bonn", "Lima", "Kyiv"]
    rows = pd.DataFrame(
        {
            "city": random.choice(cities, 400),
            "size": np.round(random.normal(50, 20, 400), 2),
            "age": random.integers(0, 90, 400).astype(float),
        }
    )
    near = rows["city"].isin(["Oslo", "Lima", "Bonn"]).astype(int)
    price = near * 20 + rows["size"] * 0.5 - rows["age"] * 0.2 + random.normal(0, 5, 400)
    dear = np.where(price > 20, "yes", "no")
    kind = np.where(price > 30, "c", np.where(price > 12, "b", "a"))
    return rows.assign(dear=dear, kind=kind, price=price)


def spark() -> None:
    from pyspark.ml import Pipeline, classification, regression
    from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler
    from pyspark.sql import SparkSession
    from pyspark2pmml import PMMLBuilder, spark_jars  # type: ignore[import-not-found]

    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.jars", spark_jars("4.2.0"))
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    frame = session.createDataFrame(houses())

    def make(name: str, estimator: Any, target: str, *, one_hot: bool = False) -> None:
        stages: list[Any] = [StringIndexer(inputCol="city", outputCol="city_index")]
        if target != "price":
            stages.append(StringIndexer(inputCol=target, outputCol="label"))
        if one_hot:
            stages.append(OneHotEncoder(inputCol="city_index", outputCol="city_vector"))
        city = "city_vector" if one_hot else "city_index"
        stages.append(VectorAssembler(inputCols=[city, "size", "age"], outputCol="features"))
        stages.append(estimator.setLabelCol("price" if target == "price" else "label"))
        model = Pipeline(stages=stages).fit(frame)
        PMMLBuilder(frame, model).verify(frame.limit(ROWS)).buildFile(str(DOCUMENTS / f"{name}.pmml"))

    trees = {"maxDepth": 3, "seed": 1}
    make("spark_gbt", classification.GBTClassifier(maxIter=4, **trees), "dear")
    make("spark_forest", classification.RandomForestClassifier(numTrees=3, **trees), "kind")
    make("spark_tree", classification.DecisionTreeClassifier(**trees), "kind")
    make("spark_logistic", classification.LogisticRegression(maxIter=20), "dear", one_hot=True)
    make("spark_softmax", classification.LogisticRegression(maxIter=20), "kind", one_hot=True)
    make("spark_forest_regression", regression.RandomForestRegressor(numTrees=3, **trees), "price")
    make("spark_linear", regression.LinearRegression(maxIter=20), "price", one_hot=True)


def sklearn() -> None:
    from sklearn import ensemble, linear_model, tree
    from sklearn2pmml import PMMLPipeline, sklearn2pmml  # type: ignore[import-not-found]

    rows = houses()

    def make(name: str, model: Any, target: str) -> None:
        pipeline = PMMLPipeline([("model", model)])
        inputs = rows[["size", "age"]]
        pipeline.fit(inputs, rows[target])
        pipeline.verify(inputs.iloc[:ROWS])
        sklearn2pmml(pipeline, str(DOCUMENTS / f"{name}.pmml"))

    make("sklearn_forest", ensemble.RandomForestClassifier(3, max_depth=3, random_state=0), "kind")
    make("sklearn_logistic", linear_model.LogisticRegression(), "dear")
    make("sklearn_boosted", ensemble.GradientBoostingClassifier(n_estimators=3, random_state=0), "dear")
    make("sklearn_boosted_regression", ensemble.GradientBoostingRegressor(n_estimators=3), "price")
    make("sklearn_ridge", linear_model.Ridge(), "price")
    make("sklearn_tree", tree.DecisionTreeClassifier(max_depth=3), "kind")


if __name__ == "__main__":
    DOCUMENTS.mkdir(exist_ok=True)
    {"spark": spark, "sklearn": sklearn}[sys.argv[1]]()
