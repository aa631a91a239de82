"""`millrace deploy`: what its options make of a policy."""

import pytest

from millrace.cli.deploy import changes
from millrace.problem import Problem


def test_options_that_are_not_given_change_nothing() -> None:
    assert changes(None, None, None, None, None, None) == {}


def test_options_become_a_policy() -> None:
    assert changes(0.5, 2, 0, True, "version:previous", "64:0.002") == {
        "deadline_seconds": 0.5,
        "concurrency": 2,
        "queue": 0,
        "breaker": {},
        "fallback": {"version": "previous"},
        "batching": {"rows": 64, "wait_seconds": 0.002},
    }
    assert changes(None, None, None, False, "none", "none") == {
        "breaker": None,
        "fallback": None,
        "batching": None,
    }
    assert changes(None, None, None, None, 'constant:{"a": [1]}', "8") == {
        "fallback": {"constant": {"a": [1]}},
        "batching": {"rows": 8},
    }


@pytest.mark.parametrize(
    ("fallback", "batch", "words"),
    [
        ("3", None, "version:N"),
        ("model:", None, "version:N"),
        ("else:x", None, "version:N"),
        ("constant:{", None, "is not JSON"),
        (None, "many", "64:0.002"),
        (None, "8:soon", "64:0.002"),
    ],
)
def test_what_cannot_be_read_names_the_form(fallback: str | None, batch: str | None, words: str) -> None:
    with pytest.raises(Problem, match=words):
        changes(None, None, None, None, fallback, batch)
