"""Documents that only the sidecar computes, and bundles of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from millrace.models import Bundle
from millrace.models.bundle import DOCUMENT, write_files
from tests.unit.models.pmml.written import compared, document, tree

TEXT = b'<DataField name="city" optype="categorical" dataType="string"/>'
#: With `a` 80 times and a `b` it takes longer than anybody lives.
ENDLESS = r"^(a|aa)+\1?$"
ROWS = {"size": np.array([[1.0], [2.5], [-3.0]]), "city": np.array([["Oslo"], ["b"], ["ü"]], object)}


def derived(factor: float = 2.0, expression: str = "") -> bytes:
    """size * factor + 0.5 for matching cities, as a derived field."""
    found = expression or '<FieldRef field="city"/><Constant dataType="string">^O.*$</Constant>'
    extra = (
        '<TransformationDictionary><DerivedField name="near" optype="continuous" dataType="double">'
        f'<Apply function="if"><Apply function="matches">{found}</Apply><Constant>0.5</Constant>'
        "<Constant>0</Constant></Apply></DerivedField></TransformationDictionary>"
    )
    model = (
        '<RegressionModel functionName="regression">@<RegressionTable intercept="0">'
        f'<NumericPredictor name="size" coefficient="{factor}"/>'
        '<NumericPredictor name="near" coefficient="1"/>'
        "</RegressionTable></RegressionModel>"
    )
    content = document(model, kind="double", classes=(), extra=extra)
    start = content.index(b'<DataField name="city"')
    end = content.index(b"</DataField>", start) + len(b"</DataField>")
    return content[:start] + TEXT + content[end:]


def large(trees: int = 100, depth: int = 8) -> bytes:
    """A forest that takes a while to be read; every tree says 1."""

    def node(left: int, predicate: str) -> str:
        inside = ""
        if left:
            inside = "".join(
                node(left - 1, compared("size", operator, str(left)))
                for operator in ("lessOrEqual", "greaterThan")
            )
        return f'<Node score="1">{predicate}{inside}</Node>'

    each = tree(function="regression").replace('<Node score="0"><True/></Node>', node(depth, "<True/>"))
    each = each.replace("@", '<MiningSchema><MiningField name="size"/></MiningSchema>')
    segments = f"<Segment><True/>{each}</Segment>" * trees
    model = (
        '<MiningModel functionName="regression">@'
        f'<Segmentation multipleModelMethod="average">{segments}</Segmentation></MiningModel>'
    )
    return document(model, kind="double", classes=())


def write(path: Path, factor: float = 2.0, content: bytes | None = None) -> Bundle:
    """A bundle of that document, or of another with its answers."""
    near = np.array([[city.startswith("O")] for city in ROWS["city"][:, 0]])
    outputs = {"prediction": ROWS["size"] * factor + near * 0.5, "valid": np.ones(len(near), bool)}
    return write_files(path, "pmml", {DOCUMENT: content or derived(factor)}, ROWS, outputs, framework="none")


def until(happens: Callable[[], object], otherwise: str) -> None:
    """Wait for something; fails with what is the case when it does not happen."""
    end = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)


def ends(pid: int | None) -> None:
    """Wait until a sidecar has ended and its parent knows; fails when it does not."""
    until(lambda: not Path(f"/proc/{pid}").exists(), f"process {pid} does not end")


def connections(pid: int | None) -> int:
    """How many connections a sidecar has: each is a thread of that name."""
    names = []
    for thread in Path(f"/proc/{pid}/task").glob("*/comm"):
        # It may just have ended.
        with contextlib.suppress(OSError):
            names.append(thread.read_text().strip())
    return names.count("connection")
