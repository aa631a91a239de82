"""The process beside the server: when it is there, when it goes, and what a server says without it."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from millrace.models.bundle import DOCUMENT, write_files
from millrace.serving.pmml import program
from millrace.serving.pmml.attached import attach
from millrace.serving.pmml.sidecar import LocalSidecar
from millrace.serving.python.child.millrace_process import frames
from tests.unit.serving.pmml.documents import derived, ends, write
from tests.unit.serving.served import Serving


def test_it_ends_when_no_document_is_held_and_comes_back(pmml4s: None) -> None:
    sidecar, later = LocalSidecar("-Dmillrace.idle=0.5"), LocalSidecar("-Dmillrace.idle=0.5")
    digest = hashlib.sha256(derived()).hexdigest()
    held = attach(sidecar.connect, digest, derived, time.monotonic() + 30)
    first = sidecar.pid
    # One that began later and holds nothing has ended: this one would have, too.
    later.connect().close()
    ends(later.pid)
    later.close()
    assert not held.is_stale
    held.close()
    ends(first)
    attach(sidecar.connect, digest, derived, time.monotonic() + 30).close()
    assert sidecar.pid != first
    sidecar.close()


def test_a_jvm_that_does_not_start_is_told_at_once(pmml4s: None) -> None:
    sidecar = LocalSidecar("-XX:+NoSuchOption")
    with pytest.raises((EOFError, ConnectionError)):
        attach(sidecar.connect, "0" * 64, derived, time.monotonic() + 30)
    sidecar.close()


@pytest.mark.parametrize(
    "content",
    [
        frames.HEAD.pack(2, 0) + b"[]",
        frames.HEAD.pack(2, 0) + b"{}",
        frames.HEAD.pack(1, 0) + b"\xff",
        frames.HEAD.pack(1 << 30, 0),
        frames.HEAD.pack(2, 1 << 40),
        frames.HEAD.pack(20_000, 0) + b"[" * 20_000,
        frames.HEAD.pack(40, 0) + b'{"protocol":2,"document":"","arrays":[]}',
        frames.HEAD.pack(40, 0) + b'{"protocol":1,"document":',
    ],
)
def test_what_is_no_message_hurts_nobody(content: bytes, sidecar: LocalSidecar) -> None:
    strange = sidecar.connect()
    strange.sendall(content)
    strange.shutdown(socket.SHUT_WR)
    before = sidecar.pid
    strange.settimeout(30)
    while strange.recv(4096):
        pass
    strange.close()
    digest = hashlib.sha256(derived()).hexdigest()
    attached = attach(sidecar.connect, digest, derived, time.monotonic() + 30)
    row = {"size": np.array([[1.0]]), "city": np.array([["O"]], object)}
    message, found = attached.ask(row, ["prediction"], time.monotonic() + 10, 4096)
    attached.close()
    assert (message, found["prediction"].tolist()) == ({"ok": True}, [[2.5]])
    assert sidecar.pid == before


def test_a_java_that_is_too_old_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(program.NoProgram, match=r'version "11\.0\.2".*install a JRE, 17 or newer'):
        program.java()


def test_jars_come_from_the_artifact_store_or_it_is_told_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from millrace.artifacts import Store, locate

    own = Path(os.environ["MILLRACE_PMML_HOME"])
    monkeypatch.delenv("MILLRACE_PMML_HOME")
    fetched = locate("pmml").path
    monkeypatch.setenv("MILLRACE_STORE", str(tmp_path))
    with pytest.raises(program.NoProgram, match=r"`\./millrace fetch pmml`"):
        program.jars()
    Store().artifacts.mkdir(parents=True)
    for path in (fetched, fetched.with_suffix(".json")):
        (Store().artifacts / path.name).symlink_to(path)
    assert {path.name for path in program.jars().iterdir()} == {path.name for path in own.glob("lib/*")}


def test_a_server_answers_from_it_also_missing_values_and_after_it_was_killed(
    pmml4s: None, tmp_path: Path
) -> None:
    write(tmp_path / "models/near")
    with Serving(tmp_path / "models") as server:
        about = server.ask("GET", "/v2/models/near").json()
        assert about["platform"] == "pmml"
        assert server.infer("near", size=[2.0, 1.0], city=["Oslo", "b"]).json()["predictions"] == [
            {"prediction": [4.5], "valid": True},
            {"prediction": [2.0], "valid": True},
        ]
        # None of its verification rows has a missing value; what becomes of one is the document's to say.
        missing = server.infer("near", size=[None], city=["Oslo"])
        assert missing.json()["predictions"] == [{"prediction": [None], "valid": False}]
        os.kill(child_of(server.process.pid), signal.SIGKILL)
        statuses = []
        while 200 not in statuses:
            answer = server.infer("near", size=[2.0], city=["b"])
            statuses.append(answer.status_code)
            assert len(statuses) < 50, statuses
        assert set(statuses) <= {200, 503}


def test_the_line_that_a_server_prints_asks_also_with_a_missing_number(pmml4s: None, tmp_path: Path) -> None:
    inputs = {"size": np.array([[np.nan], [1.0]]), "city": np.array([["b"], ["b"]], object)}
    outputs = {"prediction": np.array([[np.nan], [2.0]]), "valid": np.array([False, True])}
    write_files(tmp_path / "models/near", "pmml", {DOCUMENT: derived()}, inputs, outputs, framework="none")
    with Serving(tmp_path / "models") as server:
        line = server.wait_for("curl").strip()
        answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout
    assert answer == '{"predictions":[{"prediction":[null],"valid":false}]}'


def child_of(pid: int) -> int:
    """The JVM among the children of a process."""
    for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if "java" in Path(f"/proc/{number}/cmdline").read_text():
            return int(number)
    found = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/status")
        if f"PPid:\t{pid}\n" in path.read_text() and "java" in (path.parent / "cmdline").read_text()
    ]
    assert found, "no JVM is a child of the server"
    return found[0]
