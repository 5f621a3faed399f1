"""Shows runs that listen the events that are published, and those that runs emit, in the order in which the runs began to listen."""

from collections.abc import Sequence

from pydantic import BaseModel, JsonValue, ValidationError

from events.envelope import Envelope
from events.event import Event
from events.message import MessagePublished
from events.run import (
    RunCancelled,
    RunCompleted,
    RunEventConsumed,
    RunEventEmitted,
    RunFaulted,
    RunForked,
    RunRetried,
    RunTaskCancelled,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskPrepared,
    RunTaskStarted,
)
from events.run_compensation import RunCompensated
from events.run_parts import EventsAwaited
from infra.patterns.saga import Saga
from sagas.cloud_events import cloud_event
from sagas.run_waits import begun
from write_side.run_commands import DeliverRunEvent

ANY = ""
"""Stands for every type where a listening task does not say which."""


class ListeningRun(BaseModel):
    """A run that has listened since a position of the log: the types of events for each task that does. A faulted run rests."""

    since: int
    tasks: dict[int, list[str]] = {}
    rests: bool = False


class Listeners(BaseModel):
    """The runs that listen, and for each type those that listen for it, with how many tasks."""

    runs: dict[str, ListeningRun] = {}
    by_type: dict[str, dict[str, int]] = {}

    def listen(self, run_id: str, task: int, types: Sequence[str], position: int) -> None:
        run = self.runs.setdefault(run_id, ListeningRun(since=position))
        run.tasks[task] = list(types) or [ANY]
        self._index(run_id, run.tasks[task])

    def stop(self, run_id: str, task: int) -> None:
        run = self.runs.get(run_id)
        types = run.tasks.pop(task, None) if run is not None else None
        if run is None or types is None:
            return
        if not run.rests:
            self._remove(run_id, types)
        if not run.tasks:
            del self.runs[run_id]

    def rest(self, run_id: str) -> None:
        """What else a faulted run listens for reaches it again when it goes on."""
        run = self.runs.get(run_id)
        if run is not None and not run.rests:
            run.rests = True
            for types in run.tasks.values():
                self._remove(run_id, types)

    def go_on(self, run_id: str) -> None:
        run = self.runs.get(run_id)
        if run is not None and run.rests:
            run.rests = False
            for types in run.tasks.values():
                self._index(run_id, types)

    def forget(self, run_id: str) -> None:
        run = self.runs.get(run_id)
        for task in list(run.tasks) if run is not None else ():
            self.stop(run_id, task)

    def of(self, type_: JsonValue) -> list[str]:
        """The runs that an event of this type may be for, in the order in which they began to listen."""
        found = set(self.by_type.get(ANY, ()))
        if isinstance(type_, str):
            found.update(self.by_type.get(type_, ()))
        return sorted(found, key=lambda run_id: (self.runs[run_id].since, run_id))

    def _index(self, run_id: str, types: Sequence[str]) -> None:
        for type_ in types:
            runs = self.by_type.setdefault(type_, {})
            runs[run_id] = runs.get(run_id, 0) + 1

    def _remove(self, run_id: str, types: Sequence[str]) -> None:
        for type_ in types:
            runs = self.by_type[type_]
            runs[run_id] -= 1
            if not runs[run_id]:
                del runs[run_id]
            if not runs:
                del self.by_type[type_]


def react(envelope: Envelope[Event], state: Listeners) -> Sequence[DeliverRunEvent]:
    run_id, event = envelope.entity_id, envelope.event
    match event:
        case MessagePublished():
            return _deliver(cloud_event(event), state)
        case RunEventEmitted(event=emitted):
            return _deliver(emitted, state)
        case RunTaskStarted() | RunTaskPrepared() | RunForked():
            for task, awaits in begun(event, EventsAwaited):
                state.listen(run_id, task, awaits.types, envelope.position)
        case RunEventConsumed(task=task, closed=closed):
            if closed:
                state.stop(run_id, task)
        case RunTaskCompleted(task=task) | RunTaskFaulted(task=task) | RunTaskCancelled(task=task):
            state.stop(run_id, task)
        case RunFaulted():
            state.rest(run_id)
        case RunRetried():
            state.go_on(run_id)
        case RunCompleted() | RunCancelled() | RunCompensated():
            state.forget(run_id)
        case _:
            pass
    return []


def _deliver(event: dict[str, JsonValue], state: Listeners) -> list[DeliverRunEvent]:
    try:
        return [DeliverRunEvent(run_id=run_id, event=event) for run_id in state.of(event.get("type"))]
    except ValidationError:
        # Nested too deep with what is around it, as messages could be once: no run can take it.
        return []


DELIVER_EVENTS_TO_RUNS = Saga(
    name="deliver_events_to_runs",
    version=1,
    state=Listeners,
    handles=(
        MessagePublished,
        RunEventEmitted,
        RunTaskStarted,
        RunTaskPrepared,
        RunForked,
        RunEventConsumed,
        RunTaskCompleted,
        RunTaskFaulted,
        RunTaskCancelled,
        RunFaulted,
        RunRetried,
        RunCompleted,
        RunCancelled,
        RunCompensated,
    ),
    react=react,
)
