"""What tasks of runs wait for outside, and how they are told of it: what the sagas that follow runs have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from events.event import Event
from events.run import RunForked, RunTaskCancelled, RunTaskFaulted, RunTaskPrepared, RunTaskStarted
from events.run_parts import Awaited, EventsAwaited, ParentTask, RunError
from infra.patterns.saga import Ask
from write_side.run_commands import AnswerRunTask, FailRunTask

STANDARD = "https://open-workflow-specification.org/spec/1.0.0/errors/"
CONFIGURATION, RUNTIME, TIMEOUT, VALIDATION = "configuration", "runtime", "timeout", "validation"
_STATUS = {CONFIGURATION: 400, VALIDATION: 400, TIMEOUT: 408, RUNTIME: 500}
_TITLES = {
    CONFIGURATION: "Configuration Error",
    VALIDATION: "Validation Error",
    TIMEOUT: "Timeout",
    RUNTIME: "Runtime Error",
}

BEGINNINGS = (RunTaskStarted, RunTaskPrepared, RunForked)
"""The events by which tasks begin to wait."""

Beginning = RunTaskStarted | RunTaskPrepared | RunForked
GivenUp = RunTaskFaulted | RunTaskCancelled
A = TypeVar("A", bound=BaseModel)

_AWAITED: TypeAdapter[Awaited] = TypeAdapter(Awaited)

NO_LONGER_WANTED = "the task of a run that asked for it waits no more"


def begun(event: Beginning, kind: type[A]) -> Sequence[tuple[int, A]]:
    """The tasks that begin to wait for something of a kind, with what it is; of a forked run those that it was forked with."""
    if isinstance(event, RunForked):
        return [(task, awaits) for task, awaits in _open(event.state) if isinstance(awaits, kind)]
    return [(event.task, event.awaits)] if isinstance(event.awaits, kind) else []


def nodes_of(state: JsonValue) -> list[dict[str, JsonValue]]:
    """The open tasks in the state that a run was forked with, in the order in which they began."""
    nodes = state.get("nodes") if isinstance(state, dict) else None
    found = [node for node in nodes.values() if isinstance(node, dict)] if isinstance(nodes, dict) else []
    return sorted(found, key=lambda node: int(str(node["task"])))


def _open(state: JsonValue) -> Sequence[tuple[int, Awaited]]:
    """A task that listens may have something to do with an event and go on listening."""
    found = []
    for node in nodes_of(state):
        if node.get("awaits") is None or node.get("closed"):
            continue
        awaits = _AWAITED.validate_python(node["awaits"])
        if node.get("phase") == "awaiting" or isinstance(awaits, EventsAwaited):
            found.append((int(str(node["task"])), awaits))
    return found


class Waiting(BaseModel):
    """The tasks of runs that wait, and what each waits for, by its id; found from either side."""

    tasks: dict[str, ParentTask] = {}
    outside: dict[str, dict[int, str]] = {}

    def add(self, outside_id: str, run_id: str, task: int) -> None:
        """Two tasks never wait for the same: the one that comes second is refused what it asks for."""
        if outside_id not in self.tasks:
            self.tasks[outside_id] = ParentTask(run_id=run_id, task=task)
            self.outside.setdefault(run_id, {})[task] = outside_id

    def end(self, outside_id: str) -> ParentTask | None:
        """The task that waited for this, if any does; it does no more."""
        waiting = self.tasks.get(outside_id)
        if waiting is not None:
            self.give_up(waiting.run_id, waiting.task)
        return waiting

    def answered(self, outside_id: str, value: JsonValue) -> list[Ask | FailRunTask]:
        """What is there is given to the task that waited for it, if any does."""
        waiting = self.end(outside_id)
        return [] if waiting is None else [answer(waiting.run_id, waiting.task, value)]

    def failed(self, outside_id: str, error: RunError) -> list[FailRunTask]:
        """The task that waited for what has failed is told so, if any does."""
        waiting = self.end(outside_id)
        return [] if waiting is None else [fail(waiting, error)]

    def give_up(self, run_id: str, task: int) -> str | None:
        """What a task waited for, if it did; it does no more."""
        outside_id = self.outside.get(run_id, {}).pop(task, None)
        if outside_id is not None:
            del self.tasks[outside_id]
            if not self.outside[run_id]:
                del self.outside[run_id]
        return outside_id

    def given_up(self, event: GivenUp, run_id: str) -> str | None:
        """What nobody waits for any more, after a task was cancelled or timed out; not what was refused and never began."""
        outside_id = self.give_up(run_id, event.task)
        refused = isinstance(event, RunTaskFaulted) and event.error.type == STANDARD + CONFIGURATION
        return None if refused else outside_id


def error(name: str, detail: str | None, title: str | None = None) -> RunError:
    """A standard error of the specification."""
    return RunError(type=STANDARD + name, status=_STATUS[name], title=title or _TITLES[name], detail=detail)


@dataclass(frozen=True, slots=True)
class Refused:
    """Fails the task that waits for what was refused; `in_doubt`: an answer was, so what the task asked for was done."""

    run_id: str
    task: int
    name: str = CONFIGURATION
    in_doubt: bool = False

    def __call__(self, code: str, message: str) -> FailRunTask:
        why = error(self.name, f"{message} ({code})")
        return FailRunTask(run_id=self.run_id, task=self.task, error=why, in_doubt=self.in_doubt)


def answer(run_id: str, task: int, value: JsonValue) -> Ask | FailRunTask:
    """Give a task what it waits for; one that is refused it, since it is too large or too deep, fails."""
    try:
        given = AnswerRunTask(run_id=run_id, task=task, answer=value)
    except ValidationError as unfit:
        said = unfit.errors(include_url=False, include_input=False)[0]["msg"]
        why = error(RUNTIME, f"the answer cannot be recorded: {said}")
        return FailRunTask(run_id=run_id, task=task, error=why)
    return Ask(given, Refused(run_id, task, RUNTIME))


def fail(waiting: ParentTask, error: RunError) -> FailRunTask:
    """Tell a task that what it waits for has failed."""
    return FailRunTask(run_id=waiting.run_id, task=waiting.task, error=error)


def fail_invalid(run_id: str, task: int, invalid: ValidationError) -> FailRunTask:
    """Tell a task that what it asks for is not as it has to be."""
    first = invalid.errors(include_url=False, include_input=False)[0]
    place = "/".join(str(part) for part in first["loc"])
    return FailRunTask(run_id=run_id, task=task, error=error(VALIDATION, f"with/{place}: {first['msg']}"))


def waits(*others: type[Event]) -> tuple[type[Event], ...]:
    """What a saga handles that starts something for tasks, beside what becomes of it."""
    return (*BEGINNINGS, RunTaskFaulted, RunTaskCancelled, *others)
