"""Hints that something is new, no more often than whoever is told of it looks."""

import asyncio
from collections.abc import Callable


class Wakes:
    """`tell` is called at once, or as soon as the last time is `every_s` ago; after whatever was new last, too."""

    def __init__(self, tell: Callable[[], None], every_s: float) -> None:
        self._tell = tell
        self._every_s = every_s
        self._told_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        early_s = self._told_at + self._every_s - loop.time()
        if early_s > 0:
            self._timer = loop.call_later(early_s, self._now)
        else:
            self._now()

    def _now(self) -> None:
        self._timer, self._told_at = None, asyncio.get_running_loop().time()
        self._tell()
