"""What a page has to put back is noticed, and what it declares is not held against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import site_state

BEFORE: site_state.State = {aspect: {f"{aspect} one"} for aspect in site_state.ASPECTS}


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> site_state.State:
    """What the site is like afterwards; a test changes it."""
    state = {aspect: set(lines) for aspect, lines in BEFORE.items()}
    monkeypatch.setattr(site_state, "take", lambda directory: state)
    monkeypatch.setattr(site_state, "PATIENCE", 0.0)
    return state


@pytest.mark.parametrize("aspect", site_state.ASPECTS)
def test_every_change_is_told(after: site_state.State, aspect: str) -> None:
    after[aspect] = {"another"}
    found = site_state.changes(BEFORE, Path(), {})
    assert found == [f"{aspect}: - {aspect} one", f"{aspect}: + another"]


def test_a_site_left_as_it_was_passes(after: site_state.State) -> None:
    assert site_state.changes(BEFORE, Path(), {}) == []


def test_what_a_page_declares_may_differ(after: site_state.State) -> None:
    after["registry"] |= {"iris:2"}
    assert site_state.changes(BEFORE, Path(), {"registry": "a version that the page trains"}) == []
