"""Normalising rules: what is different in every run, and the word that stands for it while comparing.

A page shows a real value; with the rule any value of the same form is as good.
"""

from __future__ import annotations

import re

_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"

RULES: dict[str, list[tuple[re.Pattern[str], str]]] = {
    "times": [
        (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"), "TIME"),
        (re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?(?: \d{4})?(?: GMT)?"), "TIME"),
    ],
    "durations": [(re.compile(_NUMBER + r" ?(?:ms|us|µs|s|min|h)\b"), "DURATION")],
    "digests": [(re.compile(r"\b(?:sha256:)?[0-9a-f]{12,64}\b"), "DIGEST")],
    "addresses": [(re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "ADDRESS")],
    "sizes": [(re.compile(_NUMBER + r" ?(?:[KMGT]i?B|B|[KMGT])\b"), "SIZE")],
    "numbers": [(re.compile(r"(?<![\w.])-?" + _NUMBER + r"(?![\w.])"), "NUMBER")],
    "columns": [(re.compile(r"(?<=\S) {2,}"), " ")],
    "processes": [(re.compile(r"\[\d+\]"), "[PROCESS]")],
}


def normalise(text: str, rules: tuple[str, ...]) -> str:
    """The text with every value that one of the rules knows replaced by its word. Raises KeyError."""
    for name in rules:
        for pattern, word in RULES[name]:
            text = pattern.sub(word, text)
    return text
