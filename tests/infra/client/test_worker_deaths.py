"""Workers, deliveries and servers that die or come twice: each task ends once, and what was reported is on record once."""

import asyncio

import orjson
import pytest

from foldwork import Task
from infra.embedded.nats import EmbeddedNats
from tests.infra.client.worker_world import TENANT, WAIT_S_MAX, World, summarise, working

# It says that it has begun, and never ends.
ENDLESS = """
import asyncio, sys
from foldwork import Worker
worker = Worker(sys.argv[1], tenant="acme", agent="summariser", capabilities=["summarise"], ack_wait_s=1.0)
@worker.task
async def handle(task):
    await task.say("begun")
    print("begun", flush=True)
    await asyncio.sleep(3600)
worker.run()
"""


class TestATask:
    async def test_whose_worker_is_killed_is_done_by_another(self, system: World) -> None:
        process = await system.process(ENDLESS)
        assert process.stdout is not None
        async with asyncio.timeout(WAIT_S_MAX):
            await asyncio.sleep(0)
            await system.request("t1")
            assert await process.stdout.readline() == b"begun\n"
        process.kill()
        await process.wait()
        worker = system.worker()

        @worker.task
        async def handle(task: Task) -> int:
            await task.say("begun")
            await task.say("and done")
            return task.attempt

        async with working(worker):
            assert (await system.ended("t1"))["result"] == 2
            await system.queue_empties()
        # What the second worker said as the first one had is on record once.
        assert await system.types("t1") == [
            *("requested", "assigned", "started", "step_recorded", "step_recorded", "completed")
        ]

    async def test_that_takes_longer_than_the_queue_waits_is_done_once(self, system: World) -> None:
        workers = [system.worker(ack_wait_s=0.3) for _ in range(2)]
        begun: list[int] = []
        for worker in workers:

            @worker.task
            async def handle(task: Task) -> None:
                begun.append(task.attempt)
                await asyncio.sleep(1.0)

        async with working(*workers):
            await system.request("t1")
            await system.ended("t1")
        assert begun == [1]

    async def test_that_is_delivered_again_after_its_end_takes_effect_once(self, system: World) -> None:
        worker = system.worker()
        begun: list[str] = []

        @worker.task
        async def handle(task: Task) -> None:
            begun.append(task.id)
            await task.say("done")

        async with working(worker):
            await system.request("t1")
            await system.ended("t1")
            await system.queue_empties()
            offer = {"task_id": "t1", "tenant_id": TENANT, "agent_id": worker.agent_id, "title": "Sum up"}
            await system.nats.jetstream().publish(f"work.{TENANT}.{worker.agent_id}.t1", orjson.dumps(offer))
            await system.queue_empties()
        assert begun == ["t1"]
        assert (await system.types("t1")).count("completed") == 1

    async def test_that_is_delivered_again_after_it_was_handed_over_is_left_to_whoever_has_it(
        self, system: World
    ) -> None:
        worker = system.worker()
        begun: list[str] = []

        @worker.task
        async def handle(task: Task) -> None:
            begun.append(task.id)
            if len(begun) == 1:
                await task.hand_over("too hard")

        async with working(worker):
            await system.request("t1")
            async with asyncio.timeout(WAIT_S_MAX):
                while "handed_over" not in await system.types("t1"):
                    await asyncio.sleep(0.01)
            await system.queue_empties()
            offer = {"task_id": "t1", "tenant_id": TENANT, "agent_id": worker.agent_id, "title": "Sum up"}
            await system.nats.jetstream().publish(f"work.{TENANT}.{worker.agent_id}.t1", orjson.dumps(offer))
            await system.queue_empties()
        assert (begun, (await system.types("t1"))[-1]) == (["t1"], "handed_over")

    async def test_whose_reports_differ_the_second_time_has_both(self, system: World) -> None:
        first = system.worker(ack_wait_s=0.5)
        begun = asyncio.Event()

        @first.task
        async def begin(task: Task) -> None:
            await task.say("one")
            begun.set()
            await asyncio.sleep(3_600)

        serving = asyncio.create_task(first.serve())
        await system.request("t1")
        async with asyncio.timeout(WAIT_S_MAX):
            await begun.wait()
        first._doing.pop().cancel()  # given back to the queue, as when a worker is stopped
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        second = system.worker()

        @second.task
        async def finish(task: Task) -> None:
            await task.say("another")

        async with working(second):
            await system.ended("t1")
        assert (await system.types("t1")).count("step_recorded") == 2

    async def test_that_kills_every_worker_is_failed(self, system: World) -> None:
        worker = system.worker(ack_wait_s=0.1, deliveries_max=2)
        begun: list[int] = []

        @worker.task
        async def handle(task: Task) -> None:
            begun.append(task.attempt)
            # What is left of a worker that dies: neither an end nor an acknowledgement.
            running = asyncio.current_task()
            assert running is not None
            running.cancel()
            await asyncio.sleep(60)

        async with working(worker):
            await system.request("t1")
            assert "ended 2 times" in (await system.ended("t1"))["error"]
        assert begun == [1, 2]

    async def test_that_nobody_can_read_is_put_aside_and_stays_out_of_the_log_lines(
        self, system: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        worker = system.worker()
        summarise(worker)
        async with working(worker):
            await system.request("t1", input={"text": "hello"})
            await system.ended("t1")
            await system.nats.jetstream().publish(f"work.{TENANT}.{worker.agent_id}.x", b"rubbish")
            await system.queue_empties()
        assert "an offer of 7 bytes cannot be read" in caplog.text
        assert "rubbish" not in caplog.text


class TestNats:
    async def test_may_be_killed_while_tasks_are_done(self, system: World, embedded_nats: EmbeddedNats) -> None:
        worker = system.worker()

        @worker.task
        async def handle(task: Task) -> str:
            await task.say("one")
            await asyncio.sleep(0.05)
            return task.id

        async with working(worker):
            requests = [asyncio.create_task(system.request(f"t{number}")) for number in range(100)]
            await asyncio.sleep(0.1)
            embedded_nats.kill()
            while embedded_nats.alive:
                await asyncio.sleep(0.01)
            await embedded_nats.start()
            await asyncio.gather(*requests)
            for number in range(100):
                assert (await system.ended(f"t{number}"))["result"] == f"t{number}"
                assert (await system.types(f"t{number}")).count("step_recorded") == 1
            await system.queue_empties()
