"""Kills the processes of a running system by SIGKILL, each in turn, at moments that only the seed knows."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from random import Random

from infra.supervisor import Supervisor
from read_side.demo.checks import Check
from read_side.demo.progress import Bars

SEED = 42
KILLS_MIN = 30
KILLS_EACH_MIN = 4
PAUSE_S = (3.0, 5.5)
PAUSE_S_ONCE_ENOUGH = (12.0, 18.0)
BACK_S_MAX = 30.0
KILLS_BAR = "kills"


class Chaos:
    """Use `rage` as a task; `kills` counts by process."""

    def __init__(self, system: Supervisor, bars: Bars) -> None:
        self._system = system
        self._bars = bars
        self._random = Random(SEED)
        self.kills: Counter[str] = Counter()

    @property
    def enough(self) -> bool:
        return self.kills.total() >= KILLS_MIN and all(
            self.kills[name] >= KILLS_EACH_MIN for name in self._system.names
        )

    async def rage(self, work_over: asyncio.Event) -> None:
        """Kill until the work is over and there were enough kills; then wait until everything is back.

        With enough kills done it goes on at a slower pace, so that the work can come to its end.
        """
        for name in self._victims():
            if self.enough:
                with suppress(TimeoutError):
                    await asyncio.wait_for(work_over.wait(), self._random.uniform(*PAUSE_S_ONCE_ENOUGH))
                    break
            else:
                await asyncio.sleep(self._random.uniform(*PAUSE_S))
            if self._system.alive(name):
                self._system.kill(name)
                self.kills[name] += 1
                self._bars.advance(KILLS_BAR)
        for name in self._system.names:
            await self._system.until_ready(name, BACK_S_MAX)

    def _victims(self) -> Iterator[str]:
        """Everybody once, in a new order each time."""
        while True:
            names = list(self._system.names)
            self._random.shuffle(names)
            yield from names

    def checks(self) -> Iterator[Check]:
        total = self.kills.total()
        yield Check("kills", f"at least {KILLS_MIN}", total, total >= KILLS_MIN)
        for name in self._system.names:
            count = self.kills[name]
            yield Check(f"kills of {name}", f"at least {KILLS_EACH_MIN}", count, count >= KILLS_EACH_MIN)
