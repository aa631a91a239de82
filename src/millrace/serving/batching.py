"""Micro-batching: calls that come close together are computed as one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace.serving.calls import Call
from millrace.serving.policy import BatchPolicy

Arrays = dict[str, NDArray[Any]]
Run = Callable[[Arrays, Sequence[str]], Awaitable[Arrays]]


class Batcher:
    """Lives on the event loop. `run` computes arrays of all inputs; rows get equal bits in any company."""

    def __init__(self, policy: BatchPolicy, outputs: Sequence[str], run: Run) -> None:
        self._policy = policy
        self.rows = policy.rows
        self._outputs = outputs
        self._run = run
        self._calls: list[tuple[Call, asyncio.Future[Arrays]]] = []
        self._rows = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, call: Call) -> Arrays:
        """The outputs of `call`; raises what computing it alone would raise."""
        _ = call.inputs  # or it is refused here, before it is among others
        loop = asyncio.get_running_loop()
        if self._calls and self._rows + call.rows > self.rows:
            self._flush()
        future: asyncio.Future[Arrays] = loop.create_future()
        self._calls.append((call, future))
        self._rows += call.rows
        if self._rows >= self.rows:
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(self._policy.wait_seconds, self._flush)
        return await future

    def _flush(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        calls, self._calls, self._rows = self._calls, [], 0
        # Who no longer waits is not computed.
        calls = [(call, future) for call, future in calls if not future.done()]
        if calls:
            task = asyncio.get_running_loop().create_task(self._together(calls))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _together(self, calls: list[tuple[Call, asyncio.Future[Arrays]]]) -> None:
        names = calls[0][0].inputs
        inputs = {name: np.concatenate([call.inputs[name] for call, _ in calls]) for name in names}
        wanted = {output for call, _ in calls for output in call.outputs}
        try:
            outputs = await self._run(inputs, [name for name in self._outputs if name in wanted])
        except Exception as error:
            if len(calls) == 1:
                _tell(calls[0][1], error)
                return
            # One of them may have spoilt it for all: each is computed by itself.
            await asyncio.gather(*(self._together([each]) for each in calls))
            return
        start = 0
        for call, future in calls:
            end = start + call.rows
            if not future.done():
                future.set_result({name: outputs[name][start:end] for name in call.outputs})
            start = end


def _tell(future: asyncio.Future[Arrays], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
