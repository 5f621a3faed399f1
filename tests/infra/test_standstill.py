"""A process that was stopped for a while knows, though nobody told it."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from infra.engines import standstill
from infra.engines.standstill import Standstill

pytestmark = pytest.mark.waits

STANDSTILL_S, BEAT_S = 0.2, 0.02


@pytest.fixture
async def looking(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Standstill]:
    monkeypatch.setattr(standstill, "STANDSTILL_S", STANDSTILL_S)
    monkeypatch.setattr(standstill, "_BEAT_S", BEAT_S)
    found = Standstill()
    found.begin()
    yield found
    found.end()


def stop() -> None:
    """As if the process was stopped: nothing has its turn meanwhile."""
    time.sleep(STANDSTILL_S * 1.5)


class TestAProcessThatStoodStill:
    async def test_knows_at_once(self, looking: Standstill) -> None:
        before = time.monotonic()
        assert not looking.since(before)
        stop()
        assert looking.since(before)

    async def test_still_knows_when_others_had_their_turn(self, looking: Standstill) -> None:
        before = time.monotonic()
        stop()
        await asyncio.sleep(BEAT_S * 3)
        assert looking.since(before)
        assert not looking.since(time.monotonic())


class TestAWatch:
    async def test_says_so_once_for_each_standstill(self, looking: Standstill) -> None:
        stood_still = looking.watch()
        assert not stood_still()
        for _ in range(2):
            stop()
            await asyncio.sleep(BEAT_S * 3)
            assert stood_still()
            assert not stood_still()

    async def test_that_begins_just_after_a_standstill_counts_it(self, looking: Standstill) -> None:
        stop()
        await asyncio.sleep(BEAT_S * 3)
        stood_still = looking.watch()
        assert stood_still()
        assert not stood_still()

    async def test_that_begins_long_after_a_standstill_does_not(self, looking: Standstill) -> None:
        stop()
        await asyncio.sleep(STANDSTILL_S + BEAT_S * 3)
        assert not looking.watch()()
