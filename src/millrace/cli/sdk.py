"""The SDK as verbs call it: pointed at a site, its errors as Problems."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from millrace.problem import Problem
from millrace.site import Site


@contextmanager
def pointed_at(site: Site) -> Iterator[None]:
    """Inside it `millrace.deploy` and `millrace.predict` speak to this site; their errors are Problems."""
    from millrace.sdk import MillraceError

    before = dict(os.environ)
    # No proxy stands between this machine and the site.
    os.environ.update(site.environment(), NO_PROXY="*", no_proxy="*")
    try:
        yield
    except MillraceError as error:
        raise Problem(str(error)) from error
    finally:
        os.environ.clear()
        os.environ.update(before)
