"""Runs a case of the workflow language without any server, on a clock that goes from one due time to the next, and compares."""

import heapq
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from pydantic import JsonValue

from events.event import Event
from events.run import RunErrorCaught, RunStarted, RunTaskStarted
from events.run_parts import Awaited, RunError, TimerAwaited
from tests.write_side.dsl_case import Case, begun, emitted, has
from tests.write_side.running import Failed, Running
from write_side.run_commands import FireRunTimer, SendRunEvent, TimeOutRunTask

Due = tuple[datetime, int, type[FireRunTimer] | type[TimeOutRunTask], int]


@dataclass
class Play(Running):
    """A case under way: nothing takes time but what the definition says, and what has been sent is there before any timer."""

    answers: dict[str, list[Any]] = field(default_factory=dict)
    _due: list[Due] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)

    def play(self, case: Case) -> "Play":
        self.start(case.given)
        for event in case.hears:
            if self.status != "running":
                break
            self.tell(SendRunEvent(run_id=self.run_id, event=dict(event)))
        while self._due and self.status == "running":
            due_at, _, command, task = heapq.heappop(self._due)
            self.now = max(self.now, due_at)
            self.follow(self.send(command(run_id=self.run_id, task=task, due_at=due_at, at=self.now)))
        return self

    def name_of(self, task: int) -> str:
        return next(each.name for each in self.events if isinstance(each, RunTaskStarted) and each.task == task)

    def _at(self, due_at: datetime | None, command: type[FireRunTimer] | type[TimeOutRunTask], task: int) -> None:
        if due_at is not None:
            heapq.heappush(self._due, (due_at, next(self._numbers), command, task))

    def _react(self, event: Event) -> list[Event]:
        match event:
            case RunErrorCaught(retry_at=retry_at, task=task):
                self._at(retry_at, FireRunTimer, task)
                return []
            case RunStarted(times_out_at=due_at):
                self._at(due_at, TimeOutRunTask, 0)
            case RunTaskStarted(times_out_at=due_at, task=task):
                self._at(due_at, TimeOutRunTask, task)
            case _:
                pass
        return super()._react(event)

    def _answer(self, task: int, awaits: Awaited) -> list[Event]:
        if isinstance(awaits, TimerAwaited):
            self._at(awaits.until, FireRunTimer, task)
            return []
        self.answer = lambda _, __: self._next(self.name_of(task))
        return super()._answer(task, awaits)

    def _next(self, name: str) -> JsonValue:
        found = self.answers[name].pop(0)
        if isinstance(found, RunError):
            raise Failed(found.type, found.status, found.title)
        return found  # type: ignore[no-any-return]


def play(case: Case) -> Play:
    """Run a case to its end, or until nothing more comes."""
    return Play(case.document, answers={name: list(each) for name, each in case.answers.items()}).play(case)


def check(case: Case) -> None:
    """Play it; what is not said is not compared."""
    run = play(case)
    if case.error is None:
        assert run.status == "completed", (run.status, run.events[-1])
        assert run.output == case.output, run.output
    else:
        assert run.status == "faulted", (run.status, run.events[-1])
        assert has(run.error, case.error), run.error
    if case.begun is not None:
        assert begun(run.events) == list(case.begun), begun(run.events)
    if case.emitted is not None:
        there = emitted(run.events)
        assert len(there) == len(case.emitted), there
        assert all(has(*pair) for pair in zip(there, case.emitted, strict=True)), there
