"""Runs a definition through the pure decider: effects are answered by the test, timers fire at once, nothing else is there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import JsonValue

from events.event import Event
from events.run import RunAdvanced, RunErrorCaught, RunRetried, RunTaskPrepared, RunTaskStarted
from events.run_compensation import RunCompensationFailed
from events.run_parts import Awaited, RunError, TimerAwaited
from infra.patterns.decider import Command
from write_side.run import RUN, UNKNOWN
from write_side.run_commands import AdvanceRun, AnswerRunTask, FailRunTask, FireRunTimer, StartRun
from write_side.workflow import WORKFLOW, RegisterWorkflow

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STEPS_MAX = 5_000


class Failed(Exception):
    """An answer that is an error; `in_doubt`: nobody knows whether what was asked for was done."""

    def __init__(self, type_: str, status: int, title: str | None = None, *, in_doubt: bool = False) -> None:
        super().__init__(type_)
        self.error = RunError(type=type_, status=status, title=title)
        self.in_doubt = in_doubt


Answer = Callable[[Awaited, "Running"], JsonValue]


def no_answer(awaited: Awaited, running: "Running") -> JsonValue:
    raise AssertionError(f"nobody answers {awaited}")


@dataclass
class Running:
    """A run in memory. `answer(awaited, running)` gives what a task waits for, raises Failed, or is None where it goes on waiting."""

    definition: dict[str, Any]
    answer: Answer = no_answer
    run_id: str = "r1"
    now: datetime = START
    state: Any = UNKNOWN
    events: list[Event] = field(default_factory=list)
    asked: list[Awaited] = field(default_factory=list)

    def __post_init__(self) -> None:
        register = RegisterWorkflow(definition=self.definition)
        self._workflow = WORKFLOW.fold(WORKFLOW.decide(register, WORKFLOW.initial))
        self.workflow_id = register.workflow_id

    def send(self, command: Command) -> list[Event]:
        others = dict.fromkeys(RUN.consults(command, self.state), self._workflow)
        new = list(RUN.decide_all(command, self.state, others))
        for event in new:
            self.state = RUN.evolve(self.state, event)
        self.events += new
        return new

    def start(self, given: JsonValue = None) -> "Running":
        started = self.send(StartRun(run_id=self.run_id, workflow_id=self.workflow_id, input=given, at=self.now))
        return self.follow([*started, *self.send(AdvanceRun(run_id=self.run_id, at=self.now))])

    def tell(self, command: Command) -> "Running":
        """An operator's command, and what follows from it."""
        new = self.send(command)
        return self.follow([*new, *self.send(AdvanceRun(run_id=self.run_id, at=self.now))])

    def follow(self, new: list[Event]) -> "Running":
        """Answer and fire until nothing is left to do."""
        for _ in range(STEPS_MAX):
            if not new:
                return self
            new = [*new[1:], *self._react(new[0])]
        raise AssertionError("the run does not come to rest")

    def _react(self, event: Event) -> list[Event]:
        match event:
            case RunTaskStarted(awaits=awaits) | RunTaskPrepared(awaits=awaits) if awaits is not None:
                return self._answer(event.task, awaits)
            case (
                RunErrorCaught(retry_at=datetime() as due_at, task=task)
                | RunCompensationFailed(retry_at=datetime() as due_at, task=task)
            ):
                return self.fire(task, due_at)
            case RunAdvanced() | RunRetried():
                return self.send(AdvanceRun(run_id=self.run_id, at=self.now))
            case _:
                return []

    def fire(self, task: int, due_at: datetime) -> list[Event]:
        self.now = max(self.now, due_at)
        return self.send(FireRunTimer(run_id=self.run_id, task=task, due_at=due_at, at=self.now))

    def _answer(self, task: int, awaits: Awaited) -> list[Event]:
        if isinstance(awaits, TimerAwaited):
            return self.fire(task, awaits.until)
        self.asked.append(awaits)
        if getattr(awaits, "awaited", True) is False or awaits.kind == "events":
            return []
        try:
            answer = self.answer(awaits, self)
        except Failed as failed:
            why, in_doubt = failed.error, failed.in_doubt
            return self.send(FailRunTask(run_id=self.run_id, task=task, error=why, in_doubt=in_doubt, at=self.now))
        if answer is WAITING:
            return []
        return self.send(AnswerRunTask(run_id=self.run_id, task=task, answer=answer, at=self.now))

    def later(self, seconds: float) -> "Running":
        self.now += timedelta(seconds=seconds)
        return self

    @property
    def status(self) -> str:
        return str(self.state.status)

    @property
    def output(self) -> JsonValue:
        last: Any = self.events[-1]
        return last.output  # type: ignore[no-any-return]

    @property
    def error(self) -> Mapping[str, Any]:
        last: Any = self.events[-1]
        return last.error.model_dump(exclude_none=True)  # type: ignore[no-any-return]


WAITING: Any = object()
"""The answer of something that has not answered yet."""


def workflow(do: list[Any], **more: Any) -> dict[str, Any]:
    """A definition around a list of tasks."""
    return {"document": {"dsl": "1.0.3", "namespace": "test", "name": "w", "version": "1.0.0"}, "do": do, **more}


def run(do: list[Any], given: JsonValue = None, answer: Answer = no_answer, **more: Any) -> Running:
    """Start a run of these tasks and follow it until it rests."""
    return Running(workflow(do, **more), answer).start(given)
