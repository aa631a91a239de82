"""What this server answers, as OpenAPI, and a page to read and try it. Nothing in it asks another host."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from millrace.serving.http import Response


def description() -> Response:
    """The OpenAPI description of all that the server answers over HTTP."""
    return Response(_content("openapi.json"))


def page() -> Response:
    """The page; it may run its own script and ask its own server, nothing else."""
    headers = [(b"content-security-policy", _policy()), (b"x-content-type-options", b"nosniff")]
    return Response(_content("page.html"), content_type=b"text/html; charset=utf-8", headers=headers)


@cache
def _content(name: str) -> bytes:
    return files(__name__).joinpath(name).read_bytes()


@cache
def _policy() -> bytes:
    return b"default-src 'none'; connect-src 'self'; script-src %b; style-src %b; base-uri 'none'" % (
        _only(b"script"),
        _only(b"style"),
    )


def _only(element: bytes) -> bytes:
    """What allows the one inline element of the page and no other."""
    (text,) = re.findall(b"<%b>(.*?)</%b>" % (element, element), _content("page.html"), re.DOTALL)
    return b"'sha256-%b'" % base64.b64encode(hashlib.sha256(text).digest())
