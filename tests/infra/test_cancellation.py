"""Ending a task that lost its first cancellation."""

import asyncio
import gc

import pytest

from infra import cancellation
from infra.cancellation import end, unharmed


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


class TestAnUnharmedTask:
    async def test_goes_on_when_who_waits_is_cancelled_and_fails_in_silence(self) -> None:
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        ended = asyncio.Event()

        async def fail() -> None:
            await asyncio.sleep(0.01)
            ended.set()
            raise ValueError

        waiting = asyncio.create_task(unharmed(asyncio.create_task(fail())))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await asyncio.wait_for(ended.wait(), 1)
        await asyncio.sleep(0)
        gc.collect()
        assert waiting.cancelled()
        assert reported == []

    async def test_gives_what_it_comes_to(self) -> None:
        assert await unharmed(asyncio.create_task(asyncio.sleep(0, 7))) == 7
