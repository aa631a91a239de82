"""A Spark Connect session through the gateway, from a host; prints {"answer": ...} or {"error": "..."}.

The argument is JSON: `remote` (as SPARK_REMOTE), `ca`, `rows`, `directory` (empty: compute nothing).
"""

import json
import os
import sys

question = json.loads(sys.argv[1])
os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = question["ca"]

from pyspark.errors import PySparkException  # noqa: E402
from pyspark.sql import SparkSession, functions  # noqa: E402
from pyspark.sql.types import LongType  # noqa: E402


def compute(spark, rows, directory):
    """Sums by remainder: written, read and exchanged by executors, squared in Python there."""
    numbers = spark.range(rows).repartition(4)
    numbers.write.mode("overwrite").parquet(directory)
    square = functions.udf(lambda number: number * number, LongType())
    rest = (functions.col("id") % 3).alias("rest")
    squares = spark.read.parquet(directory).select(rest, square("id").alias("square"))
    found = squares.groupBy("rest").agg(functions.sum("square").alias("sum")).orderBy("rest").collect()
    return [row["sum"] for row in found]


try:
    spark = SparkSession.builder.remote(question["remote"]).getOrCreate()
    if question["directory"]:
        answer = compute(spark, question["rows"], question["directory"])
    else:
        answer = spark.version
    spark.stop()
    print(json.dumps({"answer": answer}))
except PySparkException as error:
    print(json.dumps({"error": str(error)}))
