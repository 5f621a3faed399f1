"""Drives a run from its state alone, always in the same order: so that a run that was cut can go on as it would have."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from events.event import Event
from events.run import RunTaskStarted
from events.run_parts import DocumentsAwaited, EventsAwaited, JobAwaited, RunAwaited, RunError, TimerAwaited
from infra.errors import Rejection
from infra.patterns.decider import Command
from tests.write_side.random_definitions import ELSEWHERE, ERRORS
from tests.write_side.running import START
from write_side.interpreter.state import Node
from write_side.run import RUN, UNKNOWN
from write_side.run_commands import (
    AdvanceRun,
    AnswerRunTask,
    FailRunTask,
    FireRunTimer,
    SendRunEvent,
    StartRun,
    TimeOutRunTask,
)
from write_side.workflow import WORKFLOW, RegisterWorkflow

STEPS_MAX = 600
SENT_MAX = 4
RUN_ID = "r1"


class DoesNotRest(AssertionError):
    """The run goes on and on."""


@dataclass
class Driven:
    """A run in memory, its events and when each was decided. `sends` says whether events come for tasks that listen."""

    definition: dict[str, Any]
    sends: bool = True
    events: list[Event] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    now: datetime = START
    state: Any = UNKNOWN
    workflow: Any = None
    workflow_id: str = ""

    def __post_init__(self) -> None:
        if self.workflow is None:
            register = RegisterWorkflow(definition=self.definition)
            self.workflow = WORKFLOW.fold(WORKFLOW.decide(register, WORKFLOW.initial))
            self.workflow_id = register.workflow_id
        if self.events:
            self.state = RUN.fold(self.events)
            self.now = self.times[-1]

    def cut(self, length: int) -> "Driven":
        """A run whose process died after so many events."""
        events, times = self.events[:length], self.times[:length]
        return Driven(self.definition, self.sends, events, times, workflow=self.workflow, workflow_id=self.workflow_id)

    def send(self, command: Command) -> Sequence[Event]:
        others = dict.fromkeys(RUN.consults(command, self.state), self.workflow)
        new = list(RUN.decide_all(command, self.state, others))
        for event in new:
            self.state = RUN.evolve(self.state, event)
        self.events += new
        self.times += [self.now] * len(new)
        self.commands.append(command)
        self.cuts.append(len(self.events))
        return new

    def start(self, given: Any = None) -> "Driven":
        self.send(StartRun(run_id=RUN_ID, workflow_id=self.workflow_id, input=given, at=self.now))
        return self

    def advance(self) -> Sequence[Event]:
        return self.send(AdvanceRun(run_id=RUN_ID, at=self.now))

    def rest(self, steps_max: int = STEPS_MAX) -> "Driven":
        """Go on until nothing is left that could happen, or for so many steps."""
        for _ in range(steps_max):
            if self.state.ended or self.state.suspended or not (self.advance() or self.react()):
                return self
        if steps_max == STEPS_MAX:
            raise DoesNotRest(self.definition)
        return self

    def react(self) -> bool:
        """What happens outside next: the lowest task is answered, else what is due soonest comes."""
        for node in sorted(self.state.nodes.values(), key=lambda node: node.task):
            if node.phase in ("awaiting", "ready") and self._answered(node):
                return True
        moments = [(node.retry_at, node.task) for node in self.state.nodes.values() if node.phase == "delayed"]
        undoing = self.state.undoing
        if self.state.status == "compensating" and undoing is not None and undoing.retry_at is not None:
            moments.append((undoing.retry_at, undoing.task))
        if moments:
            due_at, task = min(moments)
            self.now = max(self.now, due_at)
            return bool(self.send(FireRunTimer(run_id=RUN_ID, task=task, due_at=due_at, at=self.now)))
        return self._time_out()

    def _answered(self, node: Node) -> bool:
        awaits = node.awaits
        if isinstance(awaits, TimerAwaited) and node.phase == "awaiting":
            self.now = max(self.now, awaits.until)
            self.send(FireRunTimer(run_id=RUN_ID, task=node.task, due_at=awaits.until, at=self.now))
            return True
        if isinstance(awaits, EventsAwaited):
            return self._sent(node)
        command = answer_to(node)
        if command is None:
            return False
        self.send(command.model_copy(update={"at": self.now}))
        return True

    def _sent(self, node: Node) -> bool:
        sent = sum(1 for event in self.events if event.type == "run.event_received")
        if not self.sends or node.closed or node.phase != "awaiting" or sent >= SENT_MAX:
            return False
        type_ = "ab"[(node.task + sent) % 2]
        self.send(SendRunEvent(run_id=RUN_ID, event={"type": type_, "id": f"e{sent}", "data": {"n": sent}}))
        return True

    def _time_out(self) -> bool:
        started: Any = self.events[0]
        due = [
            (event.times_out_at, event.task)
            for event in self.events
            if isinstance(event, RunTaskStarted) and event.times_out_at and event.task in self.state.nodes
        ]
        times_out_at = getattr(started, "times_out_at", None)  # that of a forked run is not set again
        if times_out_at and self.state.status == "running":
            due.append((times_out_at, 0))
        for due_at, task in sorted(due):
            self.now = max(self.now, due_at)
            if self.send(TimeOutRunTask(run_id=RUN_ID, task=task, due_at=due_at, at=self.now)):
                return True
        return False

    def tells(self, command: Command) -> bool:
        """Whether a command was taken."""
        try:
            self.send(command)
        except Rejection:
            return False
        return True

    @property
    def outcome(self) -> tuple[Any, ...]:
        said = [event for event in self.events if event.type not in ("run.suspended", "run.resumed")]
        last: Any = said[-1]
        return self.state.status, getattr(last, "output", None), getattr(last, "error", None), len(self.state.done)


def answer_to(node: Node) -> AnswerRunTask | FailRunTask | None:
    """What comes from outside for a task: the same each time that it is asked; None if nothing ever comes."""
    awaits, task = node.awaits, node.task
    if node.phase != "awaiting" or awaits is None:
        return None
    if isinstance(awaits, RunAwaited):
        return AnswerRunTask(run_id=RUN_ID, task=task, answer={"n": task})
    if isinstance(awaits, DocumentsAwaited):
        return _fetched(awaits.addresses, task)
    if not isinstance(awaits, JobAwaited):
        return AnswerRunTask(run_id=RUN_ID, task=task, answer=None)
    name = awaits.request["payload"]
    if name == "slow":
        return None
    if name == "failed" or (name == "flaky" and task % 2):
        return FailRunTask(run_id=RUN_ID, task=task, error=RunError(type=ERRORS[task % 2], status=500 - task % 2 * 100))
    return AnswerRunTask(run_id=RUN_ID, task=task, answer={"n": task % 4})


def _fetched(addresses: Sequence[str], task: int) -> AnswerRunTask | FailRunTask | None:
    if any("/slow" in address for address in addresses):
        return None
    if not set(addresses) <= set(ELSEWHERE):
        return FailRunTask(run_id=RUN_ID, task=task, error=RunError(type=ERRORS[0], status=404))
    return AnswerRunTask(run_id=RUN_ID, task=task, answer={address: ELSEWHERE[address] for address in addresses})
