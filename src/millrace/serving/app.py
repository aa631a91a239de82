"""The prediction server's HTTP side: paths to models, errors to answers."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from millrace.serving.asgi import JSON, Receive, Scope, Send, TooLarge, answer, header, read_body
from millrace.serving.config import ServingConfig
from millrace.serving.follower import Away
from millrace.serving.inference import ModelVersion
from millrace.serving.metrics import ServingMetrics
from millrace.serving.protocol import BadRequest, encode
from millrace.serving.records import Record
from millrace.serving.replica import Refused, Replica

log = logging.getLogger("millrace.serving")
# A larger body is answered beside the event loop: it takes long enough for others to notice.
INLINE_BYTES = 16 * 1024
_JSON_HEADER = (b"content-type", JSON)


class _Abandon(msgspec.Struct):
    model: str
    generation: int


class _Answered(Exception):
    """An error answer: status, text, further headers."""

    def __init__(self, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
        self.status, self.text, self.headers = status, text, headers


class App:
    """The ASGI application. `refresh` waits until all deployment records are known, or raises `Away`."""

    def __init__(
        self,
        config: ServingConfig,
        replica: Replica,
        metrics: ServingMetrics,
        registry: CollectorRegistry,
        refresh: Callable[[float], None],
    ) -> None:
        self.draining = False
        self._config = config
        self._replica = replica
        self._metrics = metrics
        self._registry = registry
        self._refresh = refresh
        self._models: dict[str, ModelVersion] = {}
        self._infer_paths: dict[str, ModelVersion] = {}
        self._pending_bytes = 0
        self._batches = ThreadPoolExecutor(1, "batches")
        self._loads = ThreadPoolExecutor(1, "loads")

    def switch(self, models: dict[str, ModelVersion]) -> None:
        """Serve `models` from now on. Thread-safe: whole dictionaries are replaced."""
        self._infer_paths = {
            path: model
            for name, model in models.items()
            for path in (f"/v2/models/{name}/infer", f"/v2/models/{name}/versions/{model.version}/infer")
        }
        self._models = models

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        try:
            if scope["method"] == "POST" and path.endswith("/infer"):
                body = await self._infer(path, scope, receive)
                await send(
                    {
                        "type": "http.response.start",
                        "status": 200,
                        "headers": [_JSON_HEADER, (b"content-length", b"%d" % len(body))],
                    }
                )
                await send({"type": "http.response.body", "body": body})
            else:
                await self._other(path.rstrip("/"), scope, receive, send)
        except _Answered as error:
            await _error(send, error.status, error.text, *error.headers)
        except BadRequest as error:
            await _error(send, 400, str(error))
        except TooLarge:
            self._metrics.too_large += 1
            await _error(send, 413, f"the body is larger than {self._config.max_body_bytes} bytes")
        except ConnectionError:
            log.debug("the client went away")
        except Exception:
            log.exception("%s %s", scope["method"], path)
            await _error(send, 500, "internal error, see the server's journal")

    async def _infer(self, path: str, scope: Scope, receive: Receive) -> bytes:
        message = await receive()
        body = message.get("body", b"")
        reserved = 0
        if message.get("more_body") or len(body) > INLINE_BYTES:
            reserved = self._reserve(scope)
            if not reserved:
                # Read and thrown away, for a sender hears nothing before it has sent.
                with contextlib.suppress(TooLarge):
                    await read_body(receive, 0, message)
                raise _Answered(503, "too many large requests at once, try again", (b"retry-after", b"1"))
        try:
            if reserved:
                body = await read_body(receive, self._config.max_body_bytes, message)
            # Looked up after the body has come: a slow sender must not hold on to a replaced version.
            model = self._infer_paths.get(path)
            if model is None:
                self._metrics.unknown_model += 1
                raise self._unknown(path)
            if not reserved:
                return model.infer(body)
            model.busy += 1
            try:
                return await asyncio.get_running_loop().run_in_executor(self._batches, model.infer, body)
            finally:
                model.busy -= 1
        except BadRequest:
            _refuse_encodings(scope)
            raise
        finally:
            self._pending_bytes -= reserved

    def _reserve(self, scope: Scope) -> int:
        """Bytes set aside for a large body, for many would end the process; 0: none are left."""
        declared = header(scope, b"content-length")
        limit = self._config.max_body_bytes
        size = max(1, min(int(declared) if declared.isdigit() else limit, limit))
        if self._pending_bytes + size > self._config.max_pending_bytes:
            return 0
        self._pending_bytes += size
        return size

    def _unknown(self, path: str) -> _Answered:
        parts = path.split("/")
        if len(parts) < 5 or parts[1:3] != ["v2", "models"]:
            return _Answered(404, f"there is nothing at {path}")
        model = self._models.get(parts[3])
        if model is None:
            return _Answered(404, f"model '{parts[3]}' is not deployed")
        if parts[4] == "versions" and len(parts) > 5 and parts[5] != model.version:
            return _Answered(404, f"model '{parts[3]}' has version {model.version} live, not {parts[5]}")
        return _Answered(404, f"there is nothing at {path}")

    async def _other(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if path.startswith("/replica/"):
            await self._internal(path, scope, receive, send)
            return
        wanted = "POST" if path == "/v2/repository/index" or path.endswith("/infer") else "GET"
        content: Any
        status = 200
        if path == "/metrics":
            _require(method, "GET")
            await answer(send, 200, generate_latest(self._registry), CONTENT_TYPE_LATEST.encode())
            return
        if path == "/v2/health/live":
            content = {"live": True}
        elif path == "/v2/health/ready":
            ready = self._replica.ready and not self.draining
            content, status = {"ready": ready, "live": True}, 200 if ready else 503
        elif path == "/v2":
            content = {"name": "millrace", "version": version("millrace"), "extensions": []}
        elif path == "/v2/repository/index":
            models = self._models.values()
            content = [{"name": m.name, "version": m.version, "state": "READY", "reason": ""} for m in models]
        else:
            content = self._about(path)
        _require(method, wanted)
        await answer(send, status, encode(content))

    def _about(self, path: str) -> Any:
        """A model's metadata or readiness: /v2/models/{m}[/versions/{v}][/ready]."""
        if path.endswith("/infer"):
            return None
        parts = path.split("/")[1:]
        ready = parts[-1:] == ["ready"]
        parts = parts[:-1] if ready else parts
        model = self._models.get(parts[2]) if len(parts) in (3, 5) and parts[:2] == ["v2", "models"] else None
        if model is None or (len(parts) == 5 and parts[3:] != ["versions", model.version]):
            raise self._unknown(path if len(parts) != 3 else f"{path}/")
        return {"name": model.name, "ready": True} if ready else model.metadata()

    async def _internal(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """What control asks of a replica; the gateway does not lead here."""
        if self._config.tls and scope["state"]["peer"] not in self._config.control_hosts:
            raise _Answered(403, "only control may ask this")
        loop = asyncio.get_running_loop()
        if path == "/replica/status":
            _require(scope["method"], "GET")
            await answer(send, 200, encode(self._replica.status()))
            return
        if path not in ("/replica/prepare", "/replica/abandon"):
            raise _Answered(404, f"there is nothing at {path}")
        _require(scope["method"], "POST")
        body = await read_body(receive, 65536)
        try:
            if path == "/replica/prepare":
                await loop.run_in_executor(self._loads, self._prepare, Record.decode(body))
            else:
                request = msgspec.json.decode(body, type=_Abandon)
                self._replica.abandon(request.model, request.generation)
        except msgspec.MsgspecError as error:
            raise _Answered(400, str(error)) from None
        except Refused as error:
            raise _Answered(409, str(error)) from None
        await answer(send, 200, b"{}")

    def _prepare(self, record: Record) -> None:
        try:
            self._refresh(self._config.kafka.away_after)
        except Away as error:
            raise Refused(f"it would not hear of the switch, Kafka is away: {error}") from error
        self._replica.prepare(record)


def _require(method: str, wanted: str) -> None:
    if method != wanted:
        raise _Answered(405, f"{method} is not answered here, {wanted} is", (b"allow", wanted.encode()))


def _refuse_encodings(scope: Scope) -> None:
    """A body that could not be read may be of a kind that this server does not read."""
    encoding = header(scope, b"content-encoding")
    if encoding not in ("", "identity"):
        raise _Answered(415, f"the body is encoded as {encoding}, this server reads plain JSON")
    if header(scope, b"inference-header-content-length"):
        raise _Answered(400, "the request carries binary tensors, this server reads JSON")


async def _error(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    await answer(send, status, encode({"error": text}), JSON, *headers)
