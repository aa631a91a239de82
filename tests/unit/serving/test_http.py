"""HTTP as clients of every kind speak it, over real sockets."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from millrace.serving.http import Listener, Request, Response
from tests.unit.serving.running import Client, Loop, listening

GET = b"GET %b HTTP/1.1\r\nHost: site\r\n\r\n"


def echo(request: Request) -> Response | Awaitable[Response]:
    """The body comes back; /slow takes a moment, /boom fails."""
    text = request.target + b":" + request.body
    if request.target.startswith(b"/slow"):

        async def later() -> Response:
            await asyncio.sleep(0.2)
            return Response(text)

        return later()
    if request.target == b"/boom":
        raise ValueError("boom")
    if request.target == b"/user":
        return Response(b"user:" + request.headers.get(b"x-user", b"nobody"))
    if request.target == b"/trailers":
        return Response(b"abc", trailers=[(b"status", b"0")])
    return Response(text)


@pytest.fixture
def server() -> Iterator[tuple[Listener, int, Loop]]:
    with listening(echo, body=100_000, small=1000, pending=150_000, head=2000) as running:
        yield running


@pytest.fixture
def client(server: tuple[Listener, int, Loop]) -> Iterator[Client]:
    client = Client(server[1])
    yield client
    client.close()


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(300):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come")


def bodies(answers: bytes) -> list[bytes]:
    """The bodies of answers that follow each other, with content-length."""
    found = []
    while answers:
        head, _, rest = answers.partition(b"\r\n\r\n")
        size = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        found.append(rest[:size])
        answers = rest[size:]
    return found


def test_an_answer_has_a_date_and_a_length(client: Client) -> None:
    client.send(GET % b"/a")
    head, _, body = client.receive(b"/a:").partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"content-length: 3" in lines
    assert any(line.startswith(b"date: ") and line.endswith(b" GMT") for line in lines)
    assert body == b"/a:"


def test_a_request_may_come_byte_by_byte(client: Client) -> None:
    for byte in b"POST /a%20b HTTP/1.1\r\nHost: site\r\nContent-Length: 5\r\n\r\nhello":
        client.send(bytes([byte]))
    assert client.receive(b"hello").endswith(b"/a%20b:hello")


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    paths = [b"/%d" % n for n in range(200)]
    paths[3] = paths[150] = b"/slow"
    client.send(b"".join(GET % path for path in paths))
    client.send(GET % b"/last")
    assert bodies(client.receive(b"/last:")) == [path + b":" for path in [*paths, b"/last"]]


def test_chunked_bodies_are_read_and_trailers_are_not_headers(client: Client) -> None:
    client.send(
        b"POST /c HTTP/1.1\r\nHost: site\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nHost: other\r\n\r\n"
    )
    assert client.receive(b"world").endswith(b"/c:hello world")
    client.send(
        b"POST /user HTTP/1.1\r\nHost: site\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-User: root\r\n\r\n"
    )
    assert client.receive(b"nobody").endswith(b"user:nobody")


def test_a_head_that_came_before_is_read_the_same(server: tuple[Listener, int, Loop]) -> None:
    head = b"POST /r HTTP/1.1\r\nHost: site\r\nX-User: ada\r\nContent-Length: 6\r\n\r\n"
    user = b"GET /user HTTP/1.1\r\nHost: site\r\nX-User: ada\r\n\r\n"
    for client in (Client(server[1]), Client(server[1])):
        for body in (b"abcdef", b"\r\n\r\n\r\n", b"ghijkl"):
            client.send(head + body)
            assert client.receive(b"/r:" + body).endswith(b"/r:" + body)
        # Not whole, and with the next one behind it.
        client.send(head + b"abc")
        time.sleep(0.05)
        client.send(b"def" + head + b"ghijkl" + user)
        assert bodies(client.receive(b"user:ada")) == [b"/r:abcdef", b"/r:ghijkl", b"user:ada"]
        client.send(head + b"abcdef" + head + b"ghijkl")
        assert bodies(client.receive(b"/r:ghijkl")) == [b"/r:abcdef", b"/r:ghijkl"]
        client.send(user)
        assert client.receive(b"user:ada").endswith(b"user:ada")
        client.send(user.replace(b"ada", b"eve"))
        assert client.receive(b"user:eve").endswith(b"user:eve")
        client.close()


def test_a_head_is_answered_without_body_and_trailers(client: Client) -> None:
    client.send(b"HEAD /trailers HTTP/1.1\r\nHost: site\r\n\r\n" + GET % b"/next")
    first, _, second = client.receive(b"/next:").partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200")
    assert second.startswith(b"HTTP/1.1 200")


def test_a_client_that_asks_first_is_told_to_go_on(client: Client) -> None:
    client.send(b"POST /e HTTP/1.1\r\nHost: site\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert client.receive(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    assert client.receive(b"/e:hello").endswith(b"/e:hello")


def test_a_client_is_not_told_to_go_on_before_earlier_answers(client: Client) -> None:
    client.send(GET % b"/slow")
    client.send(b"POST /e HTTP/1.1\r\nHost: site\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    got = client.receive(b"100 Continue\r\n\r\n")
    assert got.index(b"/slow:") < got.index(b"100 Continue")
    client.send(b"hello")
    assert client.receive(b"/e:hello").endswith(b"/e:hello")


@pytest.mark.parametrize("expect", [b"100-continue", b""])
def test_a_body_that_is_too_large_is_refused_before_it_comes(client: Client, expect: bytes) -> None:
    more = b"Expect: " + expect + b"\r\n" if expect else b""
    client.send(b"POST /l HTTP/1.1\r\nHost: site\r\nContent-Length: 100001\r\n" + more + b"\r\n")
    answer = client.receive(b"at once")
    assert b"413" in answer.split(b"\r\n")[0]
    assert b"connection: close" in answer
    assert b"100 Continue" not in answer


def test_a_chunked_body_is_refused_once_it_is_too_large(client: Client) -> None:
    client.send(b"POST /l HTTP/1.1\r\nHost: site\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    client.send(chunk * 40)
    assert b"413" in client.receive(b"at once").split(b"\r\n")[0]
    # What was under way when the refusal came does not break it off.
    client.send(chunk * 20)


def test_large_bodies_wait_for_memory_outside(server: tuple[Listener, int, Loop]) -> None:
    listener, port, _ = server
    first, second, third = Client(port), Client(port), Client(port)
    head = b"POST /l HTTP/1.1\r\nHost: site\r\nContent-Length: 90000\r\n\r\n"
    first.send(head)
    second.send(head)
    refusal = second.receive(b"try again")
    assert b"503" in refusal.split(b"\r\n")[0]
    assert b"retry-after: 1" in refusal
    first.send(b"x" * 90_000)
    assert first.receive(b"x" * 90_000).endswith(b"x")
    third.send(head)
    wait_for(lambda: listener.pending == 90_000)
    third.close()
    wait_for(lambda: listener.pending == 0)
    fourth = Client(port)
    fourth.send(head + b"x" * 90_000)
    assert fourth.receive(b"x" * 90_000).endswith(b"x")
    assert listener.pending == 0
    for each in (first, second, fourth):
        each.close()


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (b"nonsense\r\n\r\n", b"400", b"not valid HTTP"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400", b"no Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n", b"400", b"not valid HTTP"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400", b"not valid HTTP"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400", b""),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400", b""),  # noqa: E501
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400", b"not valid"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n", b"417", b"'tea'"),
        (b"GET /%b HTTP/1.1\r\nHost: a\r\n" % (b"a" * 3000), b"431", b"2000 bytes"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 3000, b"431", b"2000 bytes"),
        (b"GET /boom HTTP/1.1\r\nHost: a\r\n\r\n", b"500", b"internal error"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(client: Client, request_: bytes, status: bytes, words: bytes) -> None:
    client.send(request_)
    answer = client.receive(b"}")
    assert answer.split(b" ")[1] == status
    assert words in answer
    assert b'{"error":' in answer


def test_a_wrong_request_after_a_slow_one_does_not_overtake_it(client: Client) -> None:
    client.send(GET % b"/slow" + b"nonsense\r\n\r\n")
    answers = client.rest()
    assert answers.index(b"/slow:") < answers.index(b"400 Bad Request")


def test_a_failure_is_one_answer_and_the_connection_goes_on(client: Client) -> None:
    client.send(GET % b"/boom" + GET % b"/next")
    assert bodies(client.receive(b"/next:"))[1] == b"/next:"


def test_head_is_an_answer_without_its_body(client: Client) -> None:
    client.send(b"HEAD /h HTTP/1.1\r\nHost: site\r\n\r\n" + GET % b"/next")
    answer = client.receive(b"/next:")
    assert b"content-length: 3\r\n\r\nHTTP/1.1" in answer


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (b"GET /k HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", True),
        (b"GET /k HTTP/1.0\r\n\r\n", True),
        (b"GET /k HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
        (b"GET /k HTTP/1.1\r\nHost: a\r\n\r\n", False),
    ],
)
def test_connections_are_kept_as_the_client_asks(client: Client, head: bytes, closes: bool) -> None:
    client.send(head)
    answer = client.receive(b"/k:")
    assert (b"connection: close" in answer) == closes
    if closes:
        assert client.rest() == b""
    else:
        assert (b"connection: keep-alive" in answer) == (b"HTTP/1.0" in head)
        client.send(GET % b"/again")
        assert client.receive(b"/again:").endswith(b"/again:")


def test_an_offer_to_speak_something_else_is_passed_over(client: Client) -> None:
    client.send(
        b"POST /u HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi"
        + GET % b"/next"
    )
    assert bodies(client.receive(b"/next:")) == [b"/u:hi", b"/next:"]


def test_a_client_that_ended_its_side_gets_its_answers(client: Client) -> None:
    client.send(GET % b"/slow" + GET % b"/b")
    client.socket.shutdown(socket.SHUT_WR)
    assert bodies(client.rest()) == [b"/slow:", b"/b:"]


def test_a_request_cut_short_ends_the_connection(client: Client) -> None:
    client.send(b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    client.socket.shutdown(socket.SHUT_WR)
    assert client.rest() == b""


def test_trailers_follow_a_chunked_answer(client: Client) -> None:
    client.send(GET % b"/trailers")
    head, _, body = client.receive(b"status: 0\r\n\r\n").partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"3\r\nabc\r\n0\r\nstatus: 0\r\n\r\n"


def test_slow_clients_are_told_and_idle_ones_left() -> None:
    limits = {"head_seconds": 0.3, "body_seconds": 0.3, "idle_seconds": 0.3}
    with listening(echo, **limits) as (_, port, _loop):
        head, body, idle, silent = (Client(port) for _ in range(4))
        head.send(b"GET / HTTP/1.1\r\nHost")
        body.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        idle.send(GET % b"/i")
        idle.receive(b"/i:")
        for client, part in ((head, b"head"), (body, b"body")):
            answer = client.rest() if client is head else client.receive(b"}")
            assert answer.split(b" ")[1] == b"408"
            assert part in answer
        assert idle.rest() == b""
        assert silent.rest() == b""
        for client in (head, body, idle, silent):
            client.close()


def test_a_client_that_does_not_read_is_left_and_holds_up_nobody() -> None:
    large = Response(b"x" * 1_000_000)

    def handle(request: Request) -> Response:
        return large if request.target == b"/large" else Response(b"small")

    with listening(handle, write_seconds=0.3) as (listener, port, _):
        greedy, other = Client(port), Client(port)
        greedy.send((GET % b"/large") * 40)
        other.send(GET % b"/small")
        assert other.receive(b"small").endswith(b"small")
        wait_for(lambda: len(listener.connections) == 1)
        greedy.close()
        other.close()


def test_a_burst_on_one_connection_lets_others_through() -> None:
    order: list[bytes] = []

    def handle(request: Request) -> Response:
        order.append(request.target)
        time.sleep(0.001)
        return Response(b"ok")

    with listening(handle, burst=4, pipelined=1000) as (_, port, _loop):
        many, one = Client(port), Client(port)
        reader = threading.Thread(target=many.receive, args=(b"never",), daemon=True)
        reader.start()
        many.send((GET % b"/many") * 400)
        one.send(GET % b"/one")
        one.receive(b"ok")
        assert order.index(b"/one") < 300
        many.socket.shutdown(socket.SHUT_RDWR)
        reader.join(10)


def test_at_its_end_it_finishes_what_it_has_begun(server: tuple[Listener, int, Loop]) -> None:
    listener, port, loop = server
    busy, idle = Client(port), Client(port)
    idle.send(GET % b"/i")
    idle.receive(b"/i:")
    busy.send(GET % b"/slow")
    time.sleep(0.05)
    loop.do(listener.close(10))
    assert b"connection: close" in busy.receive(b"/slow:")
    assert idle.rest() == b""
    with pytest.raises(ConnectionRefusedError):
        Client(port)
    for client in (busy, idle):
        client.close()
