"""What PMML documents answer, their ONNX models answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from millrace.models import VerificationFailed
from millrace.models.frameworks import CannotBundle, bundle_pmml
from millrace.models.pmml import convert
from tests.unit.models.pmml.written import among, compared, document, leaf, tree

DOCUMENTS = sorted((Path(__file__).parent / "documents").glob("*.pmml"))
CITIES = ["Oslo", "New York", "Lima"]


def run(content: bytes, **columns: list[Any]) -> dict[str, list[Any]]:
    model = convert(content).model
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {
        value.name: np.array(columns[value.name], object if value.name == "city" else np.float64)[:, None]
        for value in session.get_inputs()
    }
    names = [value.name for value in session.get_outputs()]
    return {n: array.tolist() for n, array in zip(names, session.run(names, given), strict=True)}


@pytest.mark.parametrize("file", DOCUMENTS, ids=[file.stem for file in DOCUMENTS])
def test_documents_of_jpmml_answer_as_the_framework_did(file: Path, tmp_path: Path) -> None:
    """Probabilities and numbers within 1e-9: the gate of the bundle compares them."""
    bundle = bundle_pmml(file, tmp_path / "bundle")
    assert bundle.verification().rows == 25
    outputs = [tensor.name for tensor in bundle.outputs]
    regression = file.stem.endswith(("regression", "linear", "ridge"))
    assert outputs[-1] == ("prediction" if regression else "probabilities")
    # Spark's numbered predictions are told as the labels that they stand for.
    assert ("label" in outputs) == (file.stem.startswith("spark") and not regression)


def test_the_gate_sees_a_split_that_was_misread(tmp_path: Path) -> None:
    file = next(file for file in DOCUMENTS if file.stem == "spark_gbt")
    content = file.read_bytes()
    assert b"lessOrEqual" in content
    with pytest.raises(VerificationFailed):
        bundle_pmml(content.replace(b"lessOrEqual", b"greaterThan"), tmp_path / "bundle")


def test_the_first_child_whose_predicate_is_true_is_taken() -> None:
    content = document(
        tree(
            leaf(among('"New York" Lima'), "b"),
            leaf(compared("size", "lessThan", "10"), "a"),
            leaf(compared("size", "lessOrEqual", "10"), "b"),
            leaf("<True/>", "a"),
        )
    )
    got = run(content, city=["Lima", "New York", "Oslo", "Oslo", "Oslo"], size=[1, 1, 9.9, 10, 10.1])
    assert got["label"] == ["b", "b", "a", "b", "a"]
    assert got["probabilities"] == [[0, 1], [0, 1], [1, 0], [0, 1], [1, 0]]
    assert got["valid"] == [True] * 5


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("lessThan", "baa"),
        ("lessOrEqual", "bba"),
        ("greaterThan", "aab"),
        ("greaterOrEqual", "abb"),
        ("equal", "aba"),
        ("notEqual", "bab"),
    ],
)
def test_every_comparison_at_its_bound(operator: str, expected: str) -> None:
    content = document(tree(leaf(compared("size", operator, "0.1"), "b"), leaf("<True/>", "a")))
    below, above = np.nextafter(0.1, 0), np.nextafter(0.1, 1)
    assert "".join(run(content, size=[below, 0.1, above])["label"]) == expected


def test_a_value_that_is_not_listed_is_in_no_set_and_marked_unless_taken_as_it_is() -> None:
    nodes = leaf(among("Oslo", "isNotIn"), "b"), leaf("<True/>", "a")
    cities = ["Oslo", "Lima", "Paris"]
    strict = run(document(tree(*nodes)), city=cities)
    assert strict["valid"] == [True, True, False]
    lax = run(document(tree(*nodes, schema="~")), city=cities)
    assert lax["label"] == ["a", "b", "b"]
    assert "valid" not in lax or lax["valid"] == [True] * 3


def test_no_true_child_is_no_answer_or_the_last_one() -> None:
    nodes = leaf(compared("size", "lessThan", "1"), "b")
    none = run(document(tree(nodes)), size=[0, 2])
    assert none["valid"] == [True, False]
    last = run(document(tree(nodes, attributes=' noTrueChildStrategy="returnLastPrediction"')), size=[0, 2])
    assert (last["label"], last["valid"]) == (["b", "a"], [True, True])


def test_a_missing_number_is_marked() -> None:
    content = document(tree(leaf(compared("size", "lessThan", "1"), "b"), leaf("<True/>", "a")))
    assert run(content, size=[np.nan, 0])["valid"] == [False, True]


def test_of_two_equal_probabilities_the_one_that_the_node_names() -> None:
    shares = '<ScoreDistribution value="a" recordCount="2"/><ScoreDistribution value="b" recordCount="2"/>'
    content = document(
        tree(leaf(compared("size", "lessThan", "1"), "b", shares), leaf("<True/>", "a", shares))
    )
    got = run(content, size=[0, 2])
    assert (got["label"], got["probabilities"]) == (["b", "a"], [[0.5, 0.5]] * 2)


@pytest.mark.parametrize(
    ("how", "weights", "expected"),
    [
        ("majorityVote", (1, 1, 1), [2 / 3, 1 / 3]),
        ("weightedMajorityVote", (1, 1, 6), [2 / 8, 6 / 8]),
        ("average", (1, 1, 1), [(0.9 + 0.9 + 0) / 3, (0.1 + 0.1 + 1) / 3]),
        ("weightedAverage", (1, 1, 2), [1.8 / 4, 2.2 / 4]),
    ],
)
def test_trees_that_vote(how: str, weights: tuple[int, ...], expected: list[float]) -> None:
    shares = '<ScoreDistribution value="a" recordCount="9"/><ScoreDistribution value="b" recordCount="1"/>'
    first = tree(leaf(compared("size", "lessThan", "1"), "a", shares), leaf("<True/>", "b"))
    last = tree(leaf(compared("size", "lessThan", "1"), "b"), leaf("<True/>", "a"))
    segments = "".join(
        f'<Segment weight="{weight}"><True/>{each}</Segment>'
        for weight, each in zip(weights, (first, first, last), strict=True)
    )
    content = document(
        '<MiningModel functionName="classification">@'
        f'<Segmentation multipleModelMethod="{how}">{segments}</Segmentation></MiningModel>'
    )
    got = run(content, size=[0])
    np.testing.assert_allclose(got["probabilities"], [expected], atol=1e-15)
    assert got["label"] == ["a" if expected[0] > 0.5 else "b"]


def test_sums_of_trees_with_a_shift() -> None:
    each = tree(
        leaf(compared("size", "lessThan", "1"), "2"), leaf("<True/>", "3"), function="regression", schema=""
    ).replace("<Node score=", "<MiningSchema/><Node score=", 1)
    segments = f"<Segment><True/>{each}</Segment>" * 2
    content = document(
        '<MiningModel functionName="regression">@'
        '<Targets><Target field="kind" rescaleFactor="10" rescaleConstant="0.5"/></Targets>'
        f'<Segmentation multipleModelMethod="sum">{segments}</Segmentation></MiningModel>',
        kind="double",
        classes=(),
    )
    assert run(content, size=[0, 1])["prediction"] == [[40.5], [60.5]]


def test_a_float_field_is_compared_as_one() -> None:
    content = document(tree(leaf(compared("size", "lessOrEqual", "0.1"), "b"), leaf("<True/>", "a")))
    near = 0.1 + 1e-10
    assert run(content, size=[near])["label"] == ["a"]
    content = content.replace(b'"size" optype="continuous" dataType="double"',
                              b'"size" optype="continuous" dataType="float"')  # fmt: skip
    assert run(content, size=[near])["label"] == ["b"]


@pytest.mark.parametrize(("kind", "labels"), [("integer", [1, 0]), ("double", [1.0, 0.0])])
def test_labels_have_the_type_of_their_field(kind: str, labels: list[Any]) -> None:
    nodes = leaf(compared("size", "lessThan", "1"), "1"), leaf("<True/>", "0")
    got = run(document(tree(*nodes), kind=kind, classes=("0", "1")), size=[0, 2])["label"]
    assert (got, type(got[0])) == (labels, type(labels[0]))


def test_answers_beside_the_rows(tmp_path: Path) -> None:
    content = document(tree(leaf(compared("size", "lessThan", "1"), "b"), leaf("<True/>", "a")))
    size = np.array([0.0, 2.0])
    rows = {"size": size, "kind": ["b", "a"], "probability(a)": [0.0, 1.0], "probability(b)": [1.0, 0.0]}
    bundle = bundle_pmml(content, tmp_path / "bundle", rows, framework="R 4.5")
    assert [t.name for t in bundle.outputs] == ["label", "probabilities"]
    with pytest.raises(VerificationFailed):
        bundle_pmml(content, tmp_path / "wrong", {"size": size, "kind": ["a", "a"]})
    with pytest.raises(CannotBundle, match=r"no ModelVerification: .* in a column 'kind'"):
        bundle_pmml(content, tmp_path / "none")
    with pytest.raises(CannotBundle, match=r"no answers of the program .* 'kind'"):
        bundle_pmml(content, tmp_path / "none", {"size": size})
