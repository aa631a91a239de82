"""The control API. Users come from the gateway, which alone may say who they are."""

import asyncio
import hmac
from collections.abc import Awaitable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

from millrace.control.config import ControlConfig
from millrace.control.deployer import Deployer, Refused
from millrace.serving.errors import Unanswered
from millrace.serving.grpc import PREFIX, framing
from millrace.serving.grpc.schema import MESSAGES
from millrace.serving.http import Request, Response, error
from millrace.serving.records import MODEL_NAME, MODEL_VERSION

#: Bytes that a request may have.
MAX_BODY = 65_536


class _Put(msgspec.Struct, forbid_unknown_fields=True):
    version: str | int | None = None
    policy: dict[str, Any] | None = None


class _Load(msgspec.Struct):
    parameters: dict[str, Any] | None = None


class App:
    """Answers requests. `secret` is what the gateway adds to every request (empty: not asked for)."""

    def __init__(
        self, config: ControlConfig, deployer: Deployer, registry: CollectorRegistry, secret: str
    ) -> None:
        self._config = config
        self._deployer = deployer
        self._registry = registry
        self._secret = secret
        # Deployments take seconds and wait for each other; questions have threads of their own.
        self._changes = ThreadPoolExecutor(8, "changes")
        self._questions = ThreadPoolExecutor(4, "questions")
        self._outcomes = Counter(
            "millrace_deployments",
            "Deployments asked for, by status of the answer",
            ["status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "millrace_deployment_seconds",
            "Time from a request to deploy to its answer",
            buckets=(0.5, 1, 2, 5, 10, 30, 60, 120),
            registry=registry,
        )

    def handle(self, request: Request) -> Awaitable[Response]:
        """The answer to a request. On the event loop."""
        return self._answer(request)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._route(request)
        except Refused as refused:
            return error(refused.status, str(refused))

    async def _route(self, request: Request) -> Response:
        method = request.method.decode("latin-1")
        path = unquote(request.target.partition(b"?")[0].decode("latin-1")).rstrip("/")
        match path.split("/")[1:]:
            case ["health"]:
                return _json({"live": True})
            case ["metrics"]:
                content = generate_latest(self._registry)
                return Response(content, content_type=CONTENT_TYPE_LATEST.encode())
            case ["v2", "repository", "models", model, "load" | "unload" as verb]:
                user = self._user(request)
                _require(method, "POST")
                _check_parameters(request.body)
                await self._repository(verb, model, user, request)
                return _json({})
            case [service, "RepositoryModelLoad" | "RepositoryModelUnload" as verb] if (
                f"/{service}/" == PREFIX
            ):
                return await self._grpc(verb, request)
            case ["deployments"]:
                self._user(request)
                _require(method, "GET")
                return _json(list((await self._ask(self._deployer.deployments)).values()))
            case ["deployments", model]:
                return await self._deployment(method, model, request)
        raise Refused(404, f"there is nothing at {path[:200]}")

    async def _deployment(self, method: str, model: str, request: Request) -> Response:
        user = self._user(request)
        _check_name(model)
        if method == "GET":
            record = (await self._ask(self._deployer.deployments)).get(model)
            if record is None:
                raise Refused(404, f"model '{model}' is not deployed")
            return _json(record)
        if method == "PUT":
            version, policy = _asked(request.body)
            self._may_change(request)
            return _json(await self._change(self._deployer.deploy, model, version, user, policy))
        if method == "DELETE":
            self._may_change(request)
            await self._change(self._deployer.remove, model)
            return _json({"model": model, "version": None})
        raise Refused(405, f"{method} is not answered here, GET, PUT and DELETE are")

    async def _grpc(self, verb: str, request: Request) -> Response:
        """The repository extension over gRPC."""
        try:
            user = self._user(request)
            message = framing.unframe(request, MESSAGES[f"{verb}Request"], MAX_BODY)
            _check_names(message.parameters)
            load = "load" if verb == "RepositoryModelLoad" else "unload"
            await self._repository(load, message.model_name, user, request)
        except Refused as refused:
            return framing.refusal(refused.status, str(refused))
        except Unanswered as wrong:
            return framing.refuse(wrong)
        return framing.answer(MESSAGES[f"{verb}Response"]())

    async def _repository(self, verb: str, model: str, user: str, request: Request) -> None:
        """V2's repository extension: `load` deploys the newest version, `unload` removes the model.

        Raises `Refused`.
        """
        self._may_change(request)
        _check_name(model)
        if verb == "load":
            await self._change(self._deployer.load, model, user)
        else:
            await self._change(self._deployer.remove, model)

    def _user(self, request: Request) -> str:
        """Who asks, as the gateway says; anyone else with a certificate of the site may not say so."""
        if self._config.tls and request.peer not in self._config.gateway_hosts:
            raise Refused(403, "only the gateway may ask this")
        given = request.header(b"x-millrace-gateway")
        if self._secret and not hmac.compare_digest(given.encode(), self._secret.encode()):
            raise Refused(403, "only the gateway may ask this")
        user = request.header(b"x-millrace-user")
        if not user:
            raise Refused(401, "log in first")
        return user

    def _may_change(self, request: Request) -> None:
        group = request.header(b"x-millrace-group")
        if group not in self._config.deploy_groups:
            allowed = " or ".join(self._config.deploy_groups)
            raise Refused(403, f"group '{group}' may not change what is deployed, {allowed} may")

    async def _ask(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._questions, function, *arguments)

    async def _change(self, function: Any, *arguments: Any) -> Any:
        # Goes on to its end even when the client does not wait for it.
        return await asyncio.shield(self._counted(function, *arguments))

    async def _counted(self, function: Any, *arguments: Any) -> Any:
        with self._seconds.time():
            status = 200
            try:
                return await asyncio.get_running_loop().run_in_executor(self._changes, function, *arguments)
            except Refused as refused:
                status = refused.status
                raise
            except Exception:
                status = 500
                raise
            finally:
                self._outcomes.labels(str(status)).inc()


def _require(method: str, wanted: str) -> None:
    if method != wanted:
        raise Refused(405, f"{method} is not answered here, {wanted} is")


def _check_name(model: str) -> None:
    if not MODEL_NAME.fullmatch(model):
        raise Refused(400, "a model's name is letters, digits, '.', '_' and '-', at most 128")


def _asked(body: bytes) -> tuple[str | None, dict[str, Any] | None]:
    """Version and changes of the policy that a request to deploy names; raises `Refused`."""
    try:
        asked = msgspec.json.decode(body, type=_Put)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as wrong:
        text = f'the body must be as {{"version": "3"}}, with a policy if it changes: {wrong}'
        raise Refused(400, text) from None
    if asked.version is None:
        if asked.policy is None:
            raise Refused(400, 'the body must be as {"version": "3"}: it names neither version nor policy')
        return None, asked.policy
    version = str(asked.version)
    if not MODEL_VERSION.fullmatch(version):
        raise Refused(400, "a version is a whole number, as the registry gives it")
    return version, asked.policy


def _check_parameters(body: bytes) -> None:
    """Nothing but what the registry has is loaded: files and configurations in a request are refused."""
    try:
        asked = msgspec.json.decode(body or b"{}", type=_Load)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as wrong:
        raise Refused(400, f"the body is not a JSON object: {wrong}") from None
    _check_names(asked.parameters or {})


def _check_names(parameters: Iterable[str]) -> None:
    surplus = set(parameters) - {"unload_dependents"}
    if surplus:
        raise Refused(400, f"the parameter '{min(surplus)[:40]}' is not known: models come from the registry")


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content))
