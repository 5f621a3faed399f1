"""A log in memory to ask and to follow, with ordinary events of several tenants and streams."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Any

from infra.adapters.event_store import Append, NewEvent, Records, Write
from infra.adapters.memory_store import MemoryEventStore
from infra.errors import StoreUnavailable
from infra.ids import new_uuid7
from read_side.live import Batch, Told

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Log(MemoryEventStore):
    """Counts reads; `away` makes them fail; `woken` is set by each append."""

    def __init__(self) -> None:
        super().__init__()
        self.woken = asyncio.Event()
        self.reads = 0
        self.away = False

    async def read(self, after: int, limit: int, **filters: Any) -> Records:
        if self.away:
            raise StoreUnavailable("The event store cannot be reached.")
        self.reads += 1
        await asyncio.sleep(0)
        return await super().read(after, limit, **filters)

    async def write(self, *events: str, stream: str = "agent-a", tenant: str = "default", data: bytes = b"{}") -> None:
        """Append events of these types to a stream."""
        new = [NewEvent(event, 1, data, new_uuid7()) for event in events]
        expected = len(await self.load(tenant, stream))
        await self.append(Append(tenant, (Write(stream, expected, new),), NOW, b'{"actor":"ada"}'))
        self.woken.set()


async def first(batches: AsyncGenerator[Batch, None], count: int, within_s: float = 5) -> list[Told]:
    """The next events of a listener."""
    told: list[Told] = []
    async with asyncio.timeout(within_s):
        while len(told) < count:
            told.extend((await anext(batches)).events)
    return told


def positions(told: Sequence[Told]) -> list[int]:
    return [each.position for each in told]
