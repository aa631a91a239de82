"""A live model: requests are computed at once, or beside the event loop under the policy of its record."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from numpy.typing import NDArray

from millrace.serving.admission import Admission
from millrace.serving.batching import Batcher
from millrace.serving.breaker import CLOSED, Breaker
from millrace.serving.calls import Answer, Call, Codec
from millrace.serving.errors import BadRequest, Unanswered
from millrace.serving.fallback import Constant, Unfit, check_stands_in
from millrace.serving.fast import LARGE_BYTES, FastPath, RowCodec
from millrace.serving.http import Request, Response
from millrace.serving.metrics import REASONS, ModelMetrics
from millrace.serving.records import Record
from millrace.serving.runtimes import Unavailable
from millrace.serving.versions import ModelVersion, Shelf

log = logging.getLogger("millrace.serving")
Arrays = dict[str, NDArray[Any]]
# Answers of more rows are written beside the event loop, as larger bodies are read: others would notice.
LARGE_ROWS = 512
_clock = time.perf_counter


class Served:
    """Lives on the event loop. `live` gives another model by its name, for a fallback."""

    def __init__(
        self,
        record: Record,
        version: ModelVersion,
        standby: ModelVersion | None,
        metrics: ModelMetrics,
        shelf: Shelf,
        bodies: ThreadPoolExecutor,
        live: Callable[[str], "Served | None"],
    ) -> None:
        """`standby` is the version that the policy's fallback names, `bodies` threads for large bodies."""
        self.record = record
        self.name = record.model
        self.version = version
        self.policy = record.policy
        self.metrics = metrics
        self.breaker = Breaker(self.policy.breaker)
        self.admission = Admission(self.name, self.policy.concurrency, self.policy.queue)
        self._standby = standby
        self._shelf = shelf
        self._bodies = bodies
        self._live = live
        self._pool: ThreadPoolExecutor | None = None
        self._spare: ThreadPoolExecutor | None = None
        self._batcher: Batcher | None = None
        if self.policy.batching:
            names = version.signature.output_names
            self._batcher = Batcher(self.policy.batching, names, self._compute_batch)
        self._constant: Constant | None = None
        if self.policy.fallback and self.policy.fallback.constant is not None:
            try:
                self._constant = Constant(self.policy.fallback.constant, version.signature)
            except Unfit as error:
                # Refused when it was prepared; a record that came otherwise must not take the model out.
                log.error("%s is served without its fallback: %s", self.name, error)

    def fast(self, codec: RowCodec | None) -> FastPath | None:
        """The fast path of a protocol, None where its rows have none or the policy wants them in batches."""
        return FastPath(self, codec) if codec and not self._batcher else None

    def answer(self, codec: Codec, request: Request) -> Response | Awaitable[Response]:
        """The answer to a request that `codec` reads."""
        version = self.version
        runtime = version.runtime
        if (
            runtime is None
            or not version.inline_rows
            or self._batcher
            or self.breaker.state != CLOSED
            or _is_large(request)
        ):
            return self._beside(codec, request)
        began = _clock()
        try:
            call = codec.read(request)
        except Unanswered as wrong:
            return self._refuse(codec, wrong, began)
        if call.rows > version.inline_rows:
            return self._beside(codec, request, call, began)
        read = version.used = _clock()
        try:
            outputs = runtime.run(call.inputs, call.outputs)
        except Exception:
            # Once more, where there is time to see whose fault it is.
            return self._beside(codec, request, call, began)
        computed = _clock()
        if computed - began > self.policy.deadline_seconds:
            return self._too_late(codec, call, began)
        response = codec.write(call, Answer(self.name, version.version, outputs))
        self.breaker.calls += 1
        self.metrics.answered(began, read, read, computed, call.rows)
        return response

    def answer_late(self, codec: Codec, request: Request, began: float) -> Response | Awaitable[Response]:
        """The answer to a request that has been computed already, after its deadline."""
        try:
            return self._too_late(codec, codec.read(request), began)
        except Unanswered as wrong:
            return self._refuse(codec, wrong, began)

    async def compute(self, inputs: Arrays, outputs: Sequence[str], deadline: float) -> Arrays:
        """The outputs, by the rules of the policy, until `deadline` in the loop's time.

        Raises `Unanswered`, TimeoutError.
        """
        breaker = self.breaker
        if not breaker.allows():
            text = f"model '{self.name}' has failed too often and is left alone for a while"
            raise Unanswered(503, text, "open", breaker.wait())
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(deadline):
                await self.admission.enter()
        except BaseException:
            breaker.abandoned()
            raise
        # Who gives up waiting frees no thread: the place is taken until the computation really ends.
        future = self._threads().submit(self._run, inputs, outputs, deadline - loop.time())
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self.admission.leave))
        try:
            async with asyncio.timeout_at(deadline):
                results = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            breaker.abandoned()
            raise
        except BadRequest:
            breaker.succeeded()
            raise
        except Exception:
            breaker.failed()
            raise
        breaker.succeeded()
        return results

    async def _beside(
        self, codec: Codec, request: Request, call: Call | None = None, began: float | None = None
    ) -> Response:
        """The same with threads, and with all that the policy says."""
        began = _clock() if began is None else began
        seconds = min(self.policy.deadline_seconds, request.timeout or math.inf)
        deadline = asyncio.get_running_loop().time() + seconds - (_clock() - began)
        self.version.busy += 1
        self.version.used = began
        try:
            call = call or await self._read(codec, request, deadline)
            read = _clock()
            if self._batcher and call.rows < self._batcher.rows:
                async with asyncio.timeout_at(deadline):
                    outputs = await self._batcher.run(call)
            else:
                outputs = await self.compute(call.inputs, call.outputs, deadline)
            computed = _clock()
            response = await self._write(codec, call, Answer(self.name, self.version.version, outputs))
            self.metrics.answered(began, read, read, computed, call.rows)
            return response
        except TimeoutError:
            wrong = self._late(seconds)
        except Unanswered as refused:
            wrong = refused
        finally:
            self.version.busy -= 1
        if call is None:
            return self._refuse(codec, wrong, began)
        return await self._without(codec, call, wrong, began)

    async def _without(self, codec: Codec, call: Call, wrong: Unanswered, began: float) -> Response:
        """The answer when the model has none."""
        if wrong.reason in REASONS and self.policy.fallback:
            answer = await self._fall_back(call, wrong.reason)
            if answer:
                self.metrics.unanswered("fallback", began)
                self.metrics.fallbacks[wrong.reason] += 1
                return await self._write(codec, call, answer)
        return self._refuse(codec, wrong, began)

    async def _fall_back(self, call: Call, reason: str) -> Answer | None:
        """What the fallback says, None when it has no answer either. It gets as long as the model."""
        loop, seconds = asyncio.get_running_loop(), self.policy.deadline_seconds
        if self._constant:
            rows = self._constant.compute(call.outputs, call.rows)
            return Answer(self.name, self.version.version, rows, self._constant.label, reason)
        try:
            if self._standby:
                self._spare = self._spare or ThreadPoolExecutor(2, f"{self.name}-fallback")
                run = partial(self._compute_with, self._standby, call.inputs, call.outputs, seconds)
                outputs = await asyncio.wait_for(loop.run_in_executor(self._spare, run), seconds)
                version = self._standby.version
                return Answer(self.name, version, outputs, f"version {version}", reason)
            other = self._live(self.policy.fallback.model or "") if self.policy.fallback else None
            if other is None or other is self:
                return None
            check_stands_in(other.version.signature, self.version.signature, f"model {other.name}")
            version = other.version.version
            outputs = await other.compute(call.inputs, call.outputs, loop.time() + seconds)
            return Answer(self.name, version, outputs, f"model {other.name} version {version}", reason)
        except Exception as error:
            log.warning("the fallback of %s has no answer: %s", self.name, str(error) or type(error).__name__)
            return None

    async def _read(self, codec: Codec, request: Request, deadline: float) -> Call:
        if not _is_large(request):
            return codec.read(request)
        async with asyncio.timeout_at(deadline):
            return await asyncio.get_running_loop().run_in_executor(self._bodies, codec.read, request)

    async def _write(self, codec: Codec, call: Call, answer: Answer) -> Response:
        if call.rows <= LARGE_ROWS:
            return codec.write(call, answer)
        return await asyncio.get_running_loop().run_in_executor(self._bodies, codec.write, call, answer)

    async def _compute_batch(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        deadline = asyncio.get_running_loop().time() + self.policy.deadline_seconds
        return await self.compute(inputs, outputs, deadline)

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.policy.concurrency, self.name)
        return self._pool

    def _run(self, inputs: Arrays, outputs: Sequence[str], timeout: float) -> Arrays:
        """In a thread: raises TimeoutError, or `Unanswered` that says whose fault it is."""
        version = self.version
        try:
            return self._compute_with(version, inputs, outputs, timeout)
        except TimeoutError:
            raise
        except Unavailable as error:
            text = f"model '{self.name}' is not there for now: {error}"
            raise Unanswered(503, text, "failed", error.retry_after) from error
        except Exception as error:
            reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            # Rows that it has computed before tell a broken model from values that it cannot take.
            if version.is_well(timeout):
                raise BadRequest(f"model '{self.name}' cannot compute these rows: {reason}") from error
            raise Unanswered(503, f"model '{self.name}' is broken: {reason}", "failed", 1) from error

    def _compute_with(
        self, version: ModelVersion, inputs: Arrays, outputs: Sequence[str], timeout: float
    ) -> Arrays:
        if version.runtime is None:
            self._shelf.take(version)
        return version.compute(inputs, outputs, timeout)

    def _too_late(self, codec: Codec, call: Call, began: float) -> Awaitable[Response]:
        self.breaker.failed()
        return self._without(codec, call, self._late(self.policy.deadline_seconds), began)

    def _late(self, seconds: float) -> Unanswered:
        return Unanswered(504, f"model '{self.name}' did not answer within {seconds:g} s", "deadline")

    def _refuse(self, codec: Codec, wrong: Unanswered, began: float) -> Response:
        self.metrics.unanswered(wrong.reason, began)
        return codec.refuse(wrong)


def _is_large(request: Request) -> bool:
    return len(request.body) > LARGE_BYTES or b"content-encoding" in request.headers
