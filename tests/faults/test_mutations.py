"""Proof that the checks can fail: guarantees broken on purpose, each beside the real thing under the same treatment."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel

import infra
from events.catalog import CATALOG as EVENTS
from events.envelope import Envelope, Origin
from events.task import TaskStarted
from infra.adapters.checkpoints import Checkpoint, Checkpoints, Effect, Operations
from infra.adapters.event_store import EventStore, Record
from infra.cancellation import end
from infra.engines.consumer import Connection, Consumer
from infra.engines.handler import Handler
from infra.engines.projector import Projector
from infra.engines.saga_runner import SagaRunner
from infra.ids import new_id
from infra.patterns.decider import Command
from infra.patterns.saga import Saga
from infra.settings import Settings
from projections.catalog import CATALOG as PROJECTIONS
from projections.task_board import TASK_BOARD
from tests.faults.in_process import Base, FeedFromTheBeginning, UnrulyFeed, base, in_order
from tests.faults.log_checks import lost
from tests.faults.read_models import differences, made_anew, tables
from tests.faults.stories import whole_story, write_down
from write_side.agent import CreateAgent
from write_side.task import RecordTaskUsage, RequestTask, StartTask

pytestmark = [pytest.mark.faults, pytest.mark.servers]

SEED = 6
TENANT = "acme"
TASKS = 20
DIES_AT = "append.before_send:30"
RUNNER_S_MAX = 30.0

WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from infra.adapters.appender import Appender
from infra.adapters.event_store import Append, Appended, NewEvent, Write, event_ids, own_version
from infra.adapters.postgres_store import PostgresEventStore
from infra.ids import new_id, new_uuid7
from infra.settings import Settings

commit = Appender._commit

async def hasty(self, plan):
    head = await store.head()
    for append in plan.appends:
        head += len(event_ids(append))
        answer = Appended(append.writes[0].stream_id, own_version(append), head, event_ids(append))
        self._futures[id(append)].set_result(answer)
    await asyncio.sleep(0.01)
    await commit(self, plan)

async def main():
    global store
    store = await PostgresEventStore.open(sys.argv[1], Settings())
    if sys.argv[2] == "hasty":
        Appender._commit = hasty
    while True:
        event = NewEvent("agent.started", 1, b"{}", new_uuid7())
        answer = await store.append(Append("acme", [Write(f"agent-{new_id()}", 0, [event])], datetime.now(UTC)))
        print(answer.event_ids[0], answer.position, flush=True)

asyncio.run(main())
"""


async def acknowledged_until_death(database_url: str, how: str) -> list[tuple[str, int]]:
    """What a writer says that it has written, before it is killed at a crash point."""
    environment = {"PYTHONPATH": str(Path(infra.__file__).parent.parent), "FOLDWORK_CRASH_POINT": DIES_AT}
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WRITER,
        database_url,
        how,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(RUNNER_S_MAX):
            output, _ = await writer.communicate()
    finally:
        if writer.returncode is None:
            writer.kill()
    assert writer.returncode == -signal.SIGKILL
    lines = [line.split() for line in output.decode().splitlines()]
    return [(event_id, int(position)) for event_id, position in lines]


class TestAnAppenderThatAnswersBeforeItCommits:
    async def test_is_found_out(self, database_url: str, other_database_url: str, saw: Callable[[str], None]) -> None:
        honest = await acknowledged_until_death(database_url, "honest")
        hasty = await acknowledged_until_death(other_database_url, "hasty")
        missing = await lost(database_url, honest), await lost(other_database_url, hasty)
        saw(
            f"{missing[0]} of {len(honest)} acknowledged events lost by the real one, {missing[1]} of {len(hasty)} by this"
        )
        assert missing[0] == 0
        assert missing[1] > 0


class RecklessConsumer(Consumer):
    """Asks for no lease, and moves the checkpoint whoever has moved it meanwhile."""

    async def run(self) -> None:
        self._checkpoints = RecklessCheckpoints(
            self._handler.name, self._store.shard, self._handler.version, self._handler.kind
        )
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            await self._consume(connection)

    async def _control(self, connection: Connection) -> Checkpoint:
        if self.position > self._stored:
            await self._commit(connection, [], self.position)
        return await self._checkpoints.read(connection)


class RecklessCheckpoints(Checkpoints):
    """Sets without comparing."""

    async def move(self, connection: Connection, before: int, after: int, effects: Sequence[Effect] = ()) -> None:
        await self.write(connection, after, effects)
        query = "UPDATE checkpoint SET position = %s WHERE consumer = %s AND shard = %s"
        await connection.execute(query, (after, self.consumer, self.shard))


class GreedyConsumer(Consumer):
    """Takes whatever it is given."""

    def in_sequence(self, records: Sequence[Record]) -> tuple[list[Record], int]:
        return list(records), max([self.position, *(record.position for record in records)])


class LateProjector(Projector):
    """Begins where the checkpoint was, but only once somebody else has come to the end."""

    def __init__(self, on: Base) -> None:
        super().__init__(TASK_BOARD, on.store, EVENTS, on.settings)
        self._operations = Operations(on.database_url)

    async def begin(self, connection: Connection, position: int) -> None:
        await at_the_end(self._store, self._operations)
        await super().begin(connection, position)


async def at_the_end(store: EventStore, operations: Operations) -> None:
    """Wait until every checkpoint is at the end of the log."""
    while min((found.position for found in await operations.list_consumers()), default=0) < await store.head():
        await asyncio.sleep(0.05)


