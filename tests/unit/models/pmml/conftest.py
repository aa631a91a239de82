from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def sidecar(pmml4s: None) -> None:
    """There for every document that is not converted."""
