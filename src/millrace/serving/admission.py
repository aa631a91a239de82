"""How many calls of a model run at one time, and how many may wait for them."""

import asyncio
from collections import deque

from millrace.serving.errors import Unanswered


class Admission:
    """Lives on the event loop."""

    def __init__(self, model: str, concurrency: int, queue: int) -> None:
        self._model = model
        self._concurrency = concurrency
        self._queue = queue
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.running = 0

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self._waiting)

    async def enter(self) -> None:
        """Return when the call may run; then `leave` has to follow. Raises `Unanswered` when too many do."""
        if self.running < self._concurrency:
            self.running += 1
            return
        if len(self._waiting) >= self._queue:
            text = (
                f"model '{self._model}' is busy with {self.running} calls and {self.waiting} wait, ask again"
            )
            raise Unanswered(503, text, "overloaded", retry_after=1)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # Its turn had come: the next one takes it.
                self.leave()
            else:
                self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """A call has ended."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1
