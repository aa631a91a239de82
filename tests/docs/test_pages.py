"""Every block of every page, run as a reader would (see conftest.py for the tests' names)."""

from __future__ import annotations

import pytest
from sybil.example import Example, SybilFailure

from tests.docs.page import Page
from tests.docs.runner import Runner


def test_block(page: Page, example: Example | None, runner: Runner) -> None:
    if example is None:
        assert runner.left(page) == []
        return
    wrong = None
    try:
        runner.run(page, example)
    except SybilFailure as failure:
        wrong = failure.result
    # The page is what is wrong: no lines of Python are of any help.
    if wrong:
        pytest.fail(wrong, pytrace=False)
