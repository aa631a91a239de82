"""Makes the saved pipelines in fixtures/ with Spark, and Spark's own answers beside each.

    python tests/unit/models/make_fixtures.py [NAME ...]

Runs in the environment of requirements/onnxmltools.txt, with a JVM. The tests need neither.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyspark.ml import Pipeline
from pyspark.ml.classification import (
    DecisionTreeClassifier,
    GBTClassifier,
    LogisticRegression,
    RandomForestClassifier,
)
from pyspark.ml.feature import (
    Bucketizer,
    Imputer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
    StringIndexer,
    VectorAssembler,
)
from pyspark.ml.functions import vector_to_array
from pyspark.ml.regression import (
    DecisionTreeRegressor,
    GBTRegressor,
    LinearRegression,
    RandomForestRegressor,
)
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

FIXTURES = Path(__file__).parent / "fixtures"
SCHEMA = (
    "row int, city string, colour string, month int, code double, length double, weight double, "
    "late double, kind string, price double"
)
CITIES = 30
INPUTS = ["city", "colour", "month", "code", "length", "weight"]


def training_rows() -> pd.DataFrame:
    """600 rows in which the categories matter, 30 cities among them."""
    random = np.random.default_rng(7)
    n = 600
    city, colour = random.zipf(1.4, n) % CITIES, random.integers(0, 3, n)
    month, length, weight = random.integers(1, 13, n), random.normal(10, 4, n), random.gamma(2, 3, n)
    effect = random.normal(0, 2, CITIES)[city] + np.array([1.5, -1, 0])[colour]
    score = effect + 0.2 * length - 0.3 * weight + random.normal(0, 1, n)
    return pd.DataFrame(
        {
            "row": np.arange(n),
            "city": [f"city {i}" for i in city],
            "colour": np.array(["red", "green", "blü"])[colour],
            "month": month,
            "code": random.choice([0.5, 2.0, 10.0], n),
            "length": length,
            "weight": weight,
            "late": (score > 0).astype(float),
            "kind": np.array(["low", "middle", "high"])[np.digitize(score, [-1.5, 1.5])],
            "price": 100 + 7 * score,
        }
    )


def question_rows(training: pd.DataFrame) -> pd.DataFrame:
    """Rows to answer: known ones, all cities, and unseen categories."""
    rows = pd.concat([training.drop_duplicates("city"), training.sample(60, random_state=3)])
    unseen = training.sample(12, random_state=4)
    unseen.iloc[:8, unseen.columns.get_loc("city")] = "unheard of"
    unseen.iloc[4:, unseen.columns.get_loc("colour")] = "none"
    return pd.concat([rows, unseen]).assign(row=lambda frame: np.arange(len(frame)))


def with_missing(rows: pd.DataFrame) -> pd.DataFrame:
    """The same with numbers missing: NaN in `length`, -1 in `weight`."""
    rows = rows.copy()
    rows.iloc[::5, rows.columns.get_loc("length")] = math.nan
    rows.iloc[::7, rows.columns.get_loc("weight")] = -1.0
    return rows


def with_city_codes(rows: pd.DataFrame) -> pd.DataFrame:
    """The same with the number of the city in `code`, 99 for one unheard of; labels swapped, so that
    left sets are the larger ones.
    """
    numbers = rows["city"].str.removeprefix("city ").replace("unheard of", "99")
    return rows.assign(code=numbers.astype(float), late=1 - rows["late"])


def indexer(invalid: str) -> StringIndexer:
    return StringIndexer(
        inputCols=["city", "colour"], outputCols=["city_index", "colour_index"], handleInvalid=invalid
    )


def one_hot(invalid: str, drop_last: bool) -> OneHotEncoder:
    return OneHotEncoder(
        inputCols=["city_index", "colour_index"],
        outputCols=["city_vector", "colour_vector"],
        handleInvalid=invalid,
        dropLast=drop_last,
    )


def assemble(*columns: str, invalid: str = "error") -> VectorAssembler:
    return VectorAssembler(inputCols=list(columns), outputCol="features", handleInvalid=invalid)


INDEXED = ["city_index", "month", "colour_index", "length", "weight"]
VECTORS = ["city_vector", "length", "colour_vector", "weight"]
NUMERIC = ["month", "length", "weight"]


def pipelines() -> dict[str, list[Any]]:
    boxes = Bucketizer(
        splitsArray=[[-math.inf, 5.0, 10.0, math.inf], [-1.0, 2.0, 6.0, 60.0]],
        inputCols=["length", "weight"],
        outputCols=["length_box", "weight_box"],
        handleInvalid="keep",
    )
    fill = Imputer(inputCols=["length"], outputCols=["filled_length"], strategy="median")
    fill_weight = Imputer(inputCols=["weight"], outputCols=["filled_weight"], missingValue=-1.0)
    codes = StringIndexer(
        inputCols=["code", "month"], outputCols=["code_index", "month_index"], handleInvalid="keep"
    )
    kind = StringIndexer(inputCol="kind", outputCol="label")  # fails on new rows, which have no `kind`

    return {
        "gbt_sets_keep": [
            indexer("keep"),
            assemble(*INDEXED, invalid="keep"),
            GBTClassifier(labelCol="late", maxIter=6, maxDepth=4, maxBins=64, seed=1),
        ],
        "gbt_sets_skip": [
            indexer("skip"),
            assemble(*INDEXED, invalid="skip"),
            GBTClassifier(labelCol="late", maxIter=4, maxDepth=4, maxBins=64, seed=1),
        ],
        "gbt_one_hot": [
            indexer("keep"),
            one_hot("keep", True),
            assemble(*VECTORS),
            GBTClassifier(labelCol="late", maxIter=6, maxDepth=4, seed=1),
        ],
        "forest_one_hot_all": [
            indexer("skip"),
            one_hot("error", False),
            assemble(*VECTORS, invalid="skip"),
            RandomForestClassifier(labelCol="late", numTrees=8, maxDepth=6, seed=1),
        ],
        "forest_binary": [
            indexer("keep"),
            assemble(*INDEXED),
            RandomForestClassifier(labelCol="late", numTrees=10, maxDepth=5, maxBins=64, seed=1),
        ],
        "forest_three_kinds": [
            kind,
            indexer("keep"),
            assemble(*INDEXED),
            RandomForestClassifier(numTrees=7, maxDepth=5, maxBins=64, seed=1),
        ],
        "tree_three_kinds": [
            kind,
            codes,
            assemble("code_index", "month_index", "length"),
            DecisionTreeClassifier(maxDepth=5, maxBins=64, seed=1),
        ],
        # Indexes made elsewhere: those beyond the known ones go where Spark's set splits send them.
        "gbt_sets_beyond": [
            assemble("code", "length", "weight"),
            GBTClassifier(labelCol="late", maxIter=6, maxDepth=4, maxBins=64, seed=1),
        ],
        "tree_one_leaf": [
            assemble(*NUMERIC),
            DecisionTreeRegressor(labelCol="price", minInstancesPerNode=600, seed=1),
        ],
        "tree_regression": [
            indexer("keep"),
            assemble(*INDEXED),
            DecisionTreeRegressor(labelCol="price", maxDepth=5, maxBins=64, seed=1),
        ],
        "forest_regression": [
            indexer("keep"),
            assemble(*INDEXED),
            RandomForestRegressor(labelCol="price", numTrees=6, maxDepth=5, maxBins=64, seed=1),
        ],
        "gbt_regression": [
            indexer("keep"),
            assemble(*INDEXED),
            GBTRegressor(labelCol="price", maxIter=5, maxDepth=4, maxBins=64, seed=1),
        ],
        "logistic_one_hot": [
            indexer("keep"),
            one_hot("keep", False),
            assemble(*VECTORS),
            StandardScaler(inputCol="features", outputCol="scaled", withMean=True),
            LogisticRegression(labelCol="late", featuresCol="scaled", regParam=0.01),
        ],
        "logistic_three_kinds": [
            kind,
            indexer("keep"),
            one_hot("keep", True),
            assemble(*VECTORS),
            MinMaxScaler(inputCol="features", outputCol="scaled", min=-1.0, max=2.0),
            LogisticRegression(featuresCol="scaled", regParam=0.05, elasticNetParam=1.0),
        ],
        "linear_missing": [
            fill,
            fill_weight,
            boxes,
            assemble("filled_length", "filled_weight", "length_box", "weight_box", "month"),
            MaxAbsScaler(inputCol="features", outputCol="scaled"),
            LinearRegression(labelCol="price", featuresCol="scaled", regParam=0.01),
        ],
    }


TYPES = {"tree_three_kinds": {"code": "double", "month": "integer"}}
VECTOR_OUTPUTS = ("rawPrediction", "probability")


def data_frame(spark: SparkSession, rows: pd.DataFrame) -> DataFrame:
    # By way of Python's objects: from pandas, NaN would become null.
    return spark.createDataFrame(rows.astype(object).to_numpy().tolist(), SCHEMA).coalesce(1)


def make(spark: SparkSession, name: str, stages: list[Any]) -> None:
    training = training_rows()
    questions = question_rows(training)
    if name == "linear_missing":
        training = with_missing(training)
    if name in ("linear_missing", "gbt_sets_keep", "gbt_sets_skip"):
        questions = with_missing(questions)
    if name == "gbt_sets_beyond":
        training, questions = with_city_codes(training), with_city_codes(questions)
    frame = data_frame(spark, training)
    if name == "gbt_sets_beyond":
        nominal = {"ml_attr": {"type": "nominal", "name": "code", "num_vals": CITIES}}
        frame = frame.withMetadata("code", nominal)
    model = Pipeline(stages=stages).fit(frame)
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    model.write().save(str(folder / "pipeline"))
    for surplus in [*folder.rglob("*.crc"), *folder.rglob("_SUCCESS")]:
        surplus.unlink()
    asked = data_frame(spark, questions).drop("late", "kind", "price")
    answers = model.transform(asked)
    columns = [column for column in ("prediction", *VECTOR_OUTPUTS) if column in answers.columns]
    lists = [vector_to_array(c).alias(c) if c in VECTOR_OUTPUTS else F.col(c) for c in columns]
    answered = {row["row"]: row for row in answers.select("row", *lists).collect()}
    # A row that Spark drops has no answer.
    outputs = {c: [answered[i][c] if i in answered else None for i in questions["row"]] for c in columns}
    inputs = {
        column: [None if isinstance(v, float) and math.isnan(v) else v for v in questions[column].tolist()]
        for column in INPUTS
    }
    content = {"spark": spark.version, "types": TYPES.get(name, {}), "inputs": inputs, "outputs": outputs}
    (folder / "rows.json").write_text(json.dumps(content, ensure_ascii=False) + "\n")
    print(name, len(questions), "rows,", len(answered), "answered")


def main() -> None:
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "800m")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    for name, stages in pipelines().items():
        if name in sys.argv[1:] or not sys.argv[1:]:
            make(spark, name, stages)
    spark.stop()


if __name__ == "__main__":
    main()
