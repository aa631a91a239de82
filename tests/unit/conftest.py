"""What tests of several parts need."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

import pytest

from millrace.artifacts import fetch


@pytest.fixture(scope="session")
def pmml4s(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The PMML4S sidecar as hosts get it: what `millrace fetch pmml` brings and compiles.

    It is this clone's, not the newest of the store, which other clones fill too.
    """
    (artifact,) = fetch(["pmml"])
    place = tmp_path_factory.mktemp("pmml4s")
    with tarfile.open(artifact.path) as tar:
        tar.extractall(place, filter="data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_PMML_HOME", str(place))
        yield
