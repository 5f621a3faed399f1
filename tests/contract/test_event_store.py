"""The contract of the event store, kept by the one in memory and by the one on Postgres."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from infra.adapters.event_store import Append, Appended, EventStore, NewEvent, StreamMoved, Write
from infra.adapters.memory_store import MemoryEventStore
from infra.adapters.postgres_store import PostgresEventStore
from infra.errors import CommandIdReused
from infra.ids import new_uuid7, uuid_text
from infra.settings import Settings
from tests.sizes import examples

NOW = datetime(2026, 5, 4, 3, 2, 1, 123456, UTC)
KINDS = ["memory", pytest.param("postgres", marks=pytest.mark.servers)]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "memory" else str(request.getfixturevalue("database_url"))


@pytest.fixture
async def store(place: str | None, settings: Settings) -> AsyncIterator[EventStore]:
    store = MemoryEventStore() if place is None else await PostgresEventStore.open(place, settings)
    yield store
    await store.close()


def event(number: int = 0, type: str = "thing.happened") -> NewEvent:
    return NewEvent(type, 1, b'{"number":%d}' % number, new_uuid7())


def events(count: int) -> list[NewEvent]:
    return [event(number) for number in range(count)]


def append(*writes: Write, tenant_id: str = "acme", **more: Any) -> Append:
    return Append(tenant_id, writes, NOW, **more)


def one(stream_id: str, expected: int, *new: NewEvent, **more: Any) -> Append:
    return append(Write(stream_id, expected, new or (event(),)), **more)


class TestAnAppend:
    async def test_gives_positions_without_a_gap_and_versions_from_one(self, store: EventStore) -> None:
        first = await store.append(one("thing-1", 0, *events(2)))
        second = await store.append(one("thing-2", 0, *events(3)))
        third = await store.append(one("thing-1", 2))
        assert [(a.stream_id, a.version, a.position) for a in (first, second, third)] == [
            ("thing-1", 2, 2),
            ("thing-2", 3, 5),
            ("thing-1", 3, 6),
        ]
        assert [record.position for record in await store.read(0, 100)] == [1, 2, 3, 4, 5, 6]
        assert [record.stream_version for record in await store.load("acme", "thing-1")] == [1, 2, 3]
        assert await store.head() == 6

    async def test_gives_the_ids_of_its_events_in_log_order(self, store: EventStore) -> None:
        mine, yours = events(2), events(1)
        answer = await store.append(append(Write("thing-1", 0, mine), Write("thing-2", 0, yours)))
        assert answer.ids == tuple(new.id for new in [*mine, *yours])
        assert answer.event_ids == tuple(record.id for record in await store.read(0, 10))

    async def test_is_kept_as_it_was_given(self, store: EventStore) -> None:
        data, metadata = '{"text": "grüße \\u0000 ☃", "big": 9007199254740993}'.encode(), b'{"actor": "user:alice"}'
        new = NewEvent("thing.happened", 3, data, new_uuid7())
        await store.append(one("thing-1", 0, new, metadata=metadata))
        (record,) = await store.read(0, 10)
        assert (record.id, record.tenant_id, record.stream_id) == (uuid_text(new.id), "acme", "thing-1")
        assert (record.type, record.schema_version, record.data, record.metadata) == (
            "thing.happened",
            3,
            data,
            metadata,
        )

    async def test_keeps_its_time_to_the_microsecond_and_gives_it_in_utc(self, store: EventStore) -> None:
        elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
        await store.append(one("thing-1", 0)._replace(occurred_at=elsewhere))
        (record,) = await store.read(0, 10)
        assert record.occurred_at == NOW
        assert record.occurred_at.utcoffset() == timedelta(0)

    async def test_is_refused_where_the_stream_has_moved(self, store: EventStore) -> None:
        await store.append(one("thing-1", 0, *events(2)))
        for expected in (0, 1, 3):
            with pytest.raises(StreamMoved) as refused:
                await store.append(one("thing-1", expected))
            assert refused.value.details == {"stream_id": "thing-1", "expected": expected, "actual": 2}
        assert await store.head() == 2

    async def test_takes_a_huge_batch(self, store: EventStore) -> None:
        many = examples(20_000)
        answer = await store.append(one("thing-1", 0, *events(many)))
        assert (answer.version, answer.position, len(answer.ids)) == (many, many, many)
        assert len(await store.load("acme", "thing-1")) == many

    async def test_keeps_tenants_apart(self, store: EventStore) -> None:
        await store.append(one("thing-1", 0, event(1), tenant_id="acme"))
        await store.append(one("thing-1", 0, event(2), tenant_id="other"))
        assert [record.data for record in await store.load("other", "thing-1")] == [b'{"number":2}']


class TestAnAppendToSeveralStreams:
    async def test_is_whole(self, store: EventStore) -> None:
        answer = await store.append(append(Write("thing-1", 0, events(2)), Write("thing-2", 0, events(1))))
        assert (answer.stream_id, answer.version, answer.position) == ("thing-1", 2, 3)
        assert [(r.stream_id, r.stream_version) for r in await store.read(0, 10)] == [
            ("thing-1", 1),
            ("thing-1", 2),
            ("thing-2", 1),
        ]

    async def test_is_absent_if_one_of_them_has_moved(self, store: EventStore) -> None:
        await store.append(one("thing-2", 0))
        with pytest.raises(StreamMoved) as refused:
            await store.append(append(Write("thing-1", 0, events(2)), Write("thing-2", 0, events(1))))
        assert refused.value.details["stream_id"] == "thing-2"
        assert await store.head() == 1
        assert await store.load("acme", "thing-1") == []

    async def test_may_only_check_a_stream(self, store: EventStore) -> None:
        await store.append(one("thing-2", 0))
        answer = await store.append(
            append(Write("thing-1", 0, events(1)), Write("thing-2", 1, ()), Write("new-1", 0, ()))
        )
        assert (answer.version, answer.position) == (1, 2)
        with pytest.raises(StreamMoved):
            await store.append(append(Write("thing-1", 1, events(1)), Write("thing-2", 0, ())))
        assert (await store.append(one("new-1", 0))).version == 1

    async def test_may_write_nothing_at_all(self, store: EventStore) -> None:
        await store.append(one("thing-1", 0, *events(3)))
        answer = await store.append(append(Write("thing-1", 3, ())))
        assert (answer.version, answer.position, answer.ids) == (3, 3, ())
        with pytest.raises(StreamMoved):
            await store.append(append(Write("thing-1", 2, ())))

    async def test_may_check_the_stream_that_it_writes(self, store: EventStore) -> None:
        await store.append(append(Write("thing-1", 0, events(2)), Write("thing-1", 0, ()), Write("thing-1", 0, ())))
        assert (await store.append(one("thing-1", 2))).version == 3

    async def test_cannot_write_a_stream_twice(self, store: EventStore) -> None:
        for expected in (0, 1):
            with pytest.raises(ValueError, match="stands twice"):
                await store.append(append(Write("thing-1", 0, events(1)), Write("thing-1", expected, events(1))))
        assert await store.head() == 0


class TestACommandId:
    async def test_gives_the_same_answer_once(self, store: EventStore) -> None:
        command = one("thing-1", 0, *events(3), command_id="c1", fingerprint=b"f")
        await store.append(one("thing-9", 0))
        first = await store.append(command)
        again = await store.append(one("thing-1", 0, command_id="c1", fingerprint=b"f"))
        await store.append(one("thing-9", 1))
        once_more = await store.append(one("thing-1", 3, command_id="c1", fingerprint=b"f"))
        assert not first.repeated
        assert again == once_more == first._replace(repeated=True)
        assert await store.head() == 5

    async def test_cannot_be_used_for_another_command(self, store: EventStore) -> None:
        await store.append(one("thing-1", 0, command_id="c1", fingerprint=b"f"))
        with pytest.raises(CommandIdReused):
            await store.append(one("thing-1", 1, command_id="c1", fingerprint=b"g"))
        with pytest.raises(CommandIdReused):
            await store.answer("acme", "c1", b"g")
        assert await store.head() == 1

    async def test_belongs_to_its_tenant(self, store: EventStore) -> None:
        await store.append(one("thing-1", 0, command_id="c1", fingerprint=b"f"))
        answer = await store.append(one("thing-1", 0, tenant_id="other", command_id="c1", fingerprint=b"g"))
        assert answer.position == 2

    async def test_can_be_asked_for_its_answer(self, store: EventStore) -> None:
        assert await store.answer("acme", "c1", b"f") is None
        first = await store.append(one("thing-1", 0, *events(2), command_id="c1", fingerprint=b"f"))
        assert await store.answer("acme", "c1", b"f") == first._replace(repeated=True)

    async def test_of_a_refused_append_is_free_again(self, store: EventStore) -> None:
        with pytest.raises(StreamMoved):
            await store.append(one("thing-1", 7, command_id="c1", fingerprint=b"f"))
        assert not (await store.append(one("thing-1", 0, command_id="c1", fingerprint=b"g"))).repeated

    async def test_may_belong_to_an_append_without_events(self, store: EventStore) -> None:
        await store.append(one("thing-1", 0))
        nothing = append(Write("thing-1", 1, ()), command_id="c1", fingerprint=b"f")
        first = await store.append(nothing)
        assert await store.append(nothing) == first._replace(repeated=True)


class TestAppendsAtTheSameTime:
    async def test_are_written_in_the_order_in_which_they_are_submitted(self, store: EventStore) -> None:
        pending = [store.submit(one(f"thing-{number}", 0, event(number))) for number in range(200)]
        answers = [await answer for answer in pending]
        assert [answer.position for answer in answers] == list(range(1, 201))
        assert [record.stream_id for record in await store.read(0, 500)] == [f"thing-{n}" for n in range(200)]

    async def test_may_follow_on_from_one_another(self, store: EventStore) -> None:
        chain = [one("thing-1", 2 * number, *events(2)) for number in range(50)]
        answers = await asyncio.gather(*(store.append(link) for link in chain))
        assert [answer.version for answer in answers] == list(range(2, 101, 2))
        assert [record.stream_version for record in await store.load("acme", "thing-1")] == list(range(1, 101))

    async def test_fail_alone_on_a_conflict(self, store: EventStore) -> None:
        group = [one(f"thing-{number // 2}", 0, event(number)) for number in range(100)]
        answers = await asyncio.gather(*(store.append(each) for each in group), return_exceptions=True)
        assert all(isinstance(answer, Appended) for answer in answers[::2])
        assert all(isinstance(answer, StreamMoved) for answer in answers[1::2])
        assert await store.head() == 50

    async def test_drag_along_only_what_was_built_on_a_loser(self, store: EventStore) -> None:
        await store.append(one("thing-1", 0))
        group = [
            append(Write("thing-2", 0, events(1)), Write("thing-1", 0, ())),
            one("thing-2", 1),
            one("thing-1", 1),
            one("thing-3", 0),
        ]
        answers = await asyncio.gather(*(store.append(each) for each in group), return_exceptions=True)
        assert [isinstance(answer, StreamMoved) for answer in answers] == [True, True, False, False]
        assert await store.head() == 3

    async def test_with_the_same_command_id_are_done_once(self, store: EventStore) -> None:
        group = [one("thing-1", 0, *events(2), command_id="c1", fingerprint=b"f") for _ in range(5)]
        answers = await asyncio.gather(*(store.append(each) for each in group))
        assert [answer.repeated for answer in answers] == [False, True, True, True, True]
        assert len({answer.ids for answer in answers}) == 1
        assert await store.head() == 2

    async def test_may_be_the_same_object(self, store: EventStore) -> None:
        check = append(Write("thing-1", 0, ()))
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*(store.append(check) for _ in range(5)))
        assert {answer.version for answer in answers} == {0}

    async def test_that_nobody_waits_for_any_more_do_no_harm(self, store: EventStore) -> None:
        given_up = asyncio.ensure_future(store.append(one("thing-1", 0)))
        await asyncio.sleep(0)
        given_up.cancel()
        assert (await store.append(one("thing-2", 0))).version == 1
        assert await store.head() <= 2


class TestTheLog:
    async def test_begins_empty(self, store: EventStore) -> None:
        assert (await store.head(), await store.first_position()) == (0, 1)
        assert await store.read(0, 10) == []
        assert await store.load("acme", "thing-1") == []

    async def test_is_read_after_a_position_up_to_a_limit(self, store: EventStore) -> None:
        await store.append(one("thing-1", 0, *events(10)))
        assert [record.position for record in await store.read(3, 4)] == [4, 5, 6, 7]
        assert [record.position for record in await store.read(8, 4)] == [9, 10]
        assert [record.position for record in await store.read(3, 4, until=5)] == [4, 5]
        assert await store.read(10, 4) == await store.read(3, 0) == await store.read(5, 4, until=5) == []

    async def test_is_read_by_type_stream_and_tenant(self, store: EventStore) -> None:
        for tenant_id in ("acme", "other"):
            for stream_id in ("thing-1", "thing-2"):
                new = (event(0, "thing.made"), event(1, "thing.used"), event(2, "thing.lost"))
                await store.append(one(stream_id, 0, *new, tenant_id=tenant_id))

        async def positions(after: int = 0, limit: int = 100, **filters: Any) -> list[int]:
            return [record.position for record in await store.read(after, limit, **filters)]

        assert await positions(types=["thing.made"]) == [1, 4, 7, 10]
        assert await positions(types=["thing.made", "thing.lost"], limit=3) == [1, 3, 4]
        assert await positions(types=[]) == []
        assert await positions(stream_id="thing-2") == [4, 5, 6, 10, 11, 12]
        assert await positions(tenant_id="other", stream_id="thing-2") == [10, 11, 12]
        assert await positions(after=4, until=10, tenant_id="acme", types=["thing.used", "thing.made"]) == [5]


class TestALoad:
    async def test_gives_what_came_after_a_version(self, store: EventStore) -> None:
        await store.append(one("thing-1", 0, *events(5)))
        assert [record.stream_version for record in await store.load("acme", "thing-1", 3)] == [4, 5]
        assert await store.load("acme", "thing-1", 5) == []

    async def test_may_run_beside_others_of_the_same_and_other_streams(self, store: EventStore) -> None:
        for number in range(20):
            await store.append(one(f"thing-{number}", 0, *events(4)))
        wanted = [(f"thing-{number % 25}", number % 5) for number in range(1_200)]
        loaded = await asyncio.gather(*(store.load("acme", stream_id, after) for stream_id, after in wanted))
        for (stream_id, after), records in zip(wanted, loaded, strict=True):
            there = int(stream_id.partition("-")[2]) < 20
            assert [r.stream_version for r in records] == (list(range(after + 1, 5)) if there else [])
            assert all(record.stream_id == stream_id for record in records)
