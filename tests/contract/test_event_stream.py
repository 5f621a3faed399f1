"""The contract of the event stream, kept by the in-memory one and by the one on JetStream."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from infra.adapters.cloud_event import decode
from infra.adapters.event_store import Record
from infra.adapters.event_stream import ConsumerGone, EventStream, FencedOff, Message, PullLoop, StreamGone
from infra.adapters.memory_stream import MemoryEventStream
from infra.adapters.nats_stream import NatsEventStream
from infra.ids import new_id
from infra.settings import Settings

KINDS = [pytest.param("memory"), pytest.param("nats", marks=pytest.mark.servers)]


@pytest.fixture(params=KINDS)
def server_url(request: pytest.FixtureRequest) -> str | None:
    """Where JetStream is, None for the stream in memory."""
    return str(request.getfixturevalue("nats_url")) if request.param == "nats" else None


@pytest.fixture
async def stream(server_url: str | None, settings: Settings) -> AsyncIterator[EventStream]:
    settings = settings.model_copy(update={"relay_batch_events_max": 100, "consumer_batch_events_max": 50})
    kept = MemoryEventStream(settings) if server_url is None else await NatsEventStream.connect(server_url, settings)
    yield kept
    await kept.close()


def records(first: int, last: int, tenant_id: str = "acme") -> list[Record]:
    metadata = b'{"actor":"user:alice","command_id":"c1","correlation_id":"c1","causation_id":"c1"}'
    return [
        Record(
            at, new_id(), tenant_id, "agent-1", at, "agent.started", 1, datetime.now(UTC), metadata, b'{"n":%d}' % at
        )
        for at in range(first, last + 1)
    ]


async def take(delivery: PullLoop, count: int) -> list[Message]:
    found: list[Message] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            found.extend(await delivery.next())
    return found


class TestAStream:
    async def test_is_gone_until_it_is_made(self, stream: EventStream) -> None:
        with pytest.raises(StreamGone):
            await stream.state()
        with pytest.raises(StreamGone):
            await stream.publish_batch(records(1, 2), 0)
        with pytest.raises(StreamGone):
            await stream.pull("reader").start(0)

    async def test_begins_where_it_is_told(self, stream: EventStream) -> None:
        await stream.recreate(501)
        state = await stream.state()
        assert (state.messages, state.first, state.last, state.last_id) == (0, 501, 500, None)
        assert state.whole

    async def test_stores_each_event_at_its_position(self, stream: EventStream) -> None:
        await stream.recreate(11)
        wanted = records(11, 30)
        assert await stream.publish_batch(wanted, 10) == 30
        assert [await stream.event_id(record.position) for record in wanted] == [record.id for record in wanted]
        state = await stream.state()
        assert (state.messages, state.first, state.last, state.last_id) == (20, 11, 30, wanted[-1].id)

    async def test_has_no_event_where_none_was_stored(self, stream: EventStream) -> None:
        await stream.recreate(1)
        await stream.publish_batch(records(1, 1), 0)
        assert await stream.event_id(2) is None

    async def test_tells_an_event_of_another_position(self, stream: EventStream) -> None:
        await stream.recreate(1)
        await stream.publish_batch(records(8, 9), 0)
        assert await stream.event_id(1) == ""

    async def test_takes_as_many_events_as_one_batch_holds(self, stream: EventStream) -> None:
        await stream.recreate(1)
        assert await stream.publish_batch(records(1, 150), 0) == 100

    async def test_is_empty_after_it_was_made_again(self, stream: EventStream) -> None:
        await stream.recreate(1)
        await stream.publish_batch(records(1, 3), 0)
        await stream.recreate(1)
        assert (await stream.state()).messages == 0

    async def test_is_adopted_as_it_was_made(self, stream: EventStream) -> None:
        await stream.recreate(1)
        assert await stream.adopt()


class TestTheFence:
    @pytest.mark.parametrize("count", [1, 20])
    @pytest.mark.parametrize("expected_last", [4, 6])
    async def test_refuses_a_batch_that_does_not_follow(
        self, stream: EventStream, count: int, expected_last: int
    ) -> None:
        await stream.recreate(1)
        await stream.publish_batch(records(1, 5), 0)
        with pytest.raises(FencedOff):
            await stream.publish_batch(records(expected_last + 1, expected_last + count), expected_last)
        assert (await stream.state()).last == 5

    async def test_lets_batches_follow_each_other_in_flight(self, stream: EventStream) -> None:
        await stream.recreate(1)
        flights = [await stream.send(records(at + 1, at + 50), at) for at in (0, 50, 100)]
        for flight in flights:
            await flight.landed
        assert (await stream.state()).last == 150

    async def test_refuses_all_that_follows_a_refused_batch(self, stream: EventStream) -> None:
        await stream.recreate(1)
        flights = [await stream.send(records(at + 1, at + 50), at) for at in (10, 60)]
        for flight in flights:
            with pytest.raises(FencedOff):
                await flight.landed
        assert (await stream.state()).messages == 0


class TestADelivery:
    async def test_gives_every_event_in_order(self, stream: EventStream) -> None:
        await stream.recreate(1)
        wanted = [*records(1, 100), *records(101, 200)]
        delivery = stream.pull("reader")
        await delivery.start(0)
        await stream.publish_batch(wanted[:100], 0)
        await stream.publish_batch(wanted[100:], 100)
        found = await take(delivery, 200)
        assert [message.seq for message in found] == list(range(1, 201))
        assert [decode(message.payload).id for message in found] == [record.id for record in wanted]
        await delivery.close()

    async def test_names_tenant_and_type_in_the_subject(self, stream: EventStream) -> None:
        await stream.recreate(1)
        await stream.publish_batch([*records(1, 1, "acme"), *records(2, 2, "a.b *>")], 0)
        delivery = stream.pull("reader")
        await delivery.start(0)
        found = await take(delivery, 2)
        assert [message.subject for message in found] == ["evt.acme.agent.started", "evt.a=2Eb=20=2A=3E.agent.started"]
        await delivery.close()

    async def test_begins_after_a_position(self, stream: EventStream) -> None:
        await stream.recreate(1)
        await stream.publish_batch(records(1, 10), 0)
        delivery = stream.pull("reader")
        await delivery.start(7)
        assert [message.seq for message in await take(delivery, 3)] == [8, 9, 10]
        await delivery.close()

    async def test_waits_for_a_position_that_is_still_to_come(self, stream: EventStream) -> None:
        await stream.recreate(1)
        delivery = stream.pull("reader")
        await delivery.start(5)
        await stream.publish_batch(records(1, 8), 0)
        assert [message.seq for message in await take(delivery, 3)] == [6, 7, 8]
        await delivery.close()

    async def test_begins_with_what_there_is_when_the_stream_begins_later(self, stream: EventStream) -> None:
        await stream.recreate(100)
        await stream.publish_batch(records(100, 102), 99)
        delivery = stream.pull("reader")
        await delivery.start(5)
        assert [message.seq for message in await take(delivery, 3)] == [100, 101, 102]
        await delivery.close()

    async def test_goes_back_when_it_is_started_again(self, stream: EventStream) -> None:
        await stream.recreate(1)
        await stream.publish_batch(records(1, 60), 0)
        delivery = stream.pull("reader")
        await delivery.start(0)
        await take(delivery, 20)
        await delivery.start(3)
        assert [message.seq for message in await take(delivery, 57)] == list(range(4, 61))
        await delivery.close()

    async def test_loses_nothing_when_the_wait_is_given_up(self, stream: EventStream) -> None:
        await stream.recreate(1)
        delivery = stream.pull("reader")
        await delivery.start(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(delivery.next(), 0.05)
        await stream.publish_batch(records(1, 2), 0)
        assert [message.seq for message in await take(delivery, 2)] == [1, 2]
        await delivery.close()

    async def test_ends_when_the_stream_is_made_again(self, stream: EventStream) -> None:
        await stream.recreate(1)
        delivery = stream.pull("reader")
        await delivery.start(0)
        await stream.recreate(1)
        with pytest.raises(ConsumerGone):
            await asyncio.wait_for(delivery.next(), 5)
        await delivery.start(0)
        await stream.publish_batch(records(1, 1), 0)
        assert len(await take(delivery, 1)) == 1
        await delivery.close()

    async def test_ends_when_another_process_starts_it(self, stream: EventStream) -> None:
        await stream.recreate(1)
        older, newer = stream.pull("reader"), stream.pull("reader")
        await older.start(0)
        await newer.start(0)
        with pytest.raises(ConsumerGone):
            await asyncio.wait_for(older.next(), 5)
        await stream.publish_batch(records(1, 100), 0)
        assert [message.seq for message in await take(newer, 100)] == list(range(1, 101))
        await newer.close()

    async def test_ends_when_it_is_closed(self, stream: EventStream) -> None:
        await stream.recreate(1)
        delivery = stream.pull("reader")
        await delivery.start(0)
        waiting = asyncio.create_task(delivery.next())
        await asyncio.sleep(0)
        await delivery.close()
        with pytest.raises(ConsumerGone):
            await asyncio.wait_for(waiting, 5)
