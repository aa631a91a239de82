"""A circuit breaker: a model that fails is left alone for a while."""

import time
from collections.abc import Callable

from millrace.serving.policy import BreakerPolicy

CLOSED, HALF_OPEN, OPEN = 0, 1, 2


class Breaker:
    """Lives on the event loop. Without a policy it never opens."""

    __slots__ = ("_clock", "_failures", "_opened", "_policy", "_since", "calls", "state")

    def __init__(self, policy: BreakerPolicy | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._failures = 0
        self._since = self._opened = -1e9
        self.state = CLOSED
        # Calls since the first failure of the window. The hot path adds its good ones here by itself.
        self.calls = 0

    def allows(self) -> bool:
        """Whether a call may be made. In the half-open state that is one call: report its end."""
        if self.state == CLOSED:
            return True
        assert self._policy
        now = self._clock()
        # A probe whose end nobody reported must not keep the model out for ever.
        if now - self._opened < self._policy.open_seconds:
            return False
        self.state, self._opened = HALF_OPEN, now
        return True

    def wait(self) -> int:
        """Whole seconds, at least one, until it may be worth to ask again."""
        open_seconds = self._policy.open_seconds if self._policy else 0
        return max(1, round(self._opened + open_seconds - self._clock()))

    def succeeded(self) -> None:
        """A call has ended well."""
        if self.state == CLOSED:
            self.calls += 1
        elif self.state == HALF_OPEN:
            self.state, self.calls, self._failures, self._since = CLOSED, 0, 0, -1e9

    def abandoned(self) -> None:
        """A call has ended without telling anything of the model: another one may be the probe."""
        if self.state == HALF_OPEN and self._policy:
            self.state, self._opened = OPEN, self._clock() - self._policy.open_seconds

    def failed(self) -> None:
        """A call has failed, and not by its sender's fault."""
        if self._policy is None:
            return
        now = self._clock()
        if self.state != CLOSED:
            self.state, self._opened = OPEN, now
            return
        if now - self._since > self._policy.window_seconds:
            self._since, self.calls, self._failures = now, 0, 0
        self.calls += 1
        self._failures += 1
        if self.calls >= self._policy.calls and self._failures >= self._policy.share * self.calls:
            self.state, self._opened = OPEN, now
