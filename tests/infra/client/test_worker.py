"""A worker on the real servers: what its handler does is on record, once, whoever dies meanwhile."""

import asyncio
from collections import Counter
from typing import Any

import orjson
import pytest

from foldwork import Refused, Task
from foldwork import worker as worker_module
from foldwork.command_channel import BREAKDOWNS_MAX
from infra.engines.command_bus import CommandBus
from tests.infra.client.worker_world import TENANT, WAIT_S_MAX, World, summarise, working
from write_side.task import StartTask


class TestAWorker:
    async def test_does_a_task_that_is_asked_for_by_capability(self, system: World) -> None:
        worker = system.worker()

        @worker.task
        async def handle(task: Task) -> dict[str, Any]:
            await task.say("Let me see.")
            await task.tool("search", {"q": task.input["text"]}, reply="42")
            await task.usage("small", 10, 20)
            return {"title": task.title, "attempt": task.attempt}

        async with working(worker):
            await system.request("t1", input={"text": "hello"})
            assert (await system.ended("t1"))["result"] == {"title": "Sum up", "attempt": 1}
            await system.queue_empties()
        assert await system.types("t1") == [
            *("requested", "assigned", "started"),
            *("step_recorded", "step_recorded", "usage_recorded", "completed"),
        ]
        history = await system.history("t1")
        origins = [orjson.loads(record.metadata) for record in history]
        assert {origin["correlation_id"] for origin in origins} == {origins[0]["correlation_id"]}
        assert [origin["actor"] for origin in origins[2:]] == ["agent:summariser"] * 5
        assert [origin["command_id"] for origin in origins[3:]] == ["t1/1", "t1/2", "t1/3", "t1/end"]

    async def test_does_many_tasks_at_once_and_each_once(self, system: World) -> None:
        first, second = system.worker(), system.worker()
        done: Counter[str] = Counter()
        for worker in (first, second):

            @worker.task
            async def handle(task: Task) -> None:
                done[task.id] += 1

        async with working(first, second):
            assert first.agent_id == second.agent_id
            await asyncio.gather(*(system.request(f"t{number}") for number in range(300)))
            for number in range(300):
                await system.ended(f"t{number}")
            await system.queue_empties()
        assert set(done.values()) == {1}
        assert len(done) == 300

    async def test_is_offered_again_what_broke_something_down(
        self, system: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        execute_many, broken = CommandBus.execute_many, 0

        async def breaking(bus: CommandBus, commands: Any) -> Any:
            nonlocal broken
            if broken < BREAKDOWNS_MAX and any(isinstance(command, StartTask) for command, *_ in commands):
                broken += 1
                return [RuntimeError("broken")] * len(commands)
            return await execute_many(bus, commands)

        monkeypatch.setattr(CommandBus, "execute_many", breaking)
        monkeypatch.setattr(worker_module, "_NAK_FOR_LATER", b'-NAK {"delay": 100000000}')
        worker = system.worker()
        summarise(worker)
        async with working(worker):
            await system.request("t1", input={"text": "hello"})
            assert (await system.ended("t1"))["result"] == {"length": 5}
            await system.queue_empties()
        assert broken == BREAKDOWNS_MAX

    async def test_gets_what_was_assigned_to_its_agent_while_it_was_away(self, system: World) -> None:
        worker = system.worker()
        summarise(worker)
        async with working(worker):
            pass
        await system.request("t1", input={"text": "hello"})
        again = system.worker()
        summarise(again)
        async with working(again):
            assert (await system.ended("t1"))["result"] == {"length": 5}
        assert again.agent_id == worker.agent_id

    async def test_takes_an_agent_that_has_its_name_already(self, system: World) -> None:
        agent = {"agent_id": "ada.1", "name": "Ada", "agent_type": "reactive"}
        await system.commands.send("CreateAgent", agent)
        worker = system.worker("ada")
        summarise(worker)
        async with working(worker):
            await system.request("t:1", capability=None, agent_id="ada.1", input={"text": "hello"})
            assert (await system.ended("t:1"))["result"] == {"length": 5}
        assert worker.agent_id == "ada.1"

    async def test_makes_a_new_agent_when_its_own_was_deleted(self, system: World) -> None:
        worker = system.worker()
        summarise(worker)
        async with working(worker):
            await system.commands.send("DeleteAgent", {"agent_id": worker.agent_id})
        again = system.worker()
        summarise(again)
        async with working(again):
            assert again.agent_id != worker.agent_id
            await system.request("t1", input={"text": "hello"})
            await system.ended("t1")

    async def test_may_have_a_handler_that_blocks(self, system: World) -> None:
        worker = system.worker()

        @worker.task
        def handle(task: Task) -> str:
            return task.title.upper()

        async with working(worker):
            await system.request("t1")
            assert (await system.ended("t1"))["result"] == "SUM UP"

    async def test_shows_tokens_that_nobody_stores(self, system: World) -> None:
        worker = system.worker()
        heard: list[dict[str, Any]] = []

        @worker.task
        async def handle(task: Task) -> None:
            for word in ("one ", "two"):
                await task.stream(word)

        async def listen(message: Any) -> None:
            heard.append(orjson.loads(message.data))

        await system.nats.subscribe(f"live.{TENANT}.task.t1", cb=listen)
        async with working(worker):
            await system.request("t1")
            await system.ended("t1")
            async with asyncio.timeout(WAIT_S_MAX):
                while len(heard) < 2:
                    await asyncio.sleep(0.01)
        assert [(piece["number"], piece["text"], piece["attempt"]) for piece in heard] == [
            (1, "one ", 1),
            (2, "two", 1),
        ]
        assert await system.types("t1") == ["requested", "assigned", "started", "completed"]

    async def test_hands_a_task_over_and_lets_go_of_it(self, system: World) -> None:
        worker = system.worker()

        @worker.task
        async def handle(task: Task) -> None:
            await task.hand_over("too hard")
            raise ValueError("too late to fail it")

        async with working(worker):
            await system.request("t1")
            async with asyncio.timeout(WAIT_S_MAX):
                while (await system.types("t1"))[-1:] != ["handed_over"]:
                    await asyncio.sleep(0.01)
            await system.queue_empties()
        assert (await system.types("t1"))[-1] == "handed_over"


class TestAHandler:
    @pytest.mark.parametrize(
        ("trouble", "error"),
        [
            (ValueError("no \x00 such \ud800 text"), "ValueError: no  such ? text"),
            ({"not": {1, 2}}, "TypeError: Type is not JSON serializable: set"),
            ("x" * 2_000_000, "An event may be 983040 bytes"),
            ("a\x00b", "Some of what was sent is not"),
        ],
    )
    async def test_that_goes_wrong_fails_its_task_and_no_other(self, system: World, trouble: Any, error: str) -> None:
        worker = system.worker()

        @worker.task
        async def handle(task: Task) -> Any:
            if task.input == "good":
                return "fine"
            if isinstance(trouble, Exception):
                raise trouble
            return trouble

        async with working(worker):
            await system.request("bad")
            await system.request("good", input="good")
            assert (await system.ended("bad"))["error"].startswith(error)
            assert (await system.ended("good"))["result"] == "fine"
            await system.queue_empties()

    async def test_that_gives_what_nobody_can_read_spoils_no_report_that_goes_with_it(self, system: World) -> None:
        worker = system.worker()
        ready = asyncio.Barrier(20)

        @worker.task
        async def handle(task: Task) -> Any:
            deep: Any = 1
            for _ in range(220):
                deep = [deep]
            async with asyncio.timeout(WAIT_S_MAX):
                await ready.wait()
            return deep if task.id == "t7" else "fine"

        async with working(worker):
            await asyncio.gather(*(system.request(f"t{number}") for number in range(20)))
            for number in range(20):
                await system.ended(f"t{number}")
            failed = [number for number in range(20) if (await system.types(f"t{number}"))[-1] == "failed"]
        assert failed == [7]
        assert "Invalid JSON" in (await system.ended("t7"))["error"]

    async def test_learns_that_its_task_was_cancelled(self, system: World) -> None:
        worker = system.worker()
        begun = asyncio.Event()
        learned: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        @worker.task
        async def handle(task: Task) -> None:
            begun.set()
            try:
                while True:
                    await task.say("still here")
                    await asyncio.sleep(0.01)
            except Refused as refused:
                learned.set_result(refused.code)
                raise

        async with working(worker):
            await system.request("t1")
            async with asyncio.timeout(WAIT_S_MAX):
                await begun.wait()
                await system.commands.send("CancelTask", {"task_id": "t1"})
                assert await learned == "task-already-ended"
            await system.queue_empties()
        assert (await system.types("t1"))[-1] == "cancelled"
