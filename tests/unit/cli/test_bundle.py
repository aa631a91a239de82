"""`millrace bundle`: files in, a checked bundle out, or one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier
from typer.testing import CliRunner, Result

from millrace.cli import app
from millrace.models import Bundle
from tests.unit.models import arithmetic
from tests.unit.models.pmml import written

ROWS = [{"a": float(i), "b": i / 7, "total": i + i / 7} for i in range(20)]


def bundle(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["bundle", *map(str, words)])


def problem(*words: str | Path) -> str:
    """The sentence with which it ends."""
    result = bundle(*words)
    assert result.exit_code == 1, result.output
    (sentence,) = result.output.splitlines()
    return sentence.removeprefix("millrace: ")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    rows = np.array([[5.1, 1.0], [6.2, 2.0], [4.9, 1.0], [7.0, 2.0]])
    joblib.dump(DecisionTreeClassifier().fit(rows, ["small", "large"] * 2), tmp_path / "tree.joblib")
    (tmp_path / "rows.csv").write_text("length,kind\n5.1,1\n6.2,2\n4.9,1\n7.0,2\n")
    return tmp_path / "tree.joblib"


def test_a_scikit_learn_model_and_rows_of_a_csv_file(tree: Path, tmp_path: Path) -> None:
    said = bundle(tree, "--rows", tmp_path / "rows.csv", "-o", tmp_path / "made")
    assert said.exit_code == 0, said.output
    made = Bundle.load(tmp_path / "made")
    assert [(t.name, t.datatype) for t in made.inputs] == [("length", "FP64"), ("kind", "INT64")]
    assert f"for 4 rows: {made.digest}" in said.output
    assert bundle(tmp_path / "made").output == said.output


def test_it_says_which_numbers_the_bundle_takes_with_fewer_digits(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("length,half,kind\n5.1,1.5,1\n6.2,2.5,2\n4.9,1.5,1\n,2.5,2\n")
    rows = np.array([[5.1, 1.5, 1.0], [6.2, 2.5, 2.0], [4.9, 1.5, 1.0], [np.nan, 2.5, 2.0]])
    model = lightgbm.LGBMClassifier(n_estimators=2, min_child_samples=1, verbose=-1).fit(rows, [0, 1] * 2)
    model.booster_.save_model(tmp_path / "model.txt")
    narrow = bundle(tmp_path / "model.txt", "--rows", tmp_path / "rows.csv", "-o", tmp_path / "narrow")
    assert narrow.output.splitlines()[:2] == [
        "rounded to FP32, which is what the converted model takes: length",
        "takes length FP32 [-1, 1], half FP32 [-1, 1], kind FP32 [-1, 1]",
    ]
    (tmp_path / "rows.csv").write_text("length,kind\n5.1,1\n6.2,2\n")
    wide = bundle(tree, "--rows", tmp_path / "rows.csv", "-o", tmp_path / "wide")
    assert wide.output.startswith("takes length FP64 [-1, 1], kind INT64 [-1, 1]\n")


def test_an_onnx_model_with_answers_among_its_rows(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(arithmetic.model().SerializeToString())
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    words = (tmp_path / "model.onnx", "--rows", tmp_path / "rows.json", "--out", tmp_path / "made")
    assert "--made-by" in problem(*words)
    assert bundle(*words, "--made-by", "by hand").exit_code == 0
    assert Bundle.load(tmp_path / "made").manifest.framework == "by hand"
    (tmp_path / "rows.json").write_text(json.dumps([{**row, "total": 1.5} for row in ROWS]))
    wrong = (*words[:-1], tmp_path / "wrong", "--made-by", "x")
    assert problem(*wrong).startswith("The gate refuses this model: output 'total' differs")
    assert not (tmp_path / "wrong").exists()


@pytest.mark.usefixtures("pmml4s")
def test_a_pmml_document_and_which_runtime_it_takes(tmp_path: Path) -> None:
    content = written.document(written.tree(written.leaf(written.compared("size", "lessThan", "9"), "a")))
    (tmp_path / "model.pmml").write_bytes(content)
    (tmp_path / "rows.csv").write_text("city,size,kind\nOslo,1,a\nLima,2,a\n")
    words = (tmp_path / "model.pmml", "--rows", tmp_path / "rows.csv", "--out")
    assert bundle(*words, tmp_path / "onnx").output.startswith("runtime onnx: the document was converted\n")
    content = content.replace(b'name="size"/>', b'name="size" missingValueReplacement="7"/>')
    (tmp_path / "model.pmml").write_bytes(content)
    said = bundle(*words, tmp_path / "pmml")
    assert said.exit_code == 0, said.output
    assert "runtime pmml, the document as it is, computed by PMML4S in a JVM" in said.output
    assert "missingValueReplacement='7'" in said.output
    assert Bundle.load(tmp_path / "pmml").manifest.runtime == "pmml"


def test_a_bundle_that_is_wrong_is_told(tmp_path: Path) -> None:
    made = arithmetic.write(tmp_path / "made")
    (made.path / "model.onnx").write_bytes(b"other")
    assert "model.onnx was changed" in problem(made.path)


def test_what_is_missing_is_told_in_a_sentence(tree: Path, tmp_path: Path) -> None:
    rows, out = ("--rows", tmp_path / "rows.csv"), ("--out", tmp_path / "made")
    assert "there is no" in problem(tmp_path / "nothing.onnx", *rows, *out)
    assert "--rows FILE" in problem(tree, *out)
    assert "--out DIR" in problem(tree, *rows)
    assert "known are sklearn" in problem(tree, *rows, *out, "--framework", "sklaern")
    assert "is no saved Spark PipelineModel" in problem(tmp_path, *rows, *out)
    (tmp_path / "model.bin").write_text("")
    assert "say --framework" in problem(tmp_path / "model.bin", *rows, *out)
    joblib.dump({"not": "a model"}, tmp_path / "dict.pkl")
    assert "dict is of no known framework" in problem(tmp_path / "dict.pkl", *rows, *out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    assert "is not empty" in problem(tree, *rows, "--out", tmp_path / "full")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("rows.csv", "a,b\n1\n", "line 2 has 1 cells, the header 2"),
        ("rows.csv", "a,b\n", "and rows"),
        ("rows.json", '[{"a": 1}, {"b": 1}]', "row 1 has other columns"),
        ("rows.json", "{", "does not hold rows"),
        ("rows.npy", "no", "does not hold rows"),
        ("rows.xlsx", "", "rows are read from"),
    ],
)
def test_rows_that_cannot_be_read_are_told(
    tree: Path, tmp_path: Path, name: str, text: str, told: str
) -> None:
    (tmp_path / name).write_text(text)
    assert told in problem(tree, "--rows", tmp_path / name, "--out", tmp_path / "made")


def test_python_code_with_its_artifacts(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "class Own:\n"
        "    def load(self, path): self.add = float((path / 'add').read_text())\n"
        "    def predict(self, inputs): return {'sum': inputs['a'] + self.add}\n"
    )
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/add").write_text("1.5")
    (tmp_path / "rows.csv").write_text("a\n1.0\n2.5\n")
    words = (tmp_path / "own.py", "--rows", tmp_path / "rows.csv", "--out", tmp_path / "made",
             "--artifacts", tmp_path / "artifacts")  # fmt: skip
    assert "--entry Class" in problem(*words)
    said = bundle(*words, "--entry", "Own")
    assert said.exit_code == 0, said.output
    assert Bundle.load(tmp_path / "made").manifest.runtime == "python"
