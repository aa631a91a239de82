"""Which heads are kept, and which of them may take the shortcut."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from millrace.serving.http import Request
from millrace.serving.http.heads import Head, Heads

TEXT = b"POST /r HTTP/1.1\r\nhost: site\r\n\r\n"


class ForPosts:
    def is_for(self, method: bytes, headers: Mapping[bytes, bytes]) -> bool:
        return method == b"POST"

    def body(self, target: bytes, body: bytes) -> bytes | None:
        return None


def kept(received: bytes, headers: dict[bytes, bytes], method: bytes = b"POST") -> Head | None:
    heads = Heads(ForPosts())
    heads.remember(received, Request(method, b"/r", headers, b"hello"))
    return heads.get(received[:-5])


def test_a_head_that_came_with_its_body_is_kept() -> None:
    head = kept(TEXT + b"hello", {b"host": b"site"})
    assert head
    assert (head.method, head.target, head.headers, head.length) == (b"POST", b"/r", {b"host": b"site"}, 5)
    assert isinstance(head.shortcut, ForPosts)


def test_a_shortcut_is_for_whom_it_says() -> None:
    head = kept(TEXT + b"hello", {}, b"PUT")
    assert head
    assert head.shortcut is None


@pytest.mark.parametrize("header", [b"transfer-encoding", b"expect", b"traceparent"])
def test_a_head_that_does_not_mean_the_same_again_is_not_kept(header: bytes) -> None:
    assert kept(TEXT + b"hello", {header: b"any"}) is None


@pytest.mark.parametrize(
    "received", [TEXT + b"other" + TEXT + b"hello", TEXT[:-4] + b"\r\nx: " + b"a" * 4096 + b"\r\n\r\nhello"]
)
def test_what_is_not_one_head_of_some_size_is_not_kept(received: bytes) -> None:
    assert kept(received, {}) is None
