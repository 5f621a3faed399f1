"""What a process has written is told to the others over NATS: the same events as the log's, few at a time, and never half of them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.adapters.cloud_event import decode, encode
from infra.adapters.event_store import Append, NewEvent, Record, Write
from infra.adapters.fresh_events import FreshEvents
from infra.adapters.nats_stream import NatsEventStream
from infra.ids import new_uuid7
from infra.settings import Settings
from tests.contract.line import NOW, one, opened
from tests.infra.test_feed import until

pytestmark = pytest.mark.servers
FEW = {"fresh_events_max": 4, "fresh_bytes_max": 1_000, "fresh_gather_s": 0.05}


class Place:
    """A listener, and whoever writes: each with a connection of its own."""

    def __init__(self, reader: NatsEventStream, writer: NatsEventStream, settings: Settings) -> None:
        self.reader, self.writer = reader, writer
        self.fresh = FreshEvents(writer, settings)
        self.told: list[list[Record]] = []

    async def settle(self) -> None:
        """All that was sent has arrived."""
        for stream in (self.writer, self.reader):
            await (await stream.client()).api("INFO")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update=FEW)


@pytest.fixture
async def place(nats_url: str, settings: Settings) -> AsyncIterator[Place]:
    reader, writer = [await NatsEventStream.connect(nats_url, settings) for _ in range(2)]
    place = Place(reader, writer, settings)
    await FreshEvents(reader, settings).listen(place.told.append)
    await place.settle()
    yield place
    await reader.close()
    await writer.close()


def two_streams() -> Append:
    """Two streams in one append, one of them at a later version, with what only the log keeps."""
    events = [NewEvent("thing.happened", 2, '{"text":"é\\n"}'.encode(), new_uuid7()) for _ in range(3)]
    metadata = b'{"actor":"ann","ip":"10.0.0.1","correlation_id":"c-1"}'
    return Append("acme", (Write("b-1", 1, events[:2]), Write("c-1", 0, events[2:])), NOW, metadata)


class TestWhatWasWritten:
    async def test_is_told_as_it_is_in_the_log_and_on_the_mirror(
        self, place: Place, database_url: str, settings: Settings
    ) -> None:
        async with opened(database_url, settings) as store:
            store.on_append = place.fresh.written
            await store.append(one("b-1"))
            await store.append(two_streams())
            await until(lambda: sum(len(records) for records in place.told) == 4)
            told = [record for records in place.told for record in records]
            assert told == [decode(encode(record, 0)) for record in await store.read(0, 10)]
        assert [record.position for record in told] == [1, 2, 3, 4]
        assert not any(b"10.0.0.1" in record.metadata for record in told)

    async def test_soon_after_something_else_comes_with_more(
        self, place: Place, database_url: str, settings: Settings
    ) -> None:
        async with opened(database_url, settings) as store:
            store.on_append = place.fresh.written
            for number in range(4):
                await store.append(one(f"thing-{number}"))
            await until(lambda: sum(len(records) for records in place.told) == 4)
        assert [len(records) for records in place.told] == [1, 3]

    @pytest.mark.parametrize("much", [{"count": 5}, {"count": 1, "data": b'"' + 1_000 * b"x" + b'"'}])
    async def test_is_not_told_when_it_is_much(
        self, place: Place, database_url: str, settings: Settings, much: dict[str, Any]
    ) -> None:
        async with opened(database_url, settings) as store:
            store.on_append = place.fresh.written
            data = much.get("data", b"{}")
            for _ in range(2):  # at once, and after a wait
                await asyncio.gather(*(store.append(one(f"t-{new_uuid7()}", data=data)) for _ in range(much["count"])))
            await asyncio.sleep(2 * settings.fresh_gather_s)
            await place.settle()
            assert place.told == []
            await store.append(one("small"))
            await until(lambda: place.told != [])
        assert [[record.stream_id for record in records] for records in place.told] == [["small"]]

    async def test_is_not_told_when_the_server_would_not_take_it(
        self, place: Place, database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = await place.writer.client()
        monkeypatch.setattr(client, "_max_payload", 500)
        async with opened(database_url, settings) as store:
            store.on_append = place.fresh.written
            await store.append(one("large", data=b'"' + 500 * b"x" + b'"'))
            await asyncio.sleep(2 * settings.fresh_gather_s)
            await store.append(one("small"))
            await until(lambda: place.told != [])
        assert [[record.stream_id for record in records] for records in place.told] == [["small"]]

    async def test_wakes_the_relay(self, place: Place, database_url: str, settings: Settings) -> None:
        await place.reader.listen()
        await place.settle()
        place.reader.woken.clear()
        async with opened(database_url, settings) as store:
            store.on_append = place.fresh.written
            await asyncio.gather(*(store.append(one(f"t-{number}")) for number in range(9)))
            await asyncio.wait_for(place.reader.woken.wait(), 5)


JUNK = [b"", b"{", b"1", b"null", b"{}", b"[1]", b"[{}]", b'["position"]', b'[{"position":1}]', b'[{"position":"1"}]']


class TestAMessageThatIsNoEvents:
    async def test_is_passed_over_where_it_almost_is_one(self, place: Place) -> None:
        record = Record(1, "a", "acme", "b-1", 1, "thing.happened", 1, NOW, b"{}", b"{}")
        document = encode(record, 0).replace(b'"position":1', b'"position":"1"')
        place.writer.tell(place.writer.fresh, b"[" + document + b"]")
        await place.settle()
        assert [records for records in place.told if records] == []

    @pytest.mark.parametrize("junk", JUNK, ids=repr)
    async def test_is_passed_over(self, place: Place, junk: bytes) -> None:
        place.writer.tell(place.writer.fresh, junk)
        await place.settle()
        assert [records for records in place.told if records] == []

    async def test_changes_nothing_for_the_next(self, place: Place, database_url: str, settings: Settings) -> None:
        place.writer.tell(place.writer.fresh, b"[1]")
        async with opened(database_url, settings) as store:
            store.on_append = place.fresh.written
            await store.append(one("thing-1"))
            await until(lambda: place.told != [])
        assert [record.position for record in place.told[0]] == [1]
