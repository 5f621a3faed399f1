"""Ending a task that lost its first cancellation."""

import asyncio

import pytest

from infra import cancellation
from infra.cancellation import end


class TestATaskThatSwallowsACancellation:
    async def test_ends_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cancellation, "_AGAIN_S", 0.02)

        async def stubborn() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(60)

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await asyncio.wait_for(end(task), 2)
        assert task.cancelled()


class TestATaskThatFailed:
    async def test_keeps_its_failure_to_itself(self) -> None:
        async def failing() -> None:
            raise RuntimeError

        task = asyncio.create_task(failing())
        await asyncio.sleep(0)
        await end(task)
        assert task.done()
