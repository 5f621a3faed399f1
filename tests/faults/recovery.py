"""How long a system takes to be at work again: from a moment until what was asked for after it has come through everywhere."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx
import psycopg

from infra.adapters.event_stream import StreamGone, StreamUnavailable
from infra.adapters.nats_stream import NatsEventStream
from infra.errors import Fault
from read_side.demo.client import CommandSender, command
from tests.faults.load import Load
from tests.faults.system import BreakableSystem

TENANT, AGENT = "probe", "probe"
BATCH = 12
PAUSE_S = 0.25
SAMPLE_S = 0.1
REQUEST_S_MAX = 2.0
_POSITIONS = "SELECT min(position) FROM checkpoint"


class Probe:
    """Sends commands all the time, many at once so that the relay has batches, and watches how far each part has come."""

    def __init__(self, system: BreakableSystem, load: Load, stream: NatsEventStream) -> None:
        self._system = system
        self._load = load
        self._stream = stream
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._sent: list[tuple[float, int]] = []
        self._seen: list[tuple[float, int]] = []
        self.parts: dict[str, int] = {}

    @classmethod
    @asynccontextmanager
    async def of(cls, system: BreakableSystem, load: Load) -> AsyncIterator["Probe"]:
        stream = await NatsEventStream.connect(system.nats_url, system.settings, "probe")
        probe = cls(system, load, stream)
        try:
            yield probe
        finally:
            await stream.close()
            if probe._connection is not None:
                await probe._connection.close()

    async def ask(self) -> None:
        """Send probes for ever."""
        async with self._load.sender(TENANT, "probe") as sender:
            await sender.send(command("CreateAgent", f"{time.time()}", agent_id=AGENT, name="P", agent_type="reactive"))
            for number in count(1):
                await self._ask_once(sender, number)
                await asyncio.sleep(PAUSE_S)

    async def _ask_once(self, sender: CommandSender, number: int) -> None:
        sent_at, key = time.time(), f"{time.time()}-{number}"
        batch = [
            command("UpdateAgentCapabilities", f"{key}-{place}", agent_id=AGENT, capabilities=[f"c{number}-{place}"])
            for place in range(BATCH)
        ]
        answers = await sender.send_accepted(*batch)
        self._sent.append((sent_at, max(answer.position for answer in answers)))

    async def watch(self) -> None:
        """Note, for ever, up to where everything has come: each consumer, the mirror, and what the query API answers."""
        timeout = httpx.Timeout(REQUEST_S_MAX)
        async with httpx.AsyncClient(timeout=timeout, trust_env=False, headers={"Foldwork-Tenant": TENANT}) as http:
            while True:
                self.parts = {
                    "consumers": await self._consumers(),
                    "mirror": await self._mirror(),
                    "query API": await self._query_api(http),
                }
                self._seen.append((time.time(), min(self.parts.values())))
                await asyncio.sleep(SAMPLE_S)

    async def _consumers(self) -> int:
        try:
            if self._connection is None or self._connection.closed:
                url = self._system.database_url
                self._connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
            row = await (await self._connection.execute(_POSITIONS)).fetchone()
        except (psycopg.Error, OSError):
            return 0
        return int(row[0] or 0) if row else 0

    async def _mirror(self) -> int:
        try:
            return (await self._stream.state()).last
        except (StreamGone, StreamUnavailable, Fault):
            return 0

    async def _query_api(self, http: httpx.AsyncClient) -> int:
        try:
            answer = await http.get(f"{self._system.url('read_side')}/v1/agents/{AGENT}")
        except httpx.TransportError:
            return 0
        return int(answer.json()["position"]) if answer.status_code == httpx.codes.OK else 0

    async def recovery_s(self, since: float, within_s: float) -> float:
        """Seconds from a moment until the first probe sent after it had come through; fails after `within_s`."""
        until = time.time() + within_s
        while time.time() < until:
            position = next((position for sent_at, position in self._sent if sent_at >= since), None)
            if position is not None:
                through = (at for at, reached in self._seen if at >= since and reached >= position)
                at = next(through, None)
                if at is not None:
                    return at - since
            await asyncio.sleep(0.05)
        raise AssertionError(f"not at work again within {within_s:g} s: {self.parts}, asked for {self._sent[-1:]}")
