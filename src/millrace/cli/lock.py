"""One verb at a time changes a site."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from millrace.problem import Problem
from millrace.site import check_name, state_root


@contextmanager
def held(site: str) -> Iterator[None]:
    """While this process changes a site. Raises Problem when another one does."""
    directory = state_root() / ".locks"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / check_name(site)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise Problem(
                f"Another millrace (process {file.read().strip() or '?'}) is changing site {site}: "
                "let it end first."
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
