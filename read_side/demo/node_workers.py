"""The nodes' workers: they follow their assignments and report the recorded attempts."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from read_side.demo.client import Answer, CommandSender, UnexpectedAnswer, command
from read_side.demo.cluster import PODS_BAR
from read_side.demo.pace import Pace
from read_side.demo.pipelines import PIPELINES_BAR
from read_side.demo.progress import Bars
from read_side.demo.queries import QueryClient, WireEvent
from read_side.demo.scenario import JsonObject, Scenario

OVERTAKEN = frozenset({"stale-attempt", "job-not-assigned", "job-already-ended"})
"""The node was thought lost, and the attempt is no longer the current one."""

FAILURE = "failed in the trace"


class Attempt(NamedTuple):
    """How an attempt at a job went when it was recorded."""

    ending: Literal["completed", "failed"]
    duration_ms: int
    bar: str


def recorded_attempts(scenario: Scenario) -> Mapping[str, Attempt]:
    """By job; those that were cancelled in the queue never had one."""
    return dict(_attempts(scenario))


def _attempts(scenario: Scenario) -> Iterator[tuple[str, Attempt]]:
    for graph in scenario.graphs:
        for task in graph.tasks:
            yield task.id, Attempt("completed", task.duration_ms, PIPELINES_BAR)
    for pod in scenario.pods:
        if pod.ending != "cancelled":
            yield pod.id, Attempt(pod.ending, pod.duration_ms, PODS_BAR)


class NodeWorkers:
    """Follow `job.assigned` and start and end what comes, on all nodes of this machine."""

    def __init__(
        self, sender: CommandSender, queries: QueryClient, attempts: Mapping[str, Attempt], pace: Pace, bars: Bars
    ) -> None:
        self._sender = sender
        self._queries = queries
        self._attempts = attempts
        self._pace = pace
        self._bars = bars
        self._left = set(attempts)
        self.done = asyncio.Event()
        if not self._left:
            self.done.set()

    async def work(self, node_ids: Iterable[str], after: int) -> None:
        """Do what is assigned to these nodes after a position, for ever."""
        nodes = frozenset(node_ids)
        taken: set[tuple[str, int]] = set()
        async with asyncio.TaskGroup() as at_work:
            async for event in self._queries.live("job.assigned", after):
                number = _attempt_number(event)
                if event.data.get("node_id") in nodes and (event.entity_id, number) not in taken:
                    taken.add((event.entity_id, number))
                    at_work.create_task(self._attempt(event.entity_id, number))

    async def _attempt(self, job_id: str, number: int) -> None:
        """Start and end it; a job of which no attempt is known is left to whoever cancels it."""
        attempt = self._attempts.get(job_id)
        if attempt is None:
            return
        start = command("StartJob", f"{job_id}-{number}-start", job_id=job_id, attempt=number)
        if not await self._accepted(start):
            return
        await asyncio.sleep(self._pace.attempt_s(attempt.duration_ms))
        if await self._accepted(_report(job_id, number, attempt)):
            self._left.discard(job_id)
            self._bars.advance(attempt.bar)
            if not self._left:
                self.done.set()

    async def _accepted(self, report: JsonObject) -> bool:
        """False if the attempt was overtaken: then another one is, or will be, assigned."""
        answer: Answer = (await self._sender.send(report))[0]
        if not answer.ok and answer.problem not in OVERTAKEN:
            raise UnexpectedAnswer(f"{report['command_id']}: {answer.status} {answer.problem}: {answer.detail}")
        return answer.ok


def _attempt_number(event: WireEvent) -> int:
    number = event.data["attempt"]
    if not isinstance(number, int):
        raise UnexpectedAnswer(f"{event.type} at {event.position} has the attempt {number!r}")
    return number


def _report(job_id: str, number: int, attempt: Attempt) -> JsonObject:
    if attempt.ending == "failed":
        return command(
            "FailJob",
            f"{job_id}-{number}-fail",
            job_id=job_id,
            attempt=number,
            error=FAILURE,
            duration_ms=attempt.duration_ms,
        )
    return command(
        "CompleteJob",
        f"{job_id}-{number}-complete",
        job_id=job_id,
        attempt=number,
        duration_ms=attempt.duration_ms,
    )
