"""Spark itself answers the rows of a pipeline that it has saved, in local mode; Java is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from millrace.cli import environments
from millrace.models import Bundle, Tensor, verify


def test_a_saved_pipeline(run_in: Callable[..., str], tmp_path: Path) -> None:
    assert "Spark 4" in run_in(environments.LOCAL, "spark_model.py", tmp_path)
    bundle = Bundle.load(tmp_path / "bundle")
    verify(bundle)
    assert bundle.inputs == (
        Tensor("city", "BYTES", (-1, 1)),
        Tensor("size", "FP64", (-1, 1)),
        Tensor("rooms", "FP64", (-1, 1)),
    )
    # Of 30 rows Spark dropped two.
    rows = bundle.verification()
    assert (rows.rows, "Rome" in rows.inputs["city"]) == (28, False)
