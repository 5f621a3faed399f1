"""What the connection to NATS keeps across its absence, and what it does not keep."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import partial

import pytest

from infra.adapters import nats_pull
from infra.adapters.event_store import Record
from infra.adapters.event_stream import FencedOff, Flight, StreamRefused
from infra.adapters.nats_flight import land
from infra.adapters.nats_stream import NatsEventStream
from infra.embedded.nats import EmbeddedNats
from infra.ids import new_id
from infra.settings import Settings

pytestmark = pytest.mark.servers


@pytest.fixture
async def stream(own_nats: EmbeddedNats) -> AsyncIterator[NatsEventStream]:
    connected = await NatsEventStream.connect(own_nats.url, Settings())
    await connected.recreate(1)
    yield connected
    await connected.close()


def record(at: int, tenant_id: str) -> Record:
    return Record(at, new_id(), tenant_id, "agent-1", at, "agent.started", 1, datetime.now(UTC), b"{}", b"{}")


class TestASign:
    async def test_listened_for_while_nats_is_away_comes(self, own_nats: EmbeddedNats, stream: NatsEventStream) -> None:
        client = await stream.client()
        own_nats.kill()
        while client.is_connected:
            await asyncio.sleep(0.01)
        await stream.listen()
        await own_nats.start()
        await stream.client()
        stream.woken.clear()
        stream.wake()
        await asyncio.wait_for(stream.woken.wait(), 2)


class TestAnEnd:
    async def test_comes_while_it_reconnects_even_if_a_cancellation_gets_lost(
        self, own_nats: EmbeddedNats, stream: NatsEventStream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = await stream.client()
        trying = asyncio.Event()

        async def swallow_one(_: object) -> None:
            with nullcontext() if trying.is_set() else suppress(asyncio.CancelledError):
                trying.set()
                await asyncio.sleep(30)
            raise OSError("no answer")

        monkeypatch.setattr(client, "_connect_to_server", swallow_one)
        own_nats.kill()
        await trying.wait()
        await stream.close()
        attempt = client._reconnection_task
        assert attempt is not None
        assert attempt.done()


class TestADelivery:
    async def test_remembers_few_subjects(self, stream: NatsEventStream, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nats_pull, "_SUBJECTS_MAX", 2)
        await stream.publish_batch([record(at, f"t{at}") for at in range(1, 8)], 0)
        delivery = stream.pull("reader")
        await delivery.start(0)
        found: list[str] = []
        while len(found) < 7:
            found.extend(message.subject[:6] for message in await delivery.next())
        assert found == [f"evt.t{at}" for at in range(1, 8)]
        assert len(delivery._subjects) <= 2
        await delivery.close()


class TestAFewMessages:
    @pytest.mark.parametrize("count", [3, 9])
    async def test_are_not_taken_for_stored_behind_the_message_of_another(
        self, stream: NatsEventStream, count: int
    ) -> None:
        await stream.publish_batch([record(at, "acme") for at in range(1, 6)], 0)
        client = await stream.client()
        await client.publish("evt.acme.agent.started", b"not ours")
        await client.flush()
        with pytest.raises(FencedOff):
            await stream.publish_batch([record(at, "acme") for at in range(6, 6 + count)], 5)

    @pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"seq": 3}', b"ok", b""])
    async def test_have_come_to_an_end_whatever_is_answered(self, answer: bytes) -> None:
        loop = asyncio.get_running_loop()
        answers, flight = [loop.create_future(), loop.create_future()], Flight(4, loop.create_future())
        for each in answers:
            each.add_done_callback(partial(land, flight, answers))
        answers[1].set_result(b'{"seq": 4}')
        await asyncio.sleep(0)
        assert not flight.landed.done()
        answers[0].set_result(answer)
        await asyncio.wait([flight.landed], timeout=1)
        assert flight.landed.done()
        assert isinstance(flight.landed.exception(), StreamRefused) == (answer != b'{"seq": 3}')
