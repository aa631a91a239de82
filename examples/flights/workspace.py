"""A folder where Spark runs, that goes when the work is done: on a site, or on this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from pathlib import Path, PurePosixPath
from types import TracebackType
from urllib.parse import unquote, urlsplit

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

#: Where every Spark process of the site can write.
SHARED = os.environ.get("MILLRACE_SHARED", "/var/lib/millrace/shared")


class Workspace:
    """For a `with` statement. The server needs spark.sql.artifact.copyFromLocalToFs.allowDestLocal=true."""

    def __init__(self, spark: SparkSession, name: str) -> None:
        self._spark = spark
        self._schema = f"{name}_{uuid.uuid4().hex}"
        self._root = f"{SHARED}/{self._schema}"

    def __enter__(self) -> Workspace:
        # Connect cannot delete files, but dropping a schema deletes the schema's folder.
        self._spark.sql(f"CREATE SCHEMA {self._schema} LOCATION '{self._root}'").collect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spark.sql(f"DROP SCHEMA {self._schema} CASCADE").collect()

    def path(self, name: str) -> str:
        """The path of a file or folder on the site."""
        return f"{self._root}/{name}"

    def upload(self, frame: pd.DataFrame, name: str) -> DataFrame:
        """Send a frame as a parquet file: createDataFrame would hold all of it in the driver's heap."""
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / name
            frame.to_parquet(file, index=False)
            self._spark.copyFromLocalToFs(str(file), self.path(name))
        return self._spark.read.parquet(self.path(name))

    def download(self, name: str, to: Path) -> Path:
        """Bring a folder with its files here, all but hidden ones."""
        files = (
            self._spark.read.format("binaryFile")
            .option("recursiveFileLookup", "true")
            .load(self.path(name))
            .select("path", "content")
        )
        for row in files.collect():
            path = PurePosixPath(unquote(urlsplit(row["path"]).path))
            target = to / path.relative_to(self.path(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(row["content"])
        return to


class LocalWorkspace:
    """The same for Spark on this machine."""

    def __init__(self, spark: SparkSession, name: str) -> None:
        self._spark = spark
        self._root = tempfile.TemporaryDirectory(prefix=f"{name}-")

    def __enter__(self) -> LocalWorkspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._root.cleanup()

    def path(self, name: str) -> str:
        """The path of a file or folder."""
        return f"{self._root.name}/{name}"

    def upload(self, frame: pd.DataFrame, name: str) -> DataFrame:
        """A frame as a parquet file, which Spark reads in parallel."""
        frame.to_parquet(self.path(name), index=False)
        return self._spark.read.parquet(self.path(name))

    def download(self, name: str, to: Path) -> Path:
        """Copy a folder."""
        return shutil.copytree(self.path(name), to)
