"""The Postgres store and a line on which nothing comes, or late: nobody waits for ever, and all goes on when it is well again."""

import asyncio

import pytest

from infra.adapters import postgres_connection
from infra.adapters.read_store import ReadStore
from infra.errors import StoreUnavailable
from infra.settings import Settings
from tests.contract.line import Line, begun, opened

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is interrupted on a dead line is given up soon."""
    monkeypatch.setattr(postgres_connection, "_CANCEL_S_MAX", 0.2)


class TestALineThatTakesLongToConnect:
    async def test_is_waited_for(self, database_url: str, settings: Settings) -> None:
        line = Line(database_url, long_s=0.8)
        await line.open()
        async with opened(line.url, settings) as store:
            assert await store.head() == 0
        await line.close()


class TestALineOnWhichNothingComes:
    async def test_costs_readers_no_more_than_the_bound(self, line: Line, settings: Settings) -> None:
        async with opened(line.url, settings, store_retry_s_max=0.5, read_s_max=0.5) as store:
            await begun(store)
            line.mute = True
            async with asyncio.timeout(30):
                answers = await asyncio.gather(
                    *(store.head(), store.load("acme", "first-1"), store.snapshot("acme", "first-1"), store.read(0, 1)),
                    return_exceptions=True,
                )
            assert {type(answer) for answer in answers} == {StoreUnavailable}

    async def test_costs_queries_no_more_than_the_bound(self, line: Line, settings: Settings) -> None:
        store = await ReadStore.open(
            line.url, settings.model_copy(update={"query_retry_s_max": 0.5, "read_s_max": 0.5})
        )
        assert await store.consumers() == []
        line.mute = True
        async with asyncio.timeout(30):
            with pytest.raises(StoreUnavailable):
                await store.consumers()
        await store.close()

    async def test_is_left_for_a_new_one_once_that_is_well(self, line: Line, settings: Settings) -> None:
        async with opened(line.url, settings, store_retry_s_max=0.2, connect_s_max=2) as store:
            await begun(store)
            line.mute = True
            line.cut()
            with pytest.raises(StoreUnavailable):
                await store.head()
            line.mute = False
            async with asyncio.timeout(20):
                while True:
                    try:
                        assert await store.head() == 1
                        break
                    except StoreUnavailable:
                        continue

    async def test_keeps_nobody_waiting_when_the_store_is_closed(self, line: Line, settings: Settings) -> None:
        async with opened(line.url, settings) as store:
            await begun(store)
            line.mute = True
            keys = ("acme", "first-1")
            asked = (store.load(*keys), store.snapshot(*keys), store.head(), store.answer("acme", "c1", b"f"))
            waiting = [asyncio.ensure_future(each) for each in asked]
            await asyncio.sleep(0.05)
            waiting.append(asyncio.ensure_future(store.load("acme", "behind-1")))
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            for each in waiting:
                with pytest.raises(StoreUnavailable):
                    await each
            with pytest.raises(StoreUnavailable):
                await store.head()
