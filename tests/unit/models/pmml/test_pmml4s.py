"""What the converter refuses is kept as it is, and answered as the document says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from millrace.models import Bundle, VerificationFailed
from millrace.models.frameworks import CannotBundle, bundle_pmml
from millrace.models.frameworks.bundling import bundle_file
from millrace.models.frameworks.pmml4s import bundle_document
from millrace.serving.runtimes import load_runtime
from tests.unit.models.pmml.written import among, compared, document, leaf, tree

DOCUMENTS = sorted((Path(__file__).parent / "documents").glob("*.pmml"))
DERIVED = (
    '<TransformationDictionary><DerivedField name="income" optype="continuous" dataType="double">'
    '<Apply function="ln"><FieldRef field="size"/></Apply></DerivedField></TransformationDictionary>'
)
SMALL = leaf(compared("size", "lessThan", "10"), "b")
REST = leaf(compared("size", "greaterOrEqual", "10"), "a")
# The root's own score is what "the last prediction" is.
LAST = tree(SMALL, REST, attributes=' missingValueStrategy="lastPrediction"')


def linear(terms: str, *, schema: str = "@") -> str:
    return (
        f'<RegressionModel functionName="regression">{schema}<RegressionTable intercept="0.1">{terms}'
        "</RegressionTable></RegressionModel>"
    )


def ask(bundle: Bundle, **columns: list[object]) -> dict[str, list[object]]:
    model = load_runtime(bundle)
    inputs = {
        name: np.array(values, object if isinstance(values[0], str) else np.float64)[:, None]
        for name, values in columns.items()
    }
    try:
        return {name: array.tolist() for name, array in model.run(inputs).items()}
    finally:
        model.close()


@pytest.mark.parametrize("file", DOCUMENTS, ids=[file.stem for file in DOCUMENTS])
def test_documents_of_jpmml_are_answered_as_the_framework_did(file: Path, tmp_path: Path) -> None:
    """Boosted trees, forests, linear and logistic models: the gate compares within 1e-9."""
    bundle = bundle_document(file.read_bytes(), tmp_path / "bundle")
    converted = bundle_pmml(file, tmp_path / "converted")
    assert (bundle.manifest.runtime, converted.manifest.runtime) == ("pmml", "onnx")
    assert bundle.verification().rows == 25
    assert bundle.manifest.framework == converted.manifest.framework
    # Whoever asks sees the same names, and whether there is an answer beside them.
    assert [t.name for t in bundle.outputs] == [*(t.name for t in converted.outputs), "valid"]
    assert bundle.verification().outputs["valid"].all()


def test_a_derived_field(tmp_path: Path) -> None:
    content = document(
        linear('<NumericPredictor name="income" coefficient="3"/>'), kind="double", classes=(), extra=DERIVED
    )
    size = np.array([0.3, 1.0, 77.7])
    told: list[str] = []
    rows = {"size": size, "city": ["Oslo"] * 3, "kind": np.log(size) * 3 + 0.1}
    bundle = bundle_pmml(content, tmp_path / "bundle", rows, report=told.append)
    assert bundle.manifest.runtime == "pmml"
    assert len(told) == 1
    assert told[0].startswith("runtime pmml, ")
    assert "'income'" in told[0]
    assert "derived fields are not converted" in told[0]
    got = ask(bundle, size=[2.5], city=["Lima"])
    assert got["prediction"] == [[pytest.approx(math.log(2.5) * 3 + 0.1, abs=1e-14)]]


def test_what_can_be_converted_is_and_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    bundle = bundle_file(DOCUMENTS[0], None, tmp_path / "bundle", report=told.append)
    assert (bundle.manifest.runtime, told) == ("onnx", ["runtime onnx: the document was converted"])


def test_a_strategy_for_missing_values(tmp_path: Path) -> None:
    content = document(LAST)
    rows = {"city": ["Oslo"] * 3, "size": [1.0, 20.0, np.nan], "kind": ["b", "a", "a"]}
    bundle = bundle_pmml(content, tmp_path / "bundle", rows)
    got = ask(bundle, city=["", "Lima"], size=[np.nan, 9.0])
    assert (got["label"], got["valid"]) == (["a", "b"], [True, True])


def test_a_replacement_of_missing_values(tmp_path: Path) -> None:
    schema = (
        '<MiningSchema><MiningField name="kind" usageType="target"/>'
        '<MiningField name="city" missingValueReplacement="Lima"/>'
        '<MiningField name="size" missingValueReplacement="100"/></MiningSchema>'
    )
    terms = (
        '<NumericPredictor name="size" coefficient="2"/>'
        '<CategoricalPredictor name="city" value="Lima" coefficient="5"/>'
    )
    content = document(linear(terms, schema=schema), kind="double", classes=())
    rows = {"city": ["Oslo", None, "Lima"], "size": [1.0, 2.0, np.nan], "kind": [2.1, 9.1, 205.1]}
    bundle = bundle_pmml(content, tmp_path / "bundle", rows)
    assert ask(bundle, city=[""], size=[np.nan])["prediction"] == [[205.1]]


def test_answers_that_a_document_carries_with_gaps(tmp_path: Path) -> None:
    verification = (
        '<ModelVerification recordCount="3"><VerificationFields><VerificationField field="city"/>'
        '<VerificationField field="size" column="data:size"/><VerificationField field="kind"/>'
        "</VerificationFields>"
        "<InlineTable><row><city>Oslo</city><size>1</size><kind>b</kind></row><row><city>Lima</city>"
        "<size>20</size><kind>a</kind></row><row><kind>a</kind></row></InlineTable></ModelVerification>"
    )
    content = document(LAST.replace("@", f"@{verification}"))
    bundle = bundle_pmml(content, tmp_path / "bundle")
    assert np.isnan(bundle.verification().inputs["size"][2, 0])
    assert bundle.verification().outputs["label"].tolist() == ["b", "a", "a"]


def test_a_row_without_an_answer_is_marked(tmp_path: Path) -> None:
    schema = (
        '<MiningSchema><MiningField name="kind" usageType="target"/>'
        '<MiningField name="city" missingValueReplacement="Lima"/><MiningField name="size"/></MiningSchema>'
    )
    null = ' missingValueStrategy="nullPrediction"'
    content = document(tree(leaf(among("Lima"), "a"), SMALL, REST, attributes=null, schema=schema))
    rows = {"city": ["Oslo", "Oslo"], "size": [1.0, np.nan], "kind": ["b", None]}
    bundle = bundle_pmml(content, tmp_path / "bundle", rows)
    # Paris is none of the values that the document lists.
    got = ask(bundle, city=["Oslo", "Paris", "Oslo"], size=[1.0, 1.0, np.nan])
    assert (got["label"], got["valid"]) == (["b", "", ""], [True, False, False])


def test_a_surrogate(tmp_path: Path) -> None:
    other = compared("city", "equal", "Lima")
    first = f'<CompoundPredicate booleanOperator="surrogate">{compared("size", "lessThan", "10")}{other}'
    content = document(tree(leaf(f"{first}</CompoundPredicate>", "b"), leaf("<True/>", "a")))
    rows = {"city": ["Oslo", "Lima", "Oslo"], "size": [1.0, np.nan, np.nan], "kind": ["b", "b", "a"]}
    assert bundle_pmml(content, tmp_path / "bundle", rows).manifest.runtime == "pmml"


def test_a_further_output_field(tmp_path: Path) -> None:
    output = (
        '<Output><OutputField name="kind" feature="predictedValue" dataType="double"/>'
        '<OutputField name="price" feature="transformedValue" optype="continuous" dataType="double">'
        '<Apply function="exp"><FieldRef field="kind"/></Apply></OutputField></Output>'
    )
    model = linear('<NumericPredictor name="size" coefficient="2" exponent="2"/>', schema=f"@{output}")
    content = document(model, kind="double", classes=())
    rows = {"city": ["Oslo"] * 2, "size": [0.5, 1.0], "price": np.exp([0.6, 2.1])}
    bundle = bundle_pmml(content, tmp_path / "bundle", rows)
    assert [t.name for t in bundle.outputs] == ["price", "valid"]
    assert ask(bundle, city=["Oslo"], size=[0.0])["price"] == [[pytest.approx(math.exp(0.1))]]


def test_a_float_field_is_compared_as_one(tmp_path: Path) -> None:
    nodes = leaf(compared("size", "equal", "0.1"), "b"), leaf(compared("size", "notEqual", "0.1"), "a")
    content = document(tree(*nodes, attributes=' missingValueStrategy="lastPrediction"'))
    near = 0.1 + 1e-10
    rows = {"city": ["Oslo"] * 2, "size": [0.1, near], "kind": ["b", "a"]}
    bundle_pmml(content, tmp_path / "double", rows)
    content = content.replace(b'"size" optype="continuous" dataType="double"',
                              b'"size" optype="continuous" dataType="float"')  # fmt: skip
    bundle_pmml(content, tmp_path / "float", {**rows, "kind": ["b", "b"]})


def test_labels_that_are_numbers(tmp_path: Path) -> None:
    nodes = leaf(compared("size", "lessThan", "10"), "1"), leaf(compared("size", "greaterOrEqual", "10"), "0")
    model = tree(*nodes, attributes=' missingValueStrategy="lastPrediction"').replace(
        'score="a"', 'score="0"'
    )
    rows = {"city": ["Oslo"] * 2, "size": [1.0, 20.0], "kind": [1, 0]}
    bundle = bundle_pmml(document(model, kind="integer", classes=("0", "1")), tmp_path / "bundle", rows)
    assert [(t.name, t.datatype) for t in bundle.outputs] == [("label", "INT64"), ("valid", "BOOL")]


def test_the_gate_sees_answers_that_are_not_the_documents(tmp_path: Path) -> None:
    rows = {"city": ["Oslo"] * 2, "size": [1.0, 20.0], "kind": ["b", "b"]}
    with pytest.raises(VerificationFailed, match=r"'label' differs .* expected b, got a"):
        bundle_pmml(document(LAST), tmp_path / "bundle", rows)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (document("<BayesianNetworkModel functionName='classification'>@</BayesianNetworkModel>"),
         "cannot be served: PMML4S does not read it"),
        (document(LAST).replace(b'"size" optype="continuous" dataType="double"',
                                b'"size" optype="continuous" dataType="date"'),
         "cannot be served: field size is "),
        (document(LAST), "no ModelVerification: .* in a column 'kind'"),
        (document(LAST).replace(b"Oslo", "Tromsø".encode("latin-1")), "not XML|not in UTF-8"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_either(content: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(CannotBundle, match=told):
        bundle_pmml(content, tmp_path / "bundle")


def test_a_machine_without_java_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from millrace.serving.pmml import sidecar

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(sidecar, "_local", sidecar.LocalSidecar)
    with pytest.raises(CannotBundle, match=r"needs Java, .* install a JRE, 17 or newer"):
        bundle_pmml(document(LAST), tmp_path / "bundle", {"size": [1.0], "city": ["Oslo"], "kind": ["b"]})
