"""What control asks of a replica: prepare, abandon, status. The gateway does not lead here."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from millrace.serving.about import NotServed, require
from millrace.serving.config import ServingConfig
from millrace.serving.errors import Away, BadRequest, Unanswered
from millrace.serving.http import Request, Response
from millrace.serving.records import Record
from millrace.serving.replica import Refused, Replica
from millrace.serving.v2 import encode, refuse


class _Abandon(msgspec.Struct):
    model: str
    generation: int


class Internal:
    """`refresh` waits until all deployment records are known, or raises `Away`."""

    def __init__(self, config: ServingConfig, replica: Replica, refresh: Callable[[float], None]) -> None:
        self._config = config
        self._replica = replica
        self._refresh = refresh
        self._loads = ThreadPoolExecutor(1, "loads")

    def answer(self, path: str, request: Request) -> Response | Awaitable[Response]:
        """Raises `Unanswered`."""
        if self._config.tls and request.peer not in self._config.control_hosts:
            raise Unanswered(403, "only control may ask this")
        if path == "/replica/status":
            require(request, "GET")
            return Response(encode(self._replica.status()))
        if path == "/replica/abandon":
            require(request, "POST")
            try:
                asked = msgspec.json.decode(request.body, type=_Abandon)
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                raise BadRequest(str(error)) from None
            self._replica.abandon(asked.model, asked.generation)
            return Response(b"{}")
        if path != "/replica/prepare":
            raise NotServed(path)
        require(request, "POST")
        try:
            record = Record.decode(request.body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise BadRequest(str(error)) from None
        return self._later(record)

    async def _later(self, record: Record) -> Response:
        try:
            await asyncio.get_running_loop().run_in_executor(self._loads, self._prepare, record)
        except Refused as error:
            return refuse(Unanswered(409, str(error)))
        return Response(b"{}")

    def _prepare(self, record: Record) -> None:
        try:
            self._refresh(self._config.kafka.away_after)
        except Away as error:
            raise Refused(f"it would not hear of the switch, Kafka is away: {error}") from error
        self._replica.prepare(record)
