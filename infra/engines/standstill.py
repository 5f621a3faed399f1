"""Notices that this process was stopped for a while: meanwhile another one may have taken over what it was doing."""

import asyncio
import time
from collections.abc import Callable

_BEAT_S = 0.25
STANDSTILL_S = 1.0
"""Well under what a lease lasts without a sign of life (5 s); a loop that is merely busy stands still for less."""
StoodStill = Callable[[], bool]
"""Says whether the process stood still since this was asked before."""


class Standstill:
    """Looks at the clock a few times a second, from `begin` to `end`."""

    def __init__(self) -> None:
        self._seen_at = self._ended_at = float("-inf")
        self._beat: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self.end()
        self._seen_at = time.monotonic()
        self._look()

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._seen_at > STANDSTILL_S:
            self._ended_at = now
        self._seen_at = now
        self._beat = asyncio.get_running_loop().call_later(_BEAT_S, self._look)

    def since(self, moment: float) -> bool:
        """Whether the process stood still after a moment of the monotonic clock, or has just come out of it."""
        return self._ended_at > moment or time.monotonic() - self._seen_at > STANDSTILL_S

    def watch(self) -> StoodStill:
        """Watch from now on: at first, a process that has just come out of it has stood still as well."""
        asked_at = time.monotonic() - STANDSTILL_S

        def stood_still() -> bool:
            nonlocal asked_at
            before, asked_at = asked_at, time.monotonic()
            return self.since(before)

        return stood_still

    def end(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
