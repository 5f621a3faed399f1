"""What the connection to NATS keeps across its absence, and what it does not keep."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from datetime import UTC, datetime

import pytest

from infra.adapters import nats_pull
from infra.adapters.event_store import Record
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
