"""`spark_model.py DIR`: DIR/bundle of a pipeline that Spark fits, saves and answers on this machine."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from pyspark.ml import Pipeline
from pyspark.ml.classification import RandomForestClassifier
from pyspark.ml.feature import StringIndexer, VectorAssembler

from millrace.models.frameworks import bundle_spark
from millrace.models.frameworks.spark import local_spark

place = Path(sys.argv[1])
random = np.random.default_rng(0)
rows = pd.DataFrame(
    {"city": random.choice(["Oslo", "Bonn", "Lima"], 200), "size": random.normal(50, 20, 200), "rooms": 3}
)
rows["label"] = ((rows["city"] == "Oslo") & (rows["size"] > 40)).astype(float)
spark = local_spark()
pipeline = Pipeline(
    stages=[
        # Rows with a city that was not seen in training are dropped.
        StringIndexer(inputCol="city", outputCol="index", handleInvalid="skip"),
        VectorAssembler(inputCols=["index", "size", "rooms"], outputCol="features"),
        RandomForestClassifier(numTrees=5, maxDepth=4, seed=1),
    ]
)
pipeline.fit(spark.createDataFrame(rows)).write().save(str(place / "pipeline"))
spark.stop()
sample = rows.drop(columns="label").head(30)
sample.loc[[3, 7], "city"] = "Rome"
bundle = bundle_spark(place / "pipeline", sample, place / "bundle")
print(bundle.manifest.framework)
