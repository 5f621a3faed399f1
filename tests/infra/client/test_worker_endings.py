"""How a worker ends a task whose handler ends in a way of its own, or whose commands meet others."""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from foldwork import Task
from infra.adapters.event_store import StreamMoved
from infra.engines.command_bus import CommandBus
from tests.infra.client.worker_world import World, summarise, working

pytestmark = pytest.mark.servers


async def begun(system: World, program: str) -> asyncio.subprocess.Process:
    """The process of a worker that says when it is at its task."""
    process = await system.process(program)
    await system.request("t1", input={})
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begun\n"
    return process


class TestAHandler:
    async def test_that_waited_for_something_cancelled_fails_its_task_at_once(self, system: World) -> None:
        worker = system.worker()
        attempts: list[int] = []

        @worker.task
        async def handle(task: Task) -> None:
            attempts.append(task.attempt)
            other = asyncio.create_task(asyncio.sleep(60))
            other.cancel()
            await other

        async with working(worker):
            await system.request("t1", input={})
            await system.ended("t1")
        assert attempts == [1]
        assert "failed" in await system.types("t1")

    @pytest.mark.parametrize("in_thread", [False, True])
    async def test_that_exits_fails_its_task_and_not_the_worker(self, system: World, in_thread: bool) -> None:
        worker = system.worker()

        async def handle(task: Task) -> str:
            if task.id == "t1":
                sys.exit(3)
            return "done"

        def handle_in_thread(task: Task) -> str:
            if task.id == "t1":
                sys.exit(3)
            return "done"

        worker.task(handle_in_thread if in_thread else handle)
        async with working(worker):
            await system.request("t1", input={})
            await system.ended("t1")
            await system.request("t2", input={})
            await system.ended("t2")
        assert "failed" in await system.types("t1")
        assert "completed" in await system.types("t2")

    async def test_that_is_refused_something_about_another_task_fails_its_own(self, system: World) -> None:
        worker = system.worker()

        @worker.task
        async def handle(task: Task) -> None:
            if task.id == "t1":
                await system.commands.send("CancelTask", {"task_id": "t0", "reason": "not wanted"})

        async with working(worker):
            await system.request("t0", input={})
            await system.ended("t0")
            await system.request("t1", input={})
            await system.ended("t1")
        assert "failed" in await system.types("t1")


class TestAFunctionThatIsNotAsync:
    async def test_has_as_many_threads_as_the_worker_takes_tasks(self, system: World) -> None:
        together = 40
        worker = system.worker(concurrency=together)
        met = threading.Barrier(together, timeout=20)

        @worker.task
        def handle(task: Task) -> int:
            return met.wait()

        async with working(worker):
            for number in range(together):
                await system.request(f"t{number}", input={})
            for number in range(together):
                await system.ended(f"t{number}")
        assert [(await system.types(f"t{number}"))[-1] for number in range(together)] == ["completed"] * together

    async def test_that_never_ends_does_not_keep_its_process(self, system: World) -> None:
        program = """
import sys, time
from foldwork import Worker, worker as kit
kit.STOP_S_MAX = 0.5
worker = Worker(sys.argv[1], tenant="acme", agent="summariser", capabilities=["summarise"])
@worker.task
def handle(task):
    print("begun", flush=True)
    time.sleep(3600)
worker.run()
"""
        process = await begun(system, program)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


class TestACommandOfAWorker:
    @pytest.mark.parametrize("name", ["StartTask", "CompleteTask"])
    async def test_that_others_get_in_the_way_of_is_sent_again(
        self, system: World, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        plain, refused = CommandBus.execute_many, []

        async def execute_many(self: CommandBus, requests: Sequence[Any]) -> list[Any]:
            if not refused and any(type(request[0]).__name__ == name for request in requests):
                refused.append(name)
                return [StreamMoved("task-t1", 2, 3)] * len(requests)
            return await plain(self, requests)

        monkeypatch.setattr(CommandBus, "execute_many", execute_many)
        worker = system.worker()
        summarise(worker)
        async with working(worker):
            await system.request("t1", input={"text": "much"})
            await system.ended("t1")
        assert refused == [name]
        assert "completed" in await system.types("t1")


class TestTheSecondSignal:
    async def test_gives_back_at_once_what_is_being_done(self, system: World) -> None:
        program = """
import asyncio, sys
from foldwork import Worker
worker = Worker(sys.argv[1], tenant="acme", agent="summariser", capabilities=["summarise"], ack_wait_s=20.0)
@worker.task
async def handle(task):
    print("begun", flush=True)
    await asyncio.sleep(3600)
worker.run()
"""
        process = await begun(system, program)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 5)
        since = time.monotonic()
        worker = system.worker(ack_wait_s=20.0)

        @worker.task
        async def handle(task: Task) -> int:
            return task.attempt

        async with working(worker):
            await system.ended("t1")
        assert time.monotonic() - since < 5
