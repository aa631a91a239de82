"""A document in the sidecar computes like any other model, and whatever happens to the JVM, it comes back."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.models import Bundle, InvalidBundle, VerificationFailed, verify
from millrace.models.bundle import DOCUMENT, write_files
from millrace.serving.pmml.attached import PROTOCOL, Attached, Refused, describe
from millrace.serving.pmml.model import PmmlModel
from millrace.serving.pmml.sidecar import LocalSidecar
from millrace.serving.python.child.millrace_process import frames
from millrace.serving.runtimes import Unavailable, load_runtime
from tests.unit.models.pmml.written import compared, document, leaf, tree
from tests.unit.serving.pmml.documents import ENDLESS, connections, derived, ends, large, until, write

HANG = "a" * 80 + "b"
EMBEDDED = document(
    '<MiningModel functionName="regression">@<Regression functionName="regression"/></MiningModel>',
    kind="double", classes=(),
)  # fmt: skip


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    # A pattern that hangs for one city alone.
    pattern = f'<FieldRef field="city"/><Constant dataType="string">^O.*$|{ENDLESS}</Constant>'
    return write(tmp_path / "bundle", content=derived(expression=pattern))


@pytest.fixture
def model(bundle: Bundle, sidecar: LocalSidecar) -> Iterator[PmmlModel]:
    model = PmmlModel(bundle, sidecar.connect)
    yield model
    model.close()


def ask(model: PmmlModel, *sizes: float, city: str = "b", timeout: float | None = None) -> list[float]:
    inputs = {"size": np.array(sizes)[:, None], "city": np.array([[city]] * len(sizes), object)}
    return model.run(inputs, timeout=timeout)["prediction"][:, 0].tolist()  # type: ignore[no-any-return]


def revived() -> None:
    """The attempt to have a document kept again has ended."""
    until(lambda: not any(each.name == "pmml4s-revive" for each in threading.enumerate()), "it does not end")


def soon(what: Callable[[], list[float]], expected: list[float]) -> None:
    """It answers again before long."""
    end = time.monotonic() + 30
    while True:
        try:
            assert what() == expected
            return
        except (Unavailable, TimeoutError):
            assert time.monotonic() < end, "it does not answer any more"
            time.sleep(0.1)


def test_it_passes_the_gate_and_one_that_answers_otherwise_does_not(
    model: PmmlModel, bundle: Bundle, sidecar: LocalSidecar, tmp_path: Path
) -> None:
    verify(bundle, model)
    wrong = PmmlModel(write(tmp_path / "wrong", content=derived(3.0)), sidecar.connect)
    with pytest.raises(VerificationFailed):
        verify(bundle, wrong)
    wrong.close()


def test_many_rows_from_many_threads_at_once(model: PmmlModel) -> None:
    def rows(seed: int) -> None:
        size = np.random.default_rng(seed).normal(0, 1e6, 3000)
        for _ in range(4):
            np.testing.assert_array_equal(ask(model, *size), size * 2.0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(rows, range(16)))


def test_only_outputs_that_are_asked_for(model: PmmlModel) -> None:
    row = {"size": np.array([[1.0]]), "city": np.array([["O"]], object)}
    assert list(model.run(row, ["valid"])) == ["valid"]
    assert model.run(row, ["valid", "prediction"])["prediction"].tolist() == [[2.5]]


def test_a_jvm_that_is_killed_is_told_and_comes_back_with_its_documents(
    model: PmmlModel, sidecar: LocalSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is a connection now: the next that is received is an answer.
    assert ask(model, 4.0) == [8.0]
    before = sidecar.pid
    assert before
    asked, receive = threading.Event(), frames.receive

    def receive_after(*words: Any) -> Any:
        asked.set()
        return receive(*words)

    with ThreadPoolExecutor(1) as pool, monkeypatch.context() as patch:
        patch.setattr(frames, "receive", receive_after)
        hanging = pool.submit(ask, model, 1.0, city=HANG, timeout=30)
        assert asked.wait(20)
        # Nobody waits for the row but who asked for it.
        assert ask(model, 4.0) == [8.0]
        os.kill(before, signal.SIGKILL)
        with pytest.raises(Unavailable, match="the PMML4S sidecar ended"):
            hanging.result()
    # Without a failure: whoever asks now waits for it.
    assert ask(model, 4.0) == [8.0]
    assert sidecar.pid != before


def test_a_jvm_that_was_killed_while_nobody_asked_is_back_for_the_next(
    model: PmmlModel, bundle: Bundle, sidecar: LocalSidecar
) -> None:
    before = sidecar.pid
    assert before
    os.kill(before, signal.SIGKILL)
    ends(before)
    # What it had is known to be gone, and no call is spent on it.
    assert ask(model, 4.0) == [8.0]
    revived()
    abandon_a_call(model, sidecar)
    check_is_kept(sidecar, bundle)


def test_a_document_that_is_read_for_longer_than_a_call_may_take_comes_back_too(
    sidecar: LocalSidecar, tmp_path: Path
) -> None:
    bundle = write(tmp_path / "large", content=large())
    model = PmmlModel(bundle, sidecar.connect)
    assert ask(model, 3.0, city="Oslo") == [1.0]
    before = sidecar.pid
    assert before
    os.kill(before, signal.SIGKILL)
    ends(before)
    with pytest.raises(Unavailable, match="is being started"):
        ask(model, 3.0, city="Oslo", timeout=0)
    revived()
    check_is_kept(sidecar, bundle)
    assert ask(model, 3.0, city="Oslo") == [1.0]
    model.close()


def test_a_sidecar_that_stays_away_is_not_asked_for_by_every_call(
    bundle: Bundle, sidecar: LocalSidecar, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = False

    def connect() -> socket.socket:
        if away:
            raise ConnectionRefusedError("nobody listens")
        return sidecar.connect()

    model = PmmlModel(bundle, connect)
    before = sidecar.pid
    assert before
    os.kill(before, signal.SIGKILL)
    ends(before)
    away = True
    monkeypatch.setattr("millrace.serving.pmml.model.REVIVE_SECONDS", 3600)
    for _ in range(5):
        with pytest.raises(Unavailable, match="nobody listens"):
            ask(model, 4.0)
        revived()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    away = False
    monkeypatch.setattr("millrace.serving.pmml.model.REVIVE_SECONDS", 0)
    assert ask(model, 4.0) == [8.0]
    revived()
    abandon_a_call(model, sidecar)
    check_is_kept(sidecar, bundle)
    model.close()


def test_a_row_that_does_not_end_is_abandoned_and_others_are_answered_again(
    model: PmmlModel, sidecar: LocalSidecar, tmp_path: Path
) -> None:
    other = PmmlModel(write(tmp_path / "other", 3.0), sidecar.connect)
    before = sidecar.pid
    # By a connection that is there already: the row is begun at once.
    assert ask(model, 2.0) == [4.0]
    with pytest.raises(TimeoutError):
        ask(model, 1.0, city=HANG, timeout=0.3)
    # A thread of a JVM cannot be killed: the JVM ends, and another one takes its place.
    ends(before)
    soon(lambda: ask(other, 2.0), [6.0])
    soon(lambda: ask(model, 2.0), [4.0])
    other.close()


def test_rows_beyond_the_deadline_are_not_computed(
    model: PmmlModel, bundle: Bundle, sidecar: LocalSidecar
) -> None:
    before = sidecar.pid
    # Each takes a while, all of them longer than the sidecar lets anything go on.
    rows = {"size": np.zeros((20_000, 1)), "city": np.full((20_000, 1), "a" * 20 + "b", object)}
    with closing(sidecar.connect()) as connection:
        for message, arrays, answer in (
            ({"protocol": PROTOCOL, "document": bundle.manifest.files[DOCUMENT]}, {}, "ready"),
            # It stops between two rows: else it would be ended.
            ({"seconds": 0.1, "outputs": ["prediction"]}, rows, "late"),
        ):
            frames.send(connection, message, arrays)
            assert frames.receive(connection, time.monotonic() + 20)[0][answer]
    abandon_a_call(model, sidecar)
    # What comes of that call is nobody else's answer.
    assert ask(model, 4.0) == [8.0]
    assert sidecar.pid == before


@pytest.fixture
def integers(tmp_path: Path) -> bytes:
    content = document(tree(leaf(compared("size", "lessThan", "1"), "b"), leaf("<True/>", "a")))
    return content.replace(b'"size" optype="continuous" dataType="double"',
                           b'"size" optype="continuous" dataType="integer"')  # fmt: skip


def test_a_bad_row_is_told_and_the_next_is_answered(
    integers: bytes, sidecar: LocalSidecar, tmp_path: Path
) -> None:
    rows = {"size": np.array([[0.0]])}
    bundle = write_files(
        tmp_path / "b", "pmml", {DOCUMENT: integers}, {**rows, "city": np.array([["Oslo"]], object)},
        {"label": np.array(["b"], object), "valid": np.array([True])}, framework="none",
    )  # fmt: skip
    model = PmmlModel(bundle, sidecar.connect)
    city = np.array([["Oslo"]] * 2, object)
    with pytest.raises(RuntimeError, match=r"^row 1: size is integer, which 1\.5 is not$"):
        model.run({"size": np.array([[0.0], [1.5]]), "city": city})
    with pytest.raises(RuntimeError, match=r"^input city is missing$"):
        model.run(rows)
    with pytest.raises(RuntimeError, match=r"size is no FP64"):
        model.run({"size": np.array([[1]]), "city": city[:1]})
    assert model.run({"size": np.array([[0.0], [7.0]]), "city": city})["label"].tolist() == ["b", "a"]
    model.close()


def test_a_number_that_a_float_does_not_hold_is_told(sidecar: LocalSidecar, tmp_path: Path) -> None:
    content = derived().replace(b'"size" optype="continuous" dataType="double"',
                                b'"size" optype="continuous" dataType="float"')  # fmt: skip
    model = PmmlModel(write(tmp_path / "bundle", content=content), sidecar.connect)
    with pytest.raises(RuntimeError, match=r"^row 1: size is float, for which -1\.0E39 is too large$"):
        ask(model, 3e38, -1e39)
    assert ask(model, 0.5, np.inf) == [1.0, np.inf]
    model.close()


def abandon_a_call(model: PmmlModel, sidecar: LocalSidecar) -> None:
    """A call by a connection that is there already is given up, and only what keeps the document is left."""
    ask(model, 0.0)
    with pytest.raises(TimeoutError):
        ask(model, 0.0, timeout=0)
    until(lambda: connections(sidecar.pid) == 1, "connections stay that nobody uses")


def check_is_kept(sidecar: LocalSidecar, bundle: Bundle) -> None:
    def unwanted() -> bytes:
        raise AssertionError("the document was let go of")

    digest = bundle.manifest.files["model.pmml"]
    Attached(sidecar.connect, digest, unwanted, time.monotonic() + 20).close()


def test_a_call_that_is_abandoned_does_not_cost_the_document(
    model: PmmlModel, bundle: Bundle, sidecar: LocalSidecar
) -> None:
    abandon_a_call(model, sidecar)
    check_is_kept(sidecar, bundle)


def test_a_document_is_shared_and_let_go_of_with_its_last_connection(
    model: PmmlModel, bundle: Bundle, sidecar: LocalSidecar
) -> None:
    digest = bundle.manifest.files["model.pmml"]
    check_is_kept(sidecar, bundle)

    def attach(content: Callable[[], bytes]) -> None:
        Attached(sidecar.connect, digest, content, time.monotonic() + 20).close()

    model.close()
    end = time.monotonic() + 10
    sent: list[bool] = []
    while not sent:
        attach(lambda: bool(sent.append(True)) * b"" + bundle.read("model.pmml"))
        assert time.monotonic() < end, "a document stays that nobody serves"


def test_a_bundle_of_another_signature_is_refused(sidecar: LocalSidecar, tmp_path: Path) -> None:
    content = derived().replace(b'<DataField name="city" ', b'<DataField name="town" ')
    content = content.replace(b'field="city"', b'field="town"').replace(
        b'<MiningField name="city"', b'<MiningField name="town"'
    )
    with pytest.raises(InvalidBundle, match="differ about input 'city'"):
        PmmlModel(write(tmp_path / "bundle", content=content), sidecar.connect)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"nothing", "PMML4S does not read it"),
        (b'<!DOCTYPE PMML [<!ENTITY a "b">]><PMML/>', "entities"),
        (b"<!DOCTYPE PMML SYSTEM 'pmml.dtd'><PMML/>", "entities"),
        (b"<PMML/>", "PMML4S does not read it"),
        (b"<a>" * 100_000, "PMML4S does not read it"),
        (
            derived().replace(b'functionName="regression"', b'functionName="sequences"'),
            "sequences is not served",
        ),
        (EMBEDDED, "PMML4S does not read it: NotImplementedError"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused(content: bytes, told: str, sidecar: LocalSidecar) -> None:
    with pytest.raises(Refused, match=told):
        describe(sidecar.connect, content, 30)


def test_a_document_under_a_wrong_name_is_refused(sidecar: LocalSidecar) -> None:
    with pytest.raises(Refused, match="the document that came is"):
        Attached(sidecar.connect, "0" * 64, derived, time.monotonic() + 20)


def test_a_host_without_a_sidecar_says_what_to_set(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_PMML_SOCKET", "")
    with pytest.raises(InvalidBundle, match="set `prediction_pmml: true`"):
        load_runtime(bundle)
    monkeypatch.setenv("MILLRACE_PMML_SOCKET", str(tmp_path / "none"))
    with pytest.raises(InvalidBundle, match=r"does not answer: .*No such file"):
        load_runtime(bundle)
