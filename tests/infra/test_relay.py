"""The relay on the in-memory log and stream: it publishes in order and heals whatever happens to the stream."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from infra.adapters.cloud_event import decode
from infra.adapters.event_stream import Message, StreamUnavailable
from infra.adapters.lease import LeaseLost
from infra.adapters.memory_store import MemoryEventStore
from infra.adapters.memory_stream import MemoryEventStream
from infra.cancellation import end
from infra.engines import relay
from infra.engines.relay import Relay
from infra.settings import Settings
from tests.infra.relay_world import FreeLease, append

SETTINGS = Settings(relay_batch_events_max=10, mirror_audit_s=0.02, relay_poll_s_max=0.01)


class World:
    """A log, a stream and a relay between them."""

    def __init__(self) -> None:
        self.store = MemoryEventStore()
        self.stream = MemoryEventStream(SETTINGS)
        self.lease = FreeLease()
        self.registry = CollectorRegistry()
        self.relay = Relay(self.store, self.stream, SETTINGS, self.lease, self.registry)

    async def append(self, count: int) -> None:
        await append(self.store, count)

    async def mirrored(self) -> bool:
        """Whether the stream is the log, position by position."""
        stored = [(record.position, record.id) for record in await self.store.read(0, 10_000)]
        found = [(seq, decode(self.stream.messages[seq].payload).id) for seq in sorted(self.stream.messages)]
        return stored == found and self.stream.last == len(stored)

    async def becomes_mirrored(self) -> None:
        """Wait until the stream is the log and the relay knows it."""
        async with asyncio.timeout(5):
            while not (await self.mirrored() and self.relay.position == self.stream.last and self.relay.ready):
                await asyncio.sleep(0.005)

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(relay, "RETRY_S_MIN", 0.01)
    return World()


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    task = asyncio.create_task(world.relay.run())
    await world.append(25)
    await world.becomes_mirrored()
    yield world
    await end(task)


class TestARelay:
    async def test_publishes_what_was_there_before_it(self, world: World) -> None:
        await world.append(35)
        task = asyncio.create_task(world.relay.run())
        await world.becomes_mirrored()
        await end(task)

    async def test_publishes_what_is_appended(self, running: World) -> None:
        await running.append(40)
        await running.becomes_mirrored()
        assert running.relay.position == 65

    async def test_is_ready_when_it_has_caught_up(self, world: World) -> None:
        world.lease.waiting_well = False
        assert not world.relay.ready
        task = asyncio.create_task(world.relay.run())
        await world.becomes_mirrored()
        assert world.relay.ready
        await end(task)

    async def test_counts_each_event_once(self, running: World) -> None:
        await running.append(5)
        await running.becomes_mirrored()
        assert running.count("foldwork_relay_events_total") == 30
        assert running.count("foldwork_relay_position") == 30

    async def test_begins_where_the_log_begins(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        async def first_position() -> int:
            return 11

        monkeypatch.setattr(world.store, "first_position", first_position)
        await world.append(20)
        task = asyncio.create_task(world.relay.run())
        async with asyncio.timeout(5):
            while world.stream.last < 20:
                await asyncio.sleep(0.005)
        assert min(world.stream.messages) == 11
        await end(task)

    async def test_begins_later_than_the_log_when_that_does_not_fit(self, world: World) -> None:
        await world.append(100)
        small = SETTINGS.model_copy(update={"mirror_bytes_max": 20_000})
        task = asyncio.create_task(Relay(world.store, world.stream, small, world.lease, CollectorRegistry()).run())
        async with asyncio.timeout(5):
            while world.stream.last < 100:
                await asyncio.sleep(0.005)
        assert 10 < min(world.stream.messages) < 90
        await end(task)


class TestAStreamThat:
    async def test_was_deleted_is_filled_again(self, running: World) -> None:
        running.stream.delete()
        await running.becomes_mirrored()
        assert running.count("foldwork_relay_heals_total", cause="gone") == 2  # the first was before it was ever made

    async def test_lost_its_tail_is_completed(self, running: World) -> None:
        for seq in range(20, 26):
            del running.stream.messages[seq]
        running.stream.last = 19
        await running.append(1)
        await running.becomes_mirrored()
        assert running.count("foldwork_relay_heals_total", cause="tail") == 1

    async def test_lost_its_tail_in_silence_is_completed(self, running: World) -> None:
        del running.stream.messages[25]
        running.stream.last = 24
        await running.becomes_mirrored()

    async def test_has_a_hole_is_made_again(self, running: World) -> None:
        del running.stream.messages[7]
        await running.becomes_mirrored()
        assert running.count("foldwork_relay_heals_total", cause="holes") == 1

    async def test_has_more_than_the_log_is_made_again(self, running: World) -> None:
        await running.stream.publish_batch([decode(running.stream.messages[25].payload)], 25)
        await running.becomes_mirrored()
        assert running.count("foldwork_relay_heals_total", cause="beyond") == 1

    async def test_ends_with_another_event_is_made_again(self, running: World) -> None:
        other = running.stream.messages[24].payload.replace(b'"position":24', b'"position":25')
        running.stream.messages[25] = Message(25, "evt.acme.agent.started", other)
        await running.becomes_mirrored()
        assert running.count("foldwork_relay_heals_total", cause="other") == 1

    async def test_has_another_event_inside_is_made_again(self, running: World) -> None:
        running.stream.messages[3], running.stream.messages[4] = running.stream.messages[4], running.stream.messages[3]
        await running.becomes_mirrored()

    async def test_was_seen_to_have_another_event_is_made_again(
        self, running: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked_at = itertools.chain([4], itertools.repeat(10))  # never again where the audit saw it
        running.stream.messages[4] = running.stream.messages[5]
        monkeypatch.setattr("infra.engines.relay.random.randint", lambda *_: next(looked_at))
        await running.becomes_mirrored()
        assert running.count("foldwork_relay_heals_total", cause="other") == 1

    async def test_lets_its_oldest_events_go_is_left_alone(self, running: World) -> None:
        for seq in range(1, 11):
            del running.stream.messages[seq]
        running.stream.first = 11
        await asyncio.sleep(0.1)
        await running.append(1)
        await asyncio.sleep(0.05)
        assert sorted(running.stream.messages) == list(range(11, 27))

    async def test_cannot_be_reached_for_a_while_is_completed(
        self, running: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def unavailable(*_: Any) -> None:
            raise StreamUnavailable

        with monkeypatch.context() as away:
            away.setattr(running.stream, "send", unavailable)
            await running.append(3)
            await asyncio.sleep(0.1)
            assert running.stream.last == 25
        await running.becomes_mirrored()


class TestALogThat:
    async def test_begins_anew_with_other_events_is_published_again(self, running: World) -> None:
        running.store._log.clear()
        running.store._versions.clear()
        await running.append(25)
        await running.becomes_mirrored()


class TestTheLease:
    async def test_keeps_a_second_relay_from_publishing(self, world: World) -> None:
        world.lease.take_away()
        task = asyncio.create_task(world.relay.run())
        await world.append(5)
        await asyncio.sleep(0.1)
        assert not world.stream.messages
        assert world.relay.state == "standby"
        assert world.relay.ready
        await end(task)

    async def test_ends_a_relay_that_loses_it(self, running: World) -> None:
        running.lease.take_away()
        await asyncio.sleep(0.05)
        await running.append(5)
        await asyncio.sleep(0.1)
        assert running.stream.last == 25

    async def test_is_asked_for_before_a_stream_is_deleted(
        self, running: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def lost() -> None:
            raise LeaseLost

        monkeypatch.setattr(running.lease, "confirm", lost)
        del running.stream.messages[7]
        await asyncio.sleep(0.1)
        assert 7 not in running.stream.messages
        assert running.stream.last == 25


class TestTwoRelaysThatBothBelieveTheyAreActive:
    async def test_still_publish_each_event_once(self, running: World) -> None:
        other = Relay(running.store, running.stream, SETTINGS, FreeLease(), CollectorRegistry())
        task = asyncio.create_task(other.run())
        for _ in range(20):
            await running.append(7)
            await asyncio.sleep(0.005)
        await running.becomes_mirrored()
        await end(task)
