"""Will this flight arrive more than 15 minutes late? Gradient-boosted trees, trained over Spark Connect.

    eval "$(millrace env)"
    python examples/flights/train.py

This machine needs no Spark and no JVM: the data goes up through Spark Connect, and the trained pipeline
comes back the same way. It is converted to ONNX here, checked against Spark's own answers, and registered.
With `--local` Spark runs on this machine instead, which then needs PySpark whole, and Java.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyspark
from data import CATEGORIES, COLUMNS, NUMBERS, read_flights, verification_rows
from pyspark.errors import PySparkException
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import GBTClassifier
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import accuracy_score, roc_auc_score
from workspace import LocalWorkspace, Workspace

import millrace
from millrace.models import Bundle, verify, write_bundle
from millrace.models.spark import convert

STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


def connect() -> SparkSession:
    """A session with the Spark of SPARK_REMOTE. Raises SystemExit when it does not answer soon."""
    if not os.environ.get("SPARK_REMOTE"):
        raise SystemExit('SPARK_REMOTE is not set: run `eval "$(millrace env)"` first')
    from pyspark.sql.connect.client.retries import DefaultPolicy

    spark = SparkSession.builder.getOrCreate()
    patience = spark.client.get_retry_policies()
    # By itself it would try for ten minutes without a word.
    spark.client.set_retry_policies([DefaultPolicy(max_retries=5)])
    say("asking Spark Connect")
    try:
        say(f"connected to Spark {spark.version}")
    except PySparkException as error:
        where = os.environ["SPARK_REMOTE"].split("/;")[0]
        raise SystemExit(
            f"Spark Connect at {where} does not answer, see `millrace status`: {error}"
        ) from None
    spark.client.set_retry_policies(patience)
    return spark


def local_spark() -> SparkSession:
    """Spark in a JVM of this machine, with two of its cores."""
    say("starting Spark on this machine")
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "1g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    say(f"Spark {spark.version} runs on this machine")
    return spark


def pipeline() -> Pipeline:
    """Trees over one-hot columns and numbers; a category not seen in training gets a column of its own."""
    indexes = [f"{column}_index" for column in CATEGORIES]
    vectors = [f"{column}_vector" for column in CATEGORIES]
    return Pipeline(
        stages=[
            StringIndexer(inputCols=CATEGORIES, outputCols=indexes, handleInvalid="keep"),
            OneHotEncoder(inputCols=indexes, outputCols=vectors, handleInvalid="keep"),
            VectorAssembler(inputCols=[*vectors, *NUMBERS], outputCol="features", handleInvalid="keep"),
            GBTClassifier(maxIter=20, maxDepth=5, seed=1),
        ]
    )


def predictions(model: PipelineModel, rows: DataFrame, *also: str) -> pd.DataFrame:
    """Spark's own answers: the columns `also`, prediction, and probability as lists of two."""
    answers = model.transform(rows)
    probability = vector_to_array("probability").alias("probability")
    return answers.select(*also, "prediction", probability).toArrow().to_pandas()


def make_bundle(
    model: PipelineModel, folder: Path, rows: pd.DataFrame, site: Workspace | LocalWorkspace, path: Path
) -> Bundle:
    """The saved pipeline as ONNX with rows answered by Spark."""
    sent = site.upload(rows.assign(row=np.arange(len(rows))), "verification.parquet")
    answers = predictions(model, sent, "row").sort_values("row")
    inputs = {c: rows[c].to_numpy(object if c in CATEGORIES else np.float64)[:, None] for c in COLUMNS}
    outputs = {
        "prediction": answers["prediction"].to_numpy(),
        "probability": np.stack(answers["probability"].to_list()),
    }
    onnx_model = convert(folder, outputs=list(outputs))
    return write_bundle(path, onnx_model, inputs, outputs, framework=f"Spark {pyspark.__version__}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", default="flights", help="name in the registry")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep DIR/pipeline and DIR/bundle")
    parser.add_argument(
        "--all-rows", type=Path, metavar="FILE", help="write Spark's answers for all rows as parquet"
    )
    parser.add_argument("--local", action="store_true", help="with Spark on this machine, without a registry")
    parser.add_argument("--no-register", action="store_true", help="stop before the registry")
    options = parser.parse_args()

    flights = read_flights()
    rows = verification_rows(flights)
    say(f"{len(flights):,} of them arrived, {flights['label'].mean():.1%} more than 15 minutes late")
    with ExitStack() as stack:
        keep = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        spark = local_spark() if options.local else connect()
        stack.callback(spark.stop)
        workspace = LocalWorkspace if options.local else Workspace
        site: Workspace | LocalWorkspace = stack.enter_context(workspace(spark, "flights"))
        everything = site.upload(flights.assign(row=np.arange(len(flights))), "flights.parquet")
        say("Spark has the data")

        training, test = (F.col("row") % 5 != 0), (F.col("row") % 5 == 0)
        # One small file is one partition, which would keep one core busy.
        model = pipeline().fit(everything.where(training).repartition(4))
        say("trained on four of five flights")
        answers = predictions(model, everything.where(test), "label")
        metrics = {
            "accuracy": accuracy_score(answers["label"], answers["prediction"]),
            "auc": roc_auc_score(answers["label"], answers["probability"].str[1]),
        }
        say("on the fifth: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))

        model.write().save(site.path("pipeline"))
        folder = site.download("pipeline", keep / "pipeline")
        bundle = make_bundle(model, folder, rows, site, keep / "bundle")
        verify(bundle)
        say(f"as ONNX it reproduces Spark's answers for {len(rows)} rows: {bundle.digest}")
        if options.all_rows:
            predictions(model, everything, "row", *COLUMNS).sort_values("row").to_parquet(options.all_rows)
            say(f"Spark's answers for all rows are in {options.all_rows}")
        if options.no_register or options.local:
            return
        # Only here: without a site there is no registry.
        import mlflow

        mlflow.set_experiment(options.name)
        with mlflow.start_run(run_name=options.name) as run:
            mlflow.log_metrics(metrics)
            version = millrace.log_model(bundle.path, options.name, run_id=run.info.run_id)
        say(f"registered as {options.name}:{version}; next: millrace deploy {options.name}:{version}")


if __name__ == "__main__":
    main()
