"""A server answers at a Unix socket as it does at its port."""

import socket
import stat
from pathlib import Path

import pytest

from millrace.serving.config import InvalidConfig, Tls, require_tls_beyond_loopback
from millrace.serving.http import Request, Response
from tests.unit.serving.running import INFER, ROWS, Client, Running, listening

GET = b"GET /a HTTP/1.1\r\nHost: site\r\n\r\n"


def echo(request: Request) -> Response:
    return Response(request.target)


def answer_at(place: int | Path) -> bytes:
    client = Client(place)
    client.send(GET)
    answer = client.receive(b"/a")
    client.close()
    return answer


def test_it_answers_at_both(tmp_path: Path) -> None:
    path = tmp_path / "1.sock"
    with listening(echo) as (listener, port, loop):
        loop.do(listener.start_local(path))
        for place in (port, path):
            assert answer_at(place).endswith(b"\r\n\r\n/a")


def test_nobody_but_its_owner_and_group_may_connect(tmp_path: Path) -> None:
    path = tmp_path / "1.sock"
    with listening(echo) as (listener, _, loop):
        loop.do(listener.start_local(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_what_an_earlier_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "1.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with listening(echo) as (listener, _, loop):
        loop.do(listener.start_local(path))
        assert answer_at(path).endswith(b"\r\n\r\n/a")


def test_it_ends_with_the_listener(tmp_path: Path) -> None:
    path = tmp_path / "1.sock"
    with listening(echo) as (listener, _, loop):
        loop.do(listener.start_local(path))
        idle = Client(path)
        loop.do(listener.close(10))
        assert idle.rest() == b""
        idle.close()
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            Client(path)


def test_a_gateway_predicts_there_and_prepares_nothing(tmp_path: Path) -> None:
    path = tmp_path / "1.sock"
    # Of the certificates only that there are some matters: who comes by the socket has none.
    server = Running(tmp_path, tls=Tls("ca", "certificate", "key"))
    try:
        server.loop.do(server.listener.start_local(path))
        client = Client(path)
        body = str({"inputs": ROWS}).replace("'", '"').encode()
        client.send(
            b"POST %b HTTP/1.1\r\nHost: site\r\nContent-Length: %d\r\n\r\n%b"
            % (INFER.encode(), len(body), body)
        )
        assert client.receive(b"]}").startswith(b"HTTP/1.1 200 OK")
        client.send(b"GET /replica/status HTTP/1.1\r\nHost: site\r\n\r\n")
        assert client.receive(b"only control may ask this").startswith(b"HTTP/1.1 403")
        client.close()
    finally:
        server.end()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "away" / "1.sock"
    with listening(echo) as (listener, _, loop), pytest.raises(OSError, match=r"existing folder .*away"):
        loop.do(listener.start_local(path))


def test_a_socket_without_certificates_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="socket_dir"):
        require_tls_beyond_loopback("127.0.0.1", None, "/run/sockets")
