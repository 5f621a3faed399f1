"""Whoever is woken often is told seldom, and never too early for what is new."""

import asyncio
from itertools import pairwise

import pytest

from infra.adapters.wakes import Wakes

pytestmark = pytest.mark.waits

EVERY_S = 0.1


class TestAWake:
    async def test_is_told_at_once_after_a_silence(self) -> None:
        told: list[None] = []
        wakes = Wakes(lambda: told.append(None), EVERY_S)
        for number in range(1, 3):
            wakes.wake()
            assert len(told) == number
            await asyncio.sleep(1.2 * EVERY_S)

    async def test_among_many_is_told_with_the_others_and_the_last_one_too(self) -> None:
        clock = asyncio.get_running_loop().time
        told: list[float] = []
        wakes = Wakes(lambda: told.append(clock()), EVERY_S)
        begun = last = clock()
        while clock() < begun + 2.5 * EVERY_S:
            wakes.wake()
            last = clock()
            await asyncio.sleep(0.001)
        while told[-1] < last:
            await asyncio.sleep(0.01)
        await asyncio.sleep(2 * EVERY_S)
        assert 3 <= len(told) <= 4
        assert min(later - earlier for earlier, later in pairwise(told)) > 0.99 * EVERY_S
