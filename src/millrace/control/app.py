"""The control API. Users come from the gateway, which alone may say who they are."""

import asyncio
import hmac
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

from millrace.control.config import ControlConfig
from millrace.control.deployer import Deployer, Refused
from millrace.serving.asgi import Receive, Scope, Send, TooLarge, answer, header, read_body
from millrace.serving.records import MODEL_NAME

log = logging.getLogger("millrace.control")
_MAX_BODY = 65_536


class _Put(msgspec.Struct):
    version: str | int


class App:
    """The ASGI application. `secret` is what the gateway adds to every request (empty: not asked for)."""

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._route(scope, receive, send)
        except Refused as error:
            await _reply(send, error.status, {"error": str(error)})
        except TooLarge:
            await _reply(send, 413, {"error": f"the body is larger than {_MAX_BODY} bytes"})
        except ConnectionError:
            log.debug("the client went away")
        except Exception:
            log.exception("%s %s", scope["method"], scope["path"])
            await _reply(send, 500, {"error": "internal error, see control's journal"})

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"].rstrip("/")
        if path == "/health":
            await _reply(send, 200, {"live": True})
            return
        if path == "/metrics":
            await answer(send, 200, generate_latest(self._registry), CONTENT_TYPE_LATEST.encode())
            return
        parts = path.split("/")[1:]
        if parts[:1] != ["deployments"] or len(parts) > 2:
            raise Refused(404, f"there is nothing at {path}")
        user = self._user(scope)
        if len(parts) == 1:
            if method != "GET":
                raise Refused(405, f"{method} is not answered here, GET is")
            await _reply(send, 200, list((await self._ask(self._deployer.deployments)).values()))
            return
        model = parts[1]
        if not MODEL_NAME.fullmatch(model):
            raise Refused(400, "a model's name is letters, digits, '.', '_' and '-', at most 128")
        if method == "GET":
            record = (await self._ask(self._deployer.deployments)).get(model)
            if record is None:
                raise Refused(404, f"model '{model}' is not deployed")
            await _reply(send, 200, record)
        elif method == "PUT":
            version = _version(await read_body(receive, _MAX_BODY))
            self._may_change(scope)
            await _reply(send, 200, await self._change(self._deployer.deploy, model, version, user))
        elif method == "DELETE":
            self._may_change(scope)
            await self._change(self._deployer.remove, model)
            await _reply(send, 200, {"model": model, "version": None})
        else:
            raise Refused(405, f"{method} is not answered here, GET, PUT and DELETE are")

    def _user(self, scope: Scope) -> str:
        """Who asks, as the gateway says; anyone else with a certificate of the site may not say so."""
        if self._config.tls and scope["state"]["peer"] not in self._config.gateway_hosts:
            raise Refused(403, "only the gateway may ask this")
        given = header(scope, b"x-millrace-gateway")
        if self._secret and not hmac.compare_digest(given.encode(), self._secret.encode()):
            raise Refused(403, "only the gateway may ask this")
        user = header(scope, b"x-millrace-user")
        if not user:
            raise Refused(401, "log in first")
        return user

    def _may_change(self, scope: Scope) -> None:
        group = header(scope, b"x-millrace-group")
        if group not in self._config.deploy_groups:
            allowed = " or ".join(self._config.deploy_groups)
            raise Refused(403, f"group '{group}' may not change what is deployed, {allowed} may")

    async def _ask(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._questions, function, *arguments)

    async def _change(self, function: Any, *arguments: Any) -> Any:
        with self._seconds.time():
            status = 200
            try:
                # Goes on to its end even when the client does not wait for it.
                return await asyncio.get_running_loop().run_in_executor(self._changes, function, *arguments)
            except Refused as error:
                status = error.status
                raise
            except Exception:
                status = 500
                raise
            finally:
                self._outcomes.labels(str(status)).inc()


def _version(body: bytes) -> str:
    try:
        version = str(msgspec.json.decode(body, type=_Put).version)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Refused(400, f'the body must be as {{"version": "3"}}: {error}') from None
    if not version.isdecimal() or len(version) > 18:
        raise Refused(400, "a version is a whole number, as the registry gives it")
    return version


async def _reply(send: Send, status: int, content: Any) -> None:
    await answer(send, status, msgspec.json.encode(content))
