"""Sidecars of a test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millrace.serving.pmml.sidecar import LocalSidecar


@pytest.fixture(scope="module")
def sidecar(pmml4s: None) -> Iterator[LocalSidecar]:
    sidecar = LocalSidecar("-Dmillrace.grace=0.3")
    yield sidecar
    sidecar.close()
