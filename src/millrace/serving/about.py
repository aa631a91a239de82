"""What the protocols tell about server and models: health, metadata, index, statistics."""

from importlib.metadata import version
from typing import Any, Protocol

import msgspec

from millrace.serving import docs
from millrace.serving.errors import BadRequest, Unanswered, brief
from millrace.serving.http import Request, Response
from millrace.serving.served import Served
from millrace.serving.v2 import encode

EXTENSIONS = ("binary_tensor_data", "model_repository", "statistics")


class NotServed(Unanswered):
    """Nothing is there. `model` is the name that was asked for, if it was one."""

    def __init__(self, path: str, text: str = "", model: str = "") -> None:
        super().__init__(404, text or f"there is nothing at {brief(path, 200)}")
        self.model = model


class WrongMethod(Unanswered):
    """Something is there, for another method."""

    def __init__(self, method: str, wanted: str) -> None:
        super().__init__(405, f"{method} is not answered here, {wanted} is")
        self.allow = wanted


def require(request: Request, wanted: str) -> None:
    """Raises `WrongMethod`; HEAD is as good as GET."""
    method = request.method.decode("latin-1")
    if method != wanted and not (method == "HEAD" and wanted == "GET"):
        raise WrongMethod(method, wanted)


class Server(Protocol):
    """`millrace.serving.app.App`."""

    @property
    def ready(self) -> bool: ...
    def served(self, name: str) -> Served | None: ...
    def models(self) -> list[Served]: ...


class _Index(msgspec.Struct):
    ready: bool = False


def server_metadata() -> dict[str, Any]:
    """The protocol's server metadata."""
    return {"name": "millrace", "version": version("millrace"), "extensions": EXTENSIONS}


def index(models: list[Served]) -> list[dict[str, str]]:
    """The repository index: everything that is live is ready."""
    return [{"name": m.name, "version": m.version.version, "state": "READY", "reason": ""} for m in models]


def statistics(models: list[Served]) -> dict[str, Any]:
    """The statistics extension's answer."""
    return {
        "model_stats": [
            {"name": m.name, "version": m.version.version, **m.metrics.statistics()} for m in models
        ]
    }


def find(server: Server, name: str, wanted: str = "") -> Served:
    """A live model, in version `wanted` if that is not empty; raises `NotServed`."""
    model = server.served(name)
    if model is None:
        raise NotServed("", f"model '{brief(name)}' is not deployed", name)
    if wanted and wanted != model.version.version:
        text = f"model '{name}' has version {model.version.version} live, not {brief(wanted)}"
        raise NotServed("", text, name)
    return model


class About:
    """Answers questions; nothing here computes."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def page(self, path: str, request: Request) -> Response:
        """Raises `NotServed`, `WrongMethod`, `BadRequest`."""
        match path.split("/")[1:]:
            case [""]:
                # V1's sign of life, as KServe has it.
                content: Any = {"status": "alive"}
            case ["v2"]:
                content = server_metadata()
            case ["v2", "health", "live"]:
                content = {"live": True}
            case ["v2", "health", "ready"]:
                require(request, "GET")
                ready = self._server.ready
                return Response(encode({"ready": ready, "live": True}), 200 if ready else 503)
            case ["v2", "docs"]:
                require(request, "GET")
                return docs.page()
            case ["v2", "docs", "openapi.json"]:
                require(request, "GET")
                return docs.description()
            case ["v2", "models"]:
                content = {"models": [model.name for model in self._server.models()]}
            case ["v2", "models", "stats"] if self._server.served("stats") is None:
                content = statistics(self._server.models())
            case ["v2", "models", name, *rest] if name:
                return self._v2(path, name, rest, request)
            case ["v2", "repository", "index"]:
                require(request, "POST")
                content = self._index(request.body)
                return Response(encode(content))
            case ["v2", "repository", "models", _, "load" | "unload"]:
                require(request, "POST")
                raise Unanswered(
                    403,
                    "load and unload change deployment records: ask the gateway, as a user who may deploy",
                )
            case ["v1", "models"]:
                content = {"models": [model.name for model in self._server.models()]}
            case ["v1", "models", name, *rest] if name:
                return self._v1(path, name, rest, request)
            case _:
                raise NotServed(path)
        require(request, "GET")
        return Response(encode(content))

    def _v2(self, path: str, name: str, rest: list[str], request: Request) -> Response:
        wanted = ""
        if rest[:1] == ["versions"] and len(rest) > 1:
            wanted, rest = rest[1], rest[2:]
        model = find(self._server, name, wanted)
        match rest:
            case []:
                content: Any = model.version.metadata()
            case ["ready"]:
                content = {"name": name, "ready": True}
            case ["stats"]:
                content = statistics([model])
            case ["infer"]:
                raise WrongMethod(request.method.decode("latin-1"), "POST")
            case _:
                raise NotServed(path)
        require(request, "GET")
        return Response(encode(content))

    def _v1(self, path: str, name: str, rest: list[str], request: Request) -> Response:
        last = rest[-1] if rest else name
        last, colon, verb = last.partition(":")
        wanted = ""
        if rest:
            if rest[0] != "versions" or len(rest) != 2:
                raise NotServed(path)
            wanted = last
        else:
            name = last
        model = find(self._server, name, wanted)
        if colon and verb != "predict":
            raise NotServed(path, f"V1 has no '{brief(verb)}' here, only predict")
        if colon:
            raise WrongMethod(request.method.decode("latin-1"), "POST")
        require(request, "GET")
        status = {"error_code": "OK", "error_message": ""}
        # TensorFlow Serving's answer and KServe's in one.
        versions = [{"version": model.version.version, "state": "AVAILABLE", "status": status}]
        return Response(encode({"name": name, "ready": True, "model_version_status": versions}))

    def _index(self, body: bytes) -> list[dict[str, str]]:
        try:
            msgspec.json.decode(body or b"{}", type=_Index)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise BadRequest(f'the body is not as {{"ready": true}}: {error}') from None
        return index(self._server.models())