async def follow(on: Base, kind: type[Consumer], handlers: Sequence[Handler], *, unruly: bool = False) -> None:
    """Run consumers of a kind, one for each handler, until they are at the end of the log; real ones wait for each other."""
    feed_kind = UnrulyFeed if unruly else FeedFromTheBeginning
    feeds = [feed_kind(on.store, in_order(on.store), on.settings) for _ in handlers]
    consumers = [
        kind(handler, on.store, feed, on.database_url, on.settings, lambda *_: None)
        for handler, feed in zip(handlers, feeds, strict=True)
    ]
    tasks = [asyncio.create_task(each.run()) for each in (*feeds, consumers[0])]
    try:
        async with asyncio.timeout(RUNNER_S_MAX):
            while kind is Consumer and not consumers[0].active:
                await asyncio.sleep(0.01)
            # Whoever comes late must not have the lease: it waits until the one before it is at the end.
            tasks.extend(asyncio.create_task(each.run()) for each in consumers[1:])
            await at_the_end(on.store, Operations(on.database_url))
            while kind is RecklessConsumer and min(each.position for each in consumers) < await on.store.head():
                await asyncio.sleep(0.05)
    finally:
        await end(*tasks)


async def wrong_rows(on: Base) -> list[str]:
    return differences(await made_anew(on.store, on.database_url, on.settings), await tables(on.database_url))


class TestTwoConsumersWithoutALeaseAndWithoutCompareAndSet:
    async def test_are_found_out(
        self, database_url: str, other_database_url: str, settings: Settings, saw: Callable[[str], None]
    ) -> None:
        story = whole_story(SEED, 30)
        middle = len(story) // 2
        wrong = []
        for url, kind in ((database_url, Consumer), (other_database_url, RecklessConsumer)):
            versions: dict[tuple[str, str], int] = {}
            async with base(url, settings) as on:
                await write_down(on.store, story[:middle], versions)
                await follow(on, Consumer, on.projectors([TASK_BOARD]))
                await write_down(on.store, story[middle:], versions)
                await follow(on, kind, [*on.projectors([TASK_BOARD]), LateProjector(on)])
                anew = await made_anew(on.store, url, settings, [TASK_BOARD])
                wrong.append(differences(anew, await tables(url)))
        saw(f"{len(wrong[0])} differences with the real ones, {len(wrong[1])} lines of them with these")
        assert wrong[0] == []
        assert wrong[1] != []


class TestAConsumerThatTakesWhateverComes:
    async def test_is_found_out(
        self, database_url: str, other_database_url: str, settings: Settings, saw: Callable[[str], None]
    ) -> None:
        settings = settings.model_copy(update={"catch_up_lag_events": 1_000_000_000})
        wrong = []
        for url, kind in ((database_url, Consumer), (other_database_url, GreedyConsumer)):
            async with base(url, settings) as on:
                await write_down(on.store, whole_story(SEED, 10))
                await follow(on, kind, on.projectors(PROJECTIONS), unruly=True)
                wrong.append(await wrong_rows(on))
        saw(f"{len(wrong[0])} differences with the real one, {len(wrong[1])} lines of them with this")
        assert wrong[0] == []
        assert wrong[1] != []


class Nothing(BaseModel):
    """No state."""


def react(envelope: Envelope[TaskStarted], state: Nothing) -> Sequence[Command]:
    """What it asks for may be asked for twice as far as the decider knows."""
    return [RecordTaskUsage(task_id=envelope.entity_id, model="m", tokens_in=1, tokens_out=1)]


BILL_TASKS_ON_START = Saga(name="bill_tasks_on_start", version=1, state=Nothing, handles=(TaskStarted,), react=react)


class InterruptedRunner(SagaRunner):
    """Loses its connection once, between its commands and its checkpoint."""

    interrupted = False

    async def effects(self, connection: Connection, records: Sequence[Record], position: int) -> list[Effect]:
        effects = await super().effects(connection, records, position)
        if not self.interrupted:
            self.interrupted = True
            raise psycopg.OperationalError("the connection is lost")
        return effects


class ForgetfulRunner(InterruptedRunner):
    """Gives its commands new ids each time."""

    def _origin(self, record: Record, envelope: Envelope[Any], command_id: str) -> Origin:
        return super()._origin(record, envelope, f"{record.id}/{new_id()}")


class TestASagaWhoseCommandsHaveNewIdsEachTime:
    async def test_is_found_out(
        self, database_url: str, other_database_url: str, settings: Settings, saw: Callable[[str], None]
    ) -> None:
        found = []
        for url, kind in ((database_url, InterruptedRunner), (other_database_url, ForgetfulRunner)):
            async with base(url, settings) as on:
                await self._start_tasks(on)
                await follow(on, Consumer, [kind(BILL_TASKS_ON_START, on.store, on.bus, EVENTS, settings)])
                billed = await on.store.read(0, 10_000, types=["task.usage_recorded"])
                found.append(len(billed))
        saw(f"{TASKS} tasks billed {found[0]} times by the real one, {found[1]} times by this")
        assert found[0] == TASKS
        assert found[1] > TASKS

    async def _start_tasks(self, on: Base) -> None:
        commands: list[Command] = [CreateAgent(agent_id="a", name="A", agent_type="reactive")]
        for number in range(TASKS):
            commands.append(RequestTask(task_id=f"{number}", agent_id="a", title="work"))
            commands.append(StartTask(task_id=f"{number}"))
        for number, command in enumerate(commands):
            await on.bus.execute(command, Origin(TENANT, "test", f"c{number}", f"c{number}", f"c{number}"))
