"""What the prediction server answers, from its own description."""

from __future__ import annotations

import json

from text import code, table

from millrace.serving.docs import description


def routes() -> str:
    """Table of all routes."""
    paths = json.loads(description().body)["paths"]
    return table(
        ["request", "answer", "protocol"],
        (
            [code(f"{method.upper()} {path}"), operation["summary"], operation["tags"][0]]
            for path, item in paths.items()
            for method, operation in item.items()
        ),
    )
