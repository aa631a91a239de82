"""The methods of inference.GRPCInferenceService that a prediction server answers."""

from collections.abc import Awaitable
from typing import Any

from millrace.serving.about import Server, find, index, server_metadata, statistics
from millrace.serving.errors import Unanswered
from millrace.serving.grpc import framing
from millrace.serving.grpc.infer import Infer
from millrace.serving.grpc.schema import MESSAGES
from millrace.serving.http import Request, Response

PREFIX = "/inference.GRPCInferenceService/"


class Service:
    """`max_body`: bytes that a message may have once it is unpacked."""

    def __init__(self, server: Server, max_body: int) -> None:
        self._server = server
        self._max_body = max_body

    def answer(self, path: str, request: Request) -> Response | Awaitable[Response]:
        """The answer to a call. Never raises `Unanswered`: the status tells it."""
        method = path.removeprefix(PREFIX)
        try:
            if request.method != b"POST":
                raise Unanswered(405, "gRPC calls are POST")
            if method not in METHODS:
                raise Unanswered(405, f"{method[:80]} is not answered here, {', '.join(METHODS)} are")
            message = framing.unframe(request, MESSAGES[f"{method}Request"], self._max_body)
            if method == "ModelInfer":
                return self._infer(message, request)
            if method in ("RepositoryModelLoad", "RepositoryModelUnload"):
                raise Unanswered(403, "load and unload change deployment records: ask the gateway")
            return framing.answer(self._about(method, message))
        except Unanswered as wrong:
            return framing.refuse(wrong)

    def _infer(self, message: Any, request: Request) -> Response | Awaitable[Response]:
        model = find(self._server, message.model_name, message.model_version)
        request.timeout = framing.timeout(request)
        return model.answer(Infer(message, model.version.signature), request)

    def _about(self, method: str, message: Any) -> Any:
        made = MESSAGES[f"{method}Response"]
        if method == "ServerLive":
            return made(live=True)
        if method == "ServerReady":
            return made(ready=self._server.ready)
        if method == "ModelReady":
            try:
                find(self._server, message.name, message.version)
            except Unanswered:
                return made(ready=False)
            return made(ready=True)
        if method == "ServerMetadata":
            return made(**server_metadata())
        if method == "ModelMetadata":
            content = find(self._server, message.name, message.version).version.metadata()
            del content["parameters"]
            return made(**content)
        if method == "RepositoryIndex":
            return made(models=index(self._server.models()))
        models = self._server.models()
        if message.name:
            models = [find(self._server, message.name, message.version)]
        content = statistics(models)
        for each in content["model_stats"]:
            del each["batch_stats"]
        return made(**content)


METHODS = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
    "ModelStatistics",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
)
