"""Bundles: what is written is what is read, and anything else is refused with a reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.models import Bundle, InvalidBundle, Tensor, verify, write_bundle
from tests.unit.models import arithmetic


def test_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = arithmetic.write(tmp_path / "bundle")
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.digest == written.digest
    assert bundle.inputs == (Tensor("a", "FP64", (-1, 1)), Tensor("b", "FP64", (-1, 1)))
    assert bundle.outputs == (Tensor("total", "FP64", (-1, 1)), Tensor("label", "INT64", (-1, 1)))
    assert bundle.manifest.framework == "arithmetic"
    inputs, outputs = arithmetic.rows()
    np.testing.assert_array_equal(bundle.verification().inputs["b"], inputs["b"])
    np.testing.assert_array_equal(bundle.verification().outputs["total"], outputs["total"])


def test_equal_contents_have_equal_digests(tmp_path: Path) -> None:
    first, second = arithmetic.write(tmp_path / "first"), arithmetic.write(tmp_path / "second")
    assert first.digest == second.digest
    inputs, outputs = arithmetic.rows(21)
    longer = write_bundle(tmp_path / "longer", arithmetic.model(), inputs, outputs, framework="arithmetic")
    assert longer.digest != first.digest


def test_digest_does_not_depend_on_how_the_manifest_is_laid_out(tmp_path: Path) -> None:
    digest = arithmetic.write(tmp_path / "bundle").digest
    file = tmp_path / "bundle" / "bundle.json"
    file.write_text(json.dumps(dict(reversed(json.loads(file.read_text()).items()))))
    assert Bundle.load(tmp_path / "bundle").digest == digest


def test_keeps_text_booleans_and_missing_numbers(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    kinds = {"text": TensorProto.STRING, "flag": TensorProto.BOOL, "number": TensorProto.FLOAT}
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"same {name}"]) for name in kinds],
        "copies",
        [helper.make_tensor_value_info(name, kind, ["N", 1]) for name, kind in kinds.items()],
        [helper.make_tensor_value_info(f"same {name}", kind, ["N", 1]) for name, kind in kinds.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    inputs = {
        "text": np.array([["blü"], ["x"]]),
        "flag": np.array([[True], [False]]),
        "number": np.array([[np.nan], [0.1]], np.float32),
    }
    outputs = {f"same {name}": values for name, values in inputs.items()}
    bundle = write_bundle(tmp_path / "bundle", model, inputs, outputs, framework="none")
    assert [t.datatype for t in bundle.inputs] == ["BYTES", "BOOL", "FP32"]
    np.testing.assert_array_equal(bundle.verification().inputs["number"], inputs["number"])
    verify(bundle)


def test_refuses_a_file_that_was_changed(tmp_path: Path) -> None:
    arithmetic.write(tmp_path / "bundle")
    model = tmp_path / "bundle" / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(InvalidBundle, match=r"model\.onnx was changed"):
        Bundle.load(tmp_path / "bundle")


def test_refuses_a_model_changed_after_loading(tmp_path: Path) -> None:
    bundle = arithmetic.write(tmp_path / "bundle")
    (tmp_path / "bundle" / "model.onnx").write_bytes(b"something else")
    with pytest.raises(InvalidBundle, match=r"model\.onnx was changed"):
        verify(bundle)


def test_refuses_missing_and_surplus_files(tmp_path: Path) -> None:
    arithmetic.write(tmp_path / "bundle")
    shutil.copytree(tmp_path / "bundle", tmp_path / "more")
    (tmp_path / "more" / "extra.bin").write_bytes(b"")
    with pytest.raises(InvalidBundle, match=r"extra\.bin"):
        Bundle.load(tmp_path / "more")
    (tmp_path / "bundle" / "verification.json").unlink()
    with pytest.raises(InvalidBundle, match=r"lacks verification\.json"):
        Bundle.load(tmp_path / "bundle")


def test_refuses_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(InvalidBundle, match=r"no bundle\.json"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m.update(format=2), "format 2"),
        (lambda m: m.update(runtime="pickle"), "'pickle'"),
        (lambda m: m.update(surprise=1), "surprise"),
        (lambda m: m.pop("framework"), "framework"),
        (lambda m: m.update(inputs=[]), "no input"),
        (lambda m: m["inputs"].append(m["inputs"][0]), "twice"),
        (lambda m: m["inputs"][0].update(datatype="FP63"), "FP63"),
        (lambda m: m["outputs"][0].update(shape=[20, 1]), "rows come first"),
        (lambda m: m["outputs"][0].update(shape=[-1]), r"'total' as FP64 \[20, 1\]"),
        (lambda m: m["inputs"][0].update(name="c"), "other inputs"),
        (lambda m: m["files"].update({"../escape": "0" * 64}), r"\.\./escape"),
        (lambda m: m["files"].pop("model.onnx"), r"no model\.onnx"),
        (lambda m: m["files"].update({"model.onnx": "1"}), r"no sha256 for model\.onnx"),
    ],
)
def test_refuses_a_manifest_that_does_not_fit(
    change: Callable[[dict[str, Any]], Any], told: str, tmp_path: Path
) -> None:
    arithmetic.write(tmp_path / "bundle")
    file = tmp_path / "bundle" / "bundle.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))
    with pytest.raises(InvalidBundle, match=told):
        Bundle.load(tmp_path / "bundle")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": "1"}', b"\xff"])
def test_refuses_a_broken_manifest(content: bytes, tmp_path: Path) -> None:
    arithmetic.write(tmp_path / "bundle")
    (tmp_path / "bundle" / "bundle.json").write_bytes(content)
    with pytest.raises(InvalidBundle, match=r"bundle\.json is not"):
        Bundle.load(tmp_path / "bundle")


def test_does_not_write_over_something(tmp_path: Path) -> None:
    arithmetic.write(tmp_path / "bundle")
    with pytest.raises(FileExistsError, match="not empty"):
        arithmetic.write(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda i, o: i.pop("b"), "input 'b'"),
        (lambda i, o: i.update(c=i["a"]), "no input 'c'"),
        (lambda i, o: i.update(a=i["a"].astype(np.float32)), "FP64 in model.onnx, FP32"),
        (lambda i, o: i.update(a=i["a"][:, 0]), r"'N', 1\]"),
        (lambda i, o: i.update(a=i["a"][:5]), "as many rows"),
        (lambda i, o: o.update(sum=o.pop("total")), "no output 'sum'"),
        (lambda i, o: o.update(total=o["total"] / 0), "infinity"),
        (lambda i, o: i.update(a=i["a"].astype(complex)), "complex128"),
    ],
)
@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value)")
def test_does_not_write_rows_that_do_not_fit_the_model(
    change: Callable[[dict[str, Any], dict[str, Any]], Any], told: str, tmp_path: Path
) -> None:
    inputs, outputs = arithmetic.rows()
    change(inputs, outputs)
    with pytest.raises(InvalidBundle, match=told):
        write_bundle(tmp_path / "bundle", arithmetic.model(), inputs, outputs, framework="arithmetic")
    assert list(tmp_path.iterdir()) == []


def test_does_not_write_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidBundle, match="does not load"):
        write_bundle(tmp_path / "bundle", b"not ONNX", *arithmetic.rows(), framework="arithmetic")


def test_who_reads_bundles_needs_no_onnx_runtime_and_no_converter() -> None:
    """The process of a Python model holds nothing that it does not use."""
    import subprocess
    import sys

    code = "import sys, millrace.serving.python.warden; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "millrace.models.bundle" in loaded
    assert not {"onnx", "onnxruntime", "millrace.models.frameworks", "requests"} & set(loaded)
