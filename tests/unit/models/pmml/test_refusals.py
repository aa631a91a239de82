"""What the converter does not know it names, and converts nothing."""

from __future__ import annotations

import pytest

from millrace.models.pmml import InvalidDocument, UnsupportedElement, convert
from tests.unit.models.pmml.written import among, compared, document, leaf, tree

SMALL = leaf(compared("size", "lessThan", "1"), "b")
MINING = (
    '<MiningSchema><MiningField name="kind" usageType="target"/>'
    '<MiningField name="size" missingValueReplacement="0"/></MiningSchema>'
)
REST = leaf("<True/>", "a")
COMPOUND = leaf(
    f'<CompoundPredicate booleanOperator="surrogate">{compared("size", "equal", "1")}</CompoundPredicate>',
    "b",
)


def segments(how: str, *models: str, predicate: str = "<True/>") -> str:
    inside = "".join(f"<Segment>{predicate}{model}</Segment>" for model in models)
    return (
        f'<MiningModel functionName="classification">@<Segmentation multipleModelMethod="{how}">'
        f"{inside}</Segmentation></MiningModel>"
    )


def regression(tables: str, attributes: str = "") -> str:
    return f'<RegressionModel functionName="classification"{attributes}>@{tables}</RegressionModel>'


TABLE = '<RegressionTable intercept="0" targetCategory="{}">{}</RegressionTable>'


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (tree(COMPOUND, REST), "CompoundPredicate with booleanOperator='surrogate'"),
        (tree(SMALL, REST, attributes=' missingValueStrategy="defaultChild"'), "='defaultChild'"),
        (tree(leaf(compared("city", "lessThan", "Oslo"), "b"), REST), "lessThan on the text 'city'"),
        (tree(leaf(compared("income", "lessThan", "1"), "b"), REST), "'income': .*derived fields"),
        (tree(leaf(compared("size", "isMissing", "1"), "b"), REST), "operator='isMissing'"),
        (tree("<Node><True/><Partition/></Node>"), "Partition in Node"),
        (tree(SMALL, REST).replace("@", "@<LocalTransformations/>"), "LocalTransformations in TreeModel"),
        (tree(SMALL, REST).replace("@", MINING), "missingValueReplacement='0'"),
        (segments("selectFirst", tree(SMALL, REST)), "multipleModelMethod='selectFirst'"),
        (segments("average", tree(SMALL, REST), predicate=compared("size", "equal", "1")),
         "SimplePredicate in Segment"),
        (regression(TABLE.format("a", '<NumericPredictor name="size" exponent="2" coefficient="1"/>')
                    + TABLE.format("b", ""), ' normalizationMethod="logit"'), "exponent='2'"),
        (regression(TABLE.format("a", '<PredictorTerm coefficient="1"/>') + TABLE.format("b", "")),
         "PredictorTerm"),
        (regression(TABLE.format("a", '<NumericPredictor name="size" coefficient="1"/>')
                    + TABLE.format("b", ""),
                    ' normalizationMethod="probit"'), "normalizationMethod='probit'"),
        ('<SupportVectorMachineModel functionName="classification">@</SupportVectorMachineModel>',
         "SupportVectorMachineModel"),
    ],
)  # fmt: skip
def test_it_is_named(model: str, told: str) -> None:
    with pytest.raises(UnsupportedElement, match=told):
        convert(document(model))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"nothing", "is not XML"),
        (b"<html/>", "its root is html"),
        (b'<!DOCTYPE PMML [<!ENTITY a "b">]><PMML/>', "entities"),
        (document(""), "0 models"),
        (document(tree(SMALL, REST) * 2), "2 models"),
        (document(tree(leaf(among("Rome"), "b"), REST)), "tests 'city' for 'Rome'"),
        (document(tree(leaf(compared("size", "lessThan", "x"), "b"), REST)), "'x' is not"),
        (document(tree(leaf(compared("size", "lessThan", "1"), "c"), REST)), "'c', which is no class"),
        (document(tree(SMALL, REST), classes=()), "lists no classes"),
    ],
)
def test_a_broken_document_is_told(content: bytes, told: str) -> None:
    with pytest.raises(InvalidDocument, match=told):
        convert(content)
