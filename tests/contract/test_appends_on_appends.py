"""Appends that name those they rest on, in the event store in memory and in the one on Postgres."""

import asyncio

import pytest

from infra.adapters.event_store import Appended, BasisLost, EventStore, StreamMoved, Write
from tests.contract.test_event_store import append, events, one, place, store

__all__ = ["place", "store"]


class TestAnAppendThatRestsOnAnother:
    """Whoever decides on events that are still under way names them: a version alone may be right by chance."""

    @pytest.mark.parametrize("turns", [0, 1, 3])
    async def test_is_lost_with_it_though_others_have_written_as_many_events(
        self, store: EventStore, turns: int
    ) -> None:
        await store.append(one("thing-1", 0, *events(2)))
        loser = store.submit(one("thing-1", 0, *events(2)))
        for _ in range(turns):  # so that it may be in flight already
            await asyncio.sleep(0)
        second = store.submit(one("thing-1", 2, after=(loser,)))
        third = store.submit(append(Write("thing-2", 0, events(1)), Write("thing-1", 3, ()), after=(second,)))
        beside = store.submit(one("thing-1", 2))
        endings = await asyncio.gather(loser, second, third, beside, return_exceptions=True)
        assert [type(ending) for ending in endings] == [StreamMoved, BasisLost, BasisLost, Appended]
        assert [record.stream_version for record in await store.load("acme", "thing-1")] == [1, 2, 3]
        assert await store.load("acme", "thing-2") == []

    async def test_is_lost_when_it_comes_after_the_end_of_the_other(self, store: EventStore) -> None:
        await store.append(one("thing-1", 0))
        loser = store.submit(one("thing-1", 0))
        with pytest.raises(StreamMoved):
            await loser
        with pytest.raises(BasisLost):
            await store.append(one("thing-1", 1, after=(loser,)))
        assert await store.head() == 1

    async def test_is_lost_when_the_other_was_written_long_ago(self, store: EventStore) -> None:
        await store.append(one("thing-1", 0, *events(2), command_id="c1", fingerprint=b"f"))
        again = store.submit(one("thing-1", 0, *events(2), command_id="c1", fingerprint=b"f"))
        second = store.submit(one("thing-1", 2, after=(again,)))
        assert (await again).repeated
        with pytest.raises(BasisLost):
            await second
        assert await store.head() == 2

    async def test_is_written_with_it(self, store: EventStore) -> None:
        first = store.submit(one("thing-1", 0, *events(2)))
        second = store.submit(one("thing-1", 2, after=(first,)))
        assert [(await answer).version for answer in (first, second)] == [2, 3]
        assert (await store.append(one("thing-1", 3, after=(first, second)))).version == 4
