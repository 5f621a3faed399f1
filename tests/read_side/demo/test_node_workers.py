"""Workers start and end what is assigned to their nodes, and let go of what was overtaken."""

import asyncio
from contextlib import suppress

import httpx
import orjson
from pydantic import JsonValue

from read_side.demo.client import CommandSender
from read_side.demo.node_workers import Attempt, NodeWorkers
from read_side.demo.pace import Pace
from read_side.demo.progress import Bars
from read_side.demo.queries import QueryClient
from read_side.demo.scenario import JsonObject

SWIFT = Pace(0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class Apis:
    """Stands for both APIs: streams these assignments, and refuses these commands with `stale-attempt`."""

    def __init__(self, *assignments: tuple[str, str, int], stale: frozenset[str] = frozenset()) -> None:
        self.commands: list[JsonObject] = []
        self._assignments = assignments
        self._stale = stale

    async def stream(self, request: httpx.Request) -> httpx.Response:
        after = int(request.headers["Last-Event-ID"])
        if after >= len(self._assignments):
            await asyncio.sleep(60)
        return httpx.Response(200, text="".join(self._records(after)))

    def _records(self, after: int) -> list[str]:
        records = []
        for position, (job_id, node_id, attempt) in enumerate(self._assignments[after:], start=after + 1):
            event = {
                "position": position,
                "type": "job.assigned",
                "subject": f"job-{job_id}",
                "streamversion": 2,
                "data": {"node_id": node_id, "attempt": attempt, "gpus": []},
            }
            records.append(f"data: {orjson.dumps(event).decode()}\n\n")
        return records

    async def take(self, request: httpx.Request) -> httpx.Response:
        given: list[JsonObject] = orjson.loads(request.content)
        self.commands.extend(given)
        return httpx.Response(200, json={"results": [self._answer(str(each["command_id"])) for each in given]})

    def _answer(self, command_id: str) -> JsonValue:
        return {"status": 409, "type": "p/stale-attempt"} if command_id in self._stale else {"status": 200}

    async def work(self, attempts: dict[str, Attempt], within_s: float = 2.0) -> list[str]:
        """Let the workers of node `n1` work until they are done or the time is over; the command ids in order."""
        queries = QueryClient("http://api", "default", httpx.MockTransport(self.stream))
        async with CommandSender("http://api", "default", "worker", httpx.MockTransport(self.take)) as sender:
            workers = NodeWorkers(sender, queries, attempts, SWIFT, Bars(shown=False))
            working = asyncio.create_task(workers.work(["n1"], 0))
            with suppress(TimeoutError):
                await asyncio.wait_for(workers.done.wait(), within_s)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        return [str(command["command_id"]) for command in self.commands]


COMPLETED, FAILED = Attempt("completed", 5_000, "bar"), Attempt("failed", 3_000, "bar")


class TestAnAssignedJob:
    async def test_is_started_and_completed_with_its_recorded_duration(self) -> None:
        apis = Apis(("a", "n1", 1))
        assert await apis.work({"a": COMPLETED}) == ["a-1-start", "a-1-complete"]
        assert apis.commands[1]["duration_ms"] == 5_000

    async def test_fails_if_it_failed_when_it_was_recorded(self) -> None:
        apis = Apis(("a", "n1", 1))
        assert await apis.work({"a": FAILED}) == ["a-1-start", "a-1-fail"]

    async def test_of_another_node_is_not_touched(self) -> None:
        apis = Apis(("b", "n2", 1), ("a", "n1", 1))
        assert await apis.work({"a": COMPLETED}) == ["a-1-start", "a-1-complete"]

    async def test_that_was_never_scheduled_is_not_started(self) -> None:
        apis = Apis(("cancelled", "n1", 1), ("a", "n1", 1))
        assert await apis.work({"a": COMPLETED}) == ["a-1-start", "a-1-complete"]


class TestAnOvertakenAttempt:
    async def test_is_dropped_and_the_next_one_is_played(self) -> None:
        apis = Apis(("a", "n1", 1), ("a", "n1", 2), stale=frozenset({"a-1-complete"}))
        commands = await apis.work({"a": COMPLETED})
        assert set(commands) == {"a-1-start", "a-1-complete", "a-2-start", "a-2-complete"}

    async def test_is_not_ended_if_it_could_not_start(self) -> None:
        apis = Apis(("a", "n1", 1), ("a", "n1", 2), stale=frozenset({"a-1-start"}))
        assert await apis.work({"a": COMPLETED}) == ["a-1-start", "a-2-start", "a-2-complete"]
