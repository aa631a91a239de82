"""Small PMML documents written for a case."""

from __future__ import annotations

FIELDS = """
  <DataField name="city" optype="categorical" dataType="string">
    <Value value="Oslo"/><Value value="New York"/><Value value="Lima"/></DataField>
  <DataField name="size" optype="continuous" dataType="double"/>
  <DataField name="kind" optype="categorical" dataType="{kind}">{classes}</DataField>"""

SCHEMA = """
  <MiningSchema><MiningField name="kind" usageType="target"/>
    <MiningField name="city"{city}/><MiningField name="size"/></MiningSchema>"""


def document(
    model: str, *, kind: str = "string", classes: tuple[str, ...] = ("a", "b"), extra: str = ""
) -> bytes:
    """A document around a model whose MiningSchema is `@`; the target `kind` has the classes."""
    values = "".join(f'<Value value="{value}"/>' for value in classes)
    fields = FIELDS.format(kind=kind, classes=values)
    body = model.replace("@", SCHEMA.format(city="")).replace(
        "~", SCHEMA.format(city=' invalidValueTreatment="asIs"')
    )
    return (
        '<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/>'
        f"<DataDictionary>{fields}</DataDictionary>{extra}{body}</PMML>"
    ).encode()


def leaf(predicate: str, score: str, shares: str = "") -> str:
    return f'<Node score="{score}">{predicate}{shares}</Node>'


def compared(field: str, operator: str, value: str) -> str:
    return f'<SimplePredicate field="{field}" operator="{operator}" value="{value}"/>'


def among(values: str, operator: str = "isIn") -> str:
    return (
        f'<SimpleSetPredicate field="city" booleanOperator="{operator}">'
        f'<Array type="string">{values}</Array></SimpleSetPredicate>'
    )


def tree(*nodes: str, attributes: str = "", function: str = "classification", schema: str = "@") -> str:
    score = "a" if function == "classification" else "0"
    return (
        f'<TreeModel functionName="{function}"{attributes}>{schema}<Node score="{score}">'
        f"<True/>{''.join(nodes)}</Node></TreeModel>"
    )
