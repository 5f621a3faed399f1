"""Many commands in order: decided one after another, written together, and what was not written is decided again in that order.

Guarantee: a command is refused for good only when those before it that share a stream with it have come to their end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from infra.adapters.event_store import Appended, came_true
from infra.engines.command_request import Outcome, Request, Submitted
from infra.engines.stream_cache import Key
from infra.errors import Rejection

Ending = Appended | Exception


class Batch:
    """The commands of one call; `outcomes` has what became of the first of them so far."""

    def __init__(
        self,
        requests: Sequence[Request],
        finish: Callable[[Request, Outcome], Awaitable[Appended]],
        written: Callable[[Request, Submitted, Appended], None],
    ) -> None:
        self._requests = requests
        self._finish = finish
        self._written = written
        self.outcomes: list[Submitted | Ending] = []
        self._looked_at = 0
        self._keys: set[Key] = set()

    async def settled_before(self, request: Request) -> bool:
        """Bring to their end those before a command that share a stream with it: whether any of them was decided again."""
        for number in range(self._looked_at, len(self.outcomes)):
            if isinstance(self.outcomes[number], asyncio.Future):
                self._keys.update(self._requests[number].stream_keys())
        self._looked_at = len(self.outcomes)
        if self._keys.isdisjoint(request.stream_keys()):
            return False
        under_way = [outcome for outcome in self.outcomes if isinstance(outcome, asyncio.Future)]
        self.outcomes[:] = await self.endings()
        self._keys.clear()
        return not all(map(came_true, under_way))

    async def endings(self) -> list[Ending]:
        """What became of them: most have been written together, and only what was not takes a task of its own.

        Of those that share a stream, each waits for the one before it.
        """
        endings: list[Ending | asyncio.Task[Ending]] = []
        last: dict[Key, asyncio.Task[Ending]] = {}
        for request, outcome in zip(self._requests, self.outcomes, strict=False):
            if not isinstance(outcome, asyncio.Future):
                endings.append(outcome)
                continue
            if not outcome.done():
                await asyncio.wait([outcome])
            if came_true(outcome):
                self._written(request, outcome, outcome.result())
                endings.append(outcome.result())
            else:
                keys = request.stream_keys()
                again = asyncio.create_task(self._again(request, outcome, {last[key] for key in keys if key in last}))
                last.update(dict.fromkeys(keys, again))
                endings.append(again)
        return [await ending if isinstance(ending, asyncio.Task) else ending for ending in endings]

    async def _again(self, request: Request, submitted: Submitted, before: set[asyncio.Task[Ending]]) -> Ending:
        if before:
            await asyncio.wait(before)
        try:
            return await self._finish(request, submitted)
        except Rejection as rejection:
            return rejection.with_traceback(None)
        except Exception as refused:
            return refused
