"""A document is brought and read once for all who want it, whoever they are and however large it is."""

from __future__ import annotations

import hashlib
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from millrace.serving.pmml.attached import PROTOCOL, Attached, Refused, attach, describe
from millrace.serving.pmml.sidecar import LocalSidecar
from millrace.serving.python.child.millrace_process import frames
from tests.unit.serving.pmml.documents import connections, derived, large, until


@pytest.fixture(autouse=True)
def _nobody_is_connected(sidecar: LocalSidecar) -> None:
    until(lambda: connections(sidecar.pid) == 0, "connections of another test stay")


def soon() -> float:
    return time.monotonic() + 30


def sha256(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()


def test_one_brings_a_document_for_all_who_want_it(sidecar: LocalSidecar) -> None:
    document, brought = large(), []

    def bring() -> bytes:
        brought.append(True)
        until(lambda: connections(sidecar.pid) == 6, "not everybody is connected")
        return document

    def take(_: int) -> Attached:
        return attach(sidecar.connect, sha256(document), bring, soon())

    with ThreadPoolExecutor(6) as pool:
        attached = list(pool.map(take, range(6)))
    for each in attached:
        each.close()
    assert {each.described.main for each in attached} == {"prediction"}
    assert len(brought) == 1


def test_who_waits_for_a_document_is_told_what_is_wrong_with_it(sidecar: LocalSidecar) -> None:
    def take(_: int) -> str:
        with pytest.raises(Refused) as told:
            describe(sidecar.connect, b"nothing", 30)
        return str(told.value)

    with closing(started(sidecar, sha256(b"nothing"))) as first, ThreadPoolExecutor(3) as pool:
        said = pool.map(take, range(3))
        until(lambda: connections(sidecar.pid) == 4, "nobody waits")
        frames.send(first, {}, {"document": np.frombuffer(b"nothing", np.uint8)})
        assert {*said} == {frames.receive(first, soon())[0]["refused"]}


@pytest.mark.parametrize("wrong", [None, b"another"])
def test_who_does_not_bring_a_document_does_not_keep_it_from_the_next(
    wrong: bytes | None, sidecar: LocalSidecar
) -> None:
    first = started(sidecar, sha256(derived(5.0)))
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(describe, sidecar.connect, derived(5.0), 30)
        until(lambda: connections(sidecar.pid) == 2, "nobody waits")
        if wrong:
            frames.send(first, {}, {"document": np.frombuffer(wrong, np.uint8)})
            assert "the document that came is" in frames.receive(first, soon())[0]["refused"]
        first.close()
        assert second.result().main == "prediction"


def test_others_come_and_go_while_a_document_is_read(sidecar: LocalSidecar) -> None:
    describe(sidecar.connect, derived(5.0), 30)
    document = large(400)
    with closing(started(sidecar, sha256(document))) as reading:
        frames.send(reading, {}, {"document": np.frombuffer(document, np.uint8)})
        describe(sidecar.connect, derived(5.0), 30)
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        assert not poll.poll(0), "the others waited for it"
        assert frames.receive(reading, soon())[0]["ready"]


def test_a_document_that_the_heap_does_not_allow_is_refused(pmml4s: None) -> None:
    with (
        closing(LocalSidecar("-Xmx32m")) as small,
        pytest.raises(Refused, match=r"it has 8 MB, and 7 may be: .* `pmml_heap`"),
    ):
        describe(small.connect, large(200), 30)


def test_a_large_message_takes_no_memory_beside_the_heap(pmml4s: None) -> None:
    with closing(LocalSidecar("-XX:MaxDirectMemorySize=512k")) as tight:
        document = large(50)
        attached = attach(tight.connect, sha256(document), lambda: document, soon())
        rows = {"size": np.zeros((100_000, 1)), "city": np.full((100_000, 1), "Oslo", object)}
        message, found = attached.ask(rows, ["prediction"], soon(), 1 << 20)
        assert message == {"ok": True}
        assert found["prediction"].shape == (100_000, 1)
        attached.close()


def started(sidecar: LocalSidecar, digest: str) -> socket.socket:
    """A connection that was asked to bring a document."""
    connection = sidecar.connect()
    frames.send(connection, {"protocol": PROTOCOL, "document": digest})
    assert frames.receive(connection, soon())[0]["wanted"]
    return connection
