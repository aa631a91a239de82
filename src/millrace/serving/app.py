"""The prediction server's paths: which model and protocol a request is for, and what is not there."""

from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote_to_bytes

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from millrace.serving import trace
from millrace.serving.about import About, NotServed, require
from millrace.serving.calls import Codec
from millrace.serving.config import ServingConfig
from millrace.serving.errors import BadRequest, Unanswered
from millrace.serving.fast import FastPath, Rows
from millrace.serving.grpc import PREFIX, Service
from millrace.serving.http import Request, Response
from millrace.serving.internal import Internal
from millrace.serving.metrics import ServingMetrics
from millrace.serving.replica import Placed, Replica
from millrace.serving.served import Served
from millrace.serving.v1 import V1
from millrace.serving.v1_row import V1Row
from millrace.serving.v2 import V2, refuse
from millrace.serving.v2_row import V2Row
from millrace.serving.versions import Shelf

Answer = Response | Awaitable[Response]


class _Path:
    """Predictions of a live model by one protocol."""

    __slots__ = ("_codec", "_served", "fast")

    def __init__(self, served: Served, codec: Codec, fast: FastPath | None) -> None:
        self._served = served
        self._codec = codec
        self.fast = fast

    def answer(self, request: Request) -> Answer:
        fast = self.fast
        if fast is None:
            return self._served.answer(self._codec, request)
        if not request.tried and Rows.is_for(request.method, request.headers):
            content = fast.answer(request.body)
            if content is not None:
                return Response(content)
        if fast.late is not None:
            began, fast.late = fast.late, None
            return self._served.answer_late(self._codec, request, began)
        return self._served.answer(self._codec, request)


class _Live:
    """A live model, and the paths of its predictions."""

    def __init__(self, place: Placed, served: Served, max_body: int) -> None:
        self.place = place
        self.served = served
        name, version, signature = served.name, served.version.version, served.version.signature
        v1 = _Path(served, V1(signature, max_body), served.fast(V1Row.of(signature)))
        v2 = _Path(served, V2(signature, max_body), served.fast(V2Row.of(name, version, signature)))
        self.paths = {
            f"/v2/models/{name}/infer".encode(): v2,
            f"/v2/models/{name}/versions/{version}/infer".encode(): v2,
            f"/v1/models/{name}:predict".encode(): v1,
            f"/v1/models/{name}/versions/{version}:predict".encode(): v1,
        }


class App:
    """Answers requests. What is served changes by `switch`, which threads may call."""

    def __init__(
        self,
        config: ServingConfig,
        replica: Replica,
        shelf: Shelf,
        metrics: ServingMetrics,
        registry: CollectorRegistry,
        internal: Internal | None,
    ) -> None:
        """`internal` answers what control asks; None where there is no control."""
        self.draining = False
        self._config = config
        self._replica = replica
        self._shelf = shelf
        self._metrics = metrics
        self._registry = registry
        self._internal = internal
        self._live: dict[str, _Live] = {}
        self._paths: dict[bytes, _Path] = {}
        self.rows = Rows()
        self._bodies = ThreadPoolExecutor(1, "bodies")
        self._about = About(self)
        self._grpc = Service(self, config.max_body_bytes)
        metrics.states = self._states
        metrics.loaded = lambda: (shelf.loaded, len(self._live))
        metrics.generations = replica.generations
        metrics.ready = lambda: replica.ready

    def switch(self, placed: dict[str, Placed]) -> None:
        """Serve these models from now on. Whole dictionaries are replaced, so a request sees one state."""
        before, live, paths = self._live, {}, {}
        for name, place in placed.items():
            known = before.get(name)
            if known is None or known.place is not place:
                known = self._make(place, known)
            live[name] = known
            paths.update(known.paths)
        self._paths, self._live = paths, live
        self.rows.paths = {target: path.fast for target, path in paths.items() if path.fast}

    def handle(self, request: Request) -> Answer:
        """The answer to a request. On the event loop."""
        found = self._paths.get(request.target)
        if found is not None and request.method == b"POST":
            answer = found.answer(request)
            return trace.passed_on(request, answer) if b"traceparent" in request.headers else answer
        try:
            return self._other(request)
        except Unanswered as wrong:
            return refuse(wrong)

    def served(self, name: str) -> Served | None:
        """A live model."""
        live = self._live.get(name)
        return live.served if live else None

    def models(self) -> list[Served]:
        """All live models."""
        return [live.served for live in self._live.values()]

    @property
    def ready(self) -> bool:
        """Whether requests should come here."""
        return self._replica.ready and not self.draining

    def _make(self, place: Placed, before: _Live | None) -> _Live:
        record = place.record
        metrics = self._metrics.of(record.model, record.version)
        served = Served(record, place.version, place.standby, metrics, self._shelf, self._bodies, self.served)
        if before and before.place.version is place.version:
            old = before.place.record.policy.breaker
            if old == record.policy.breaker:
                served.breaker = before.served.breaker
        return _Live(place, served, self._config.max_body_bytes)

    def _other(self, request: Request) -> Answer:
        path = _path(request.target)
        found = self._paths.get(path.encode())
        if found is not None and request.method == b"POST":
            return found.answer(request)
        if path.startswith(PREFIX):
            return self._grpc.answer(path, request)
        if path.startswith("/replica/") and self._internal:
            return self._internal.answer(path, request)
        if path == "/metrics":
            require(request, "GET")
            return Response(generate_latest(self._registry), content_type=CONTENT_TYPE_LATEST.encode())
        try:
            return self._about.page(path, request)
        except NotServed as error:
            if error.model:
                self._metrics.unserved["unknown_model"] += 1
            if error.model and not self._replica.ready:
                raise Unanswered(
                    503, "this server has not loaded its models yet, ask again", retry_after=1
                ) from None
            raise

    def _states(self) -> dict[str, tuple[int, int, int]]:
        return {
            model.name: (model.breaker.state, model.admission.running, model.admission.waiting)
            for model in self.models()
        }


def _path(target: bytes) -> str:
    """The path of a request's target, decoded; raises `Unanswered`."""
    path = target.partition(b"?")[0].partition(b"#")[0]
    if b"://" in path[:8]:
        # A client that takes the server for a proxy sends the whole address.
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise BadRequest("the path is not UTF-8") from None
    return decoded.rstrip("/") if len(decoded) > 1 else decoded
