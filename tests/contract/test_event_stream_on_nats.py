"""What the event stream on JetStream does when its server, its stream or its messages are not as they should be."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlparse

import pytest

from infra.adapters import nats_client, nats_frames, nats_pull
from infra.adapters.event_store import Record
from infra.adapters.event_stream import (
    ConsumerGone,
    EventTooLarge,
    Message,
    PullLoop,
    StreamRefused,
    StreamUnavailable,
)
from infra.adapters.nats_stream import NatsEventStream
from infra.embedded.nats import EmbeddedNats
from infra.embedded.ports import free_port
from infra.ids import new_id
from infra.settings import Settings

pytestmark = pytest.mark.servers
SETTINGS = Settings(relay_batch_events_max=100, consumer_batch_events_max=50)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nats")


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[EmbeddedNats]:
    embedded = EmbeddedNats(folder, folder / "log")
    await embedded.start()
    yield embedded
    embedded.kill(signal.SIGCONT)
    await embedded.stop()


@pytest.fixture
async def stream(server: EmbeddedNats) -> AsyncIterator[NatsEventStream]:
    connected = await NatsEventStream.connect(server.url, SETTINGS)
    await connected.recreate(1)
    yield connected
    await connected.close()


def record(at: int, data: bytes = b"{}", tenant_id: str = "acme") -> Record:
    return Record(at, new_id(), tenant_id, "agent-1", at, "agent.started", 1, datetime.now(UTC), b"{}", data)


async def publish(stream: NatsEventStream, first: int, last: int, data: bytes = b"{}") -> None:
    at = first - 1
    while at < last:
        at = await stream.publish_batch([record(position, data) for position in range(at + 1, last + 1)], at)


async def take(delivery: PullLoop, last: int) -> list[Message]:
    found: list[Message] = []
    async with asyncio.timeout(8):
        while not found or found[-1].seq < last:
            found.extend(await delivery.next())
    return found


async def rest(delivery: PullLoop) -> list[Message]:
    """What is still given before the delivery ends."""
    found: list[Message] = []
    async with asyncio.timeout(5):
        with contextlib.suppress(ConsumerGone):
            while True:
                found.extend(await delivery.next())
    return found


async def restart(server: EmbeddedNats) -> None:
    server.kill()
    async with asyncio.timeout(8):
        while server.alive:
            await asyncio.sleep(0.01)
    await server.start()


class TestTwoShards:
    async def test_share_one_server_and_the_form_of_subjects(
        self, server: EmbeddedNats, stream: NatsEventStream
    ) -> None:
        other = await NatsEventStream.connect(server.url, Settings(shard=3))
        await other.recreate(1)
        await publish(other, 1, 5)
        await publish(stream, 1, 2)
        delivery = other.pull("reader")
        await delivery.start(0)
        assert {message.subject for message in await take(delivery, 5)} == {"evt.acme.agent.started"}
        assert ((await other.state()).last, (await stream.state()).last) == (5, 2)
        config = (await (await other.client()).api("STREAM.INFO.EVENTS_3"))["config"]
        assert await other.adopt()
        assert (await (await other.client()).api("STREAM.INFO.EVENTS_3"))["config"] == config
        await delivery.close()
        await other.close()


class TestABatch:
    async def test_holds_no_more_bytes_than_it_may(self, server: EmbeddedNats) -> None:
        small = await NatsEventStream.connect(server.url, Settings(relay_batch_bytes_max=10_000))
        await small.recreate(1)
        large = b'"' + b"x" * 4_000 + b'"'
        assert await small.publish_batch([record(at, large) for at in range(1, 11)], 0) == 2
        await small.close()

    async def test_holds_at_least_one_event(self, server: EmbeddedNats) -> None:
        small = await NatsEventStream.connect(server.url, Settings(relay_batch_bytes_max=1_000))
        await small.recreate(1)
        assert await small.publish_batch([record(1, b'"' + b"x" * 4_000 + b'"'), record(2)], 0) == 1
        await small.close()

    async def test_is_not_sent_with_an_event_that_the_server_would_not_take(self, stream: NatsEventStream) -> None:
        payload_bytes_max = (await stream.client()).max_payload
        with pytest.raises(EventTooLarge):
            await stream.send([record(1), record(2, b'"' + b"x" * payload_bytes_max + b'"')], 0)
        await publish(stream, 1, 1)


class TestAStreamOfAnotherShape:
    async def test_has_its_bounds_changed(self, server: EmbeddedNats, stream: NatsEventStream) -> None:
        later = await NatsEventStream.connect(server.url, Settings(mirror_bytes_max=50_000_000))
        assert await later.adopt()
        config = (await (await later.client()).api("STREAM.INFO.EVENTS_0"))["config"]
        assert config["max_bytes"] == 50_000_000
        await later.close()

    async def test_is_not_adopted_when_it_cannot_be_changed(self, stream: NatsEventStream) -> None:
        client = await stream.client()
        await client.api("STREAM.DELETE.EVENTS_0")
        await client.create_stream({"name": "EVENTS_0", "subjects": ["evt.>"], "storage": "memory"})
        assert not await stream.adopt()

    async def test_tells_a_message_that_is_no_event(self, stream: NatsEventStream) -> None:
        reply, answer = (await stream.client()).expect()
        (await stream.client()).send(nats_frames.publish(b"evt.acme.agent.started", reply, b"no event"))
        await answer
        assert await stream.event_id(1) == ""

    async def test_refuses_what_it_does_not_know(self, stream: NatsEventStream) -> None:
        with pytest.raises(StreamRefused):
            await (await stream.client()).api("STREAM.CREATE.EVENTS_0", {"name": "EVENTS_0", "storage": "paper"})


class TestASign:
    async def test_of_a_wake_comes_through(self, server: EmbeddedNats, stream: NatsEventStream) -> None:
        await stream.listen()
        stream.woken.clear()
        other = await NatsEventStream.connect(server.url, SETTINGS)
        await other.client()
        other.wake()
        await asyncio.wait_for(stream.woken.wait(), 2)
        await other.close()

    async def test_of_a_wake_comes_only_where_it_is_wanted(self, server: EmbeddedNats, stream: NatsEventStream) -> None:
        other = await NatsEventStream.connect(server.url, SETTINGS)
        await other.client()
        for wanted in (True, False, True):
            async with stream.waking() if wanted else contextlib.nullcontext():
                await stream.state()  # the server has taken what was sent before
                stream.woken.clear()
                await asyncio.sleep(2 * SETTINGS.relay_gather_s)  # another wake is told at once then
                other.wake()
                await other.state()
                await stream.state()
                assert stream.woken.is_set() is wanted
        await other.close()

    async def test_of_a_deleted_stream_comes_through(self, stream: NatsEventStream) -> None:
        await stream.listen()
        stream.disturbed.clear()
        await (await stream.client()).api("STREAM.DELETE.EVENTS_0")
        await asyncio.wait_for(stream.disturbed.wait(), 2)

    async def test_of_a_server_that_came_back_comes_through(
        self, server: EmbeddedNats, stream: NatsEventStream
    ) -> None:
        await stream.listen()
        stream.disturbed.clear()
        await restart(server)
        await asyncio.wait_for(stream.disturbed.wait(), 4)
        stream.woken.clear()
        stream.wake()
        await asyncio.wait_for(stream.woken.wait(), 2)


class TestAnUnreachableServer:
    async def test_keeps_nobody_waiting_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("infra.adapters.nats_stream._CONNECT_S_MAX", 0.3)
        stream = await NatsEventStream.connect(f"nats://127.0.0.1:{free_port()}", SETTINGS)
        stream.wake()
        with pytest.raises(StreamUnavailable):
            await stream.state()
        await stream.close()

    async def test_fails_what_is_under_way_when_it_dies(self, server: EmbeddedNats, stream: NatsEventStream) -> None:
        server.kill(signal.SIGSTOP)
        flight = await stream.send([record(1), record(2)], 0)
        server.kill(signal.SIGKILL)
        with pytest.raises(StreamUnavailable):
            await asyncio.wait_for(flight.landed, 2)

    async def test_is_left_for_another_one_when_it_stands_still(
        self, server: EmbeddedNats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nats_client, "_PING_S", 0.2)
        other = EmbeddedNats(tmp_path, tmp_path / "log")
        await other.start()
        stream = await NatsEventStream.connect(f"{server.url},{other.url}", SETTINGS)
        client = await stream.client()
        stuck, free = (server, other) if client.connected_url == urlparse(server.url) else (other, server)
        stuck.kill(signal.SIGSTOP)
        client.send(nats_frames.publish(b"x", b"", b"x" * 8_000_000))
        async with asyncio.timeout(5):
            while client.connected_url != urlparse(free.url):
                await asyncio.sleep(0.02)
        stuck.kill(signal.SIGCONT)
        await stream.close()
        await other.stop()


class TestADeliveryFromJetStream:
    async def test_goes_on_after_the_server_was_killed(self, server: EmbeddedNats, stream: NatsEventStream) -> None:
        await publish(stream, 1, 2_000)
        delivery = stream.pull("reader")
        await delivery.start(0)
        found = await take(delivery, 30)
        await restart(server)
        found.extend(await rest(delivery))
        await delivery.start(found[-1].seq)
        found.extend(await take(delivery, 2_000))
        assert [message.seq for message in found] == list(range(1, 2_001))
        await delivery.close()

    async def test_ends_when_the_server_stands_still(
        self, server: EmbeddedNats, stream: NatsEventStream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nats_pull, "_HEARTBEAT_S", 0.5)
        delivery = stream.pull("reader")
        await delivery.start(0)
        server.kill(signal.SIGSTOP)
        with pytest.raises(ConsumerGone):
            await asyncio.wait_for(delivery.next(), 6)
        server.kill(signal.SIGCONT)
        await delivery.start(0)
        await publish(stream, 1, 1)
        assert len(await take(delivery, 1)) == 1
        await delivery.close()

    async def test_holds_no_more_than_two_batches(self, stream: NatsEventStream) -> None:
        await publish(stream, 1, 1_000)
        delivery = stream.pull("reader")
        await delivery.start(0)
        await asyncio.sleep(0.3)
        assert len(delivery._arrived) == 2 * SETTINGS.consumer_batch_events_max
        assert len(await delivery.next()) == SETTINGS.consumer_batch_events_max
        await delivery.close()

    async def test_brings_a_message_larger_than_a_whole_pull(
        self, stream: NatsEventStream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nats_pull, "_PULL_BYTES_MAX", 5_000)
        await publish(stream, 1, 3)
        await publish(stream, 4, 5, b'"' + b"x" * 20_000 + b'"')
        await publish(stream, 6, 9)
        delivery = stream.pull("reader")
        await delivery.start(0)
        assert [message.seq for message in await take(delivery, 9)] == list(range(1, 10))
        await delivery.close()

    async def test_takes_over_from_a_process_that_stands_still(
        self, server: EmbeddedNats, stream: NatsEventStream
    ) -> None:
        zombie = await NatsEventStream.connect(server.url, SETTINGS)
        lost = zombie.pull("reader")
        await lost.start(0)
        delivery = stream.pull("reader")
        await delivery.start(0)
        await publish(stream, 1, 500)
        assert [message.seq for message in await take(delivery, 500)] == list(range(1, 501))
        await delivery.close()
        await zombie.close()
