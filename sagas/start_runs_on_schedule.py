"""Starts runs of the active versions of workflows as their schedules say: at times, some time after the run before, or on events.

A run that starts sets the timer of the next, so that times that passed while nothing ran are left out: at most the one that was due is
made up for. A version that is active no more starts nothing: its timers come to the decider, which knows.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from math import floor
from typing import Any

from pydantic import AwareDatetime, BaseModel, JsonValue, ValidationError

from events.envelope import Envelope
from events.event import Event
from events.message import MessagePublished
from events.run import RunCancelled, RunCompleted, RunEventEmitted, RunFaulted, RunStarted
from events.run_compensation import RunCompensated
from events.workflow import WorkflowActivated, WorkflowDeprecated, WorkflowRegistered
from infra.expressions.cron import CronInvalid, next_time
from infra.expressions.durations import seconds_of
from infra.patterns.saga import Reaction, Saga, Schedule
from sagas.cloud_events import CloudEvent, cloud_event
from sagas.schedule_events import Collection, EventStart, take
from write_side.run_commands import StartScheduledRun

EVERY, CRON, AFTER, ON = "every", "cron", "after", "on"
ANY = ""
"""Stands for every type of events."""
ID_CHARACTERS_MAX = 128


class ComingRun(BaseModel):
    """The run that comes next, or for `after` is under way."""

    run_id: str
    due_at: AwareDatetime


class ScheduledWorkflow(BaseModel):
    """The schedules of the versions that have one, the active version by which activation, and where its schedule stands."""

    schedules: dict[str, dict[str, Any]] = {}
    active: str | None = None
    activation: int = 0
    coming: dict[str, ComingRun] = {}
    cron_until: AwareDatetime | None = None
    """The last time of a cron schedule that a run began for: run ids of cron say no more than the time."""
    collected: list[Collection] = []

    @property
    def schedule(self) -> dict[str, Any]:
        return self.schedules.get(self.active, {}) if self.active is not None else {}


class RunSchedules(BaseModel):
    """The workflows, which of them wait for events of which types, and the runs whose end the next one waits for."""

    workflows: dict[str, ScheduledWorkflow] = {}
    by_type: dict[str, set[str]] = {}
    followed: dict[str, str] = {}


def react(envelope: Envelope[Event], state: RunSchedules) -> Sequence[Reaction]:
    entity_id, event, now = envelope.entity_id, envelope.event, envelope.occurred_at
    match event:
        case WorkflowRegistered(workflow_version=version, definition=definition):
            schedule = definition.get("schedule")
            workflow = state.workflows.setdefault(entity_id, ScheduledWorkflow())
            if isinstance(schedule, dict) and schedule:
                workflow.schedules[version] = schedule
        case WorkflowActivated(workflow_version=version):
            _stop(entity_id, state)
            return list(_begin(entity_id, version, now, state))
        case WorkflowDeprecated(workflow_version=version):
            workflow = state.workflows[entity_id]
            if workflow.active == version:
                _stop(entity_id, state)
                workflow.active = None
            workflow.schedules.pop(version, None)
        case RunStarted(workflow_id=workflow_id):
            return _on_started(entity_id, workflow_id, now, state)
        case RunCompleted() | RunFaulted() | RunCancelled() | RunCompensated():
            return _on_ended(entity_id, now, state)
        case MessagePublished():
            return list(_on_event(cloud_event(event), envelope.position, state))
        case RunEventEmitted(event=emitted):
            return list(_on_event(emitted, envelope.position, state))
        case _:
            pass
    return []


def _stop(workflow_id: str, state: RunSchedules) -> None:
    """What is under way comes to nothing: no run continues it."""
    workflow = state.workflows[workflow_id]
    for type_ in _types(workflow.schedule):
        state.by_type[type_].discard(workflow_id)
        if not state.by_type[type_]:
            del state.by_type[type_]
    workflow.coming.clear()
    workflow.collected.clear()


def _types(schedule: dict[str, Any]) -> Sequence[str]:
    if ON not in schedule:
        return ()
    types = EventStart.model_validate(schedule[ON]).types
    return (ANY,) if types is None else types


def _begin(workflow_id: str, version: str, now: datetime, state: RunSchedules) -> Iterator[Reaction]:
    workflow = state.workflows[workflow_id]
    workflow.active, workflow.activation = version, workflow.activation + 1
    for type_ in _types(workflow.schedule):
        state.by_type.setdefault(type_, set()).add(workflow_id)
    yield from _next(workflow_id, EVERY, now, now, workflow)
    yield from _next(workflow_id, CRON, max(now, workflow.cron_until or now), now, workflow)
    if AFTER in workflow.schedule:
        yield _start_later(workflow_id, AFTER, now, workflow).command


def _on_started(run_id: str, workflow_id: str, now: datetime, state: RunSchedules) -> list[Reaction]:
    workflow = state.workflows.get(workflow_id)
    kinds = [kind for kind, coming in workflow.coming.items() if coming.run_id == run_id] if workflow else []
    if workflow is None or not kinds:
        return []
    if kinds == [AFTER]:
        state.followed[run_id] = workflow_id
        return []
    due_at = workflow.coming[kinds[0]].due_at
    if kinds == [CRON]:
        workflow.cron_until = due_at
    return list(_next(workflow_id, kinds[0], due_at, now, workflow))


def _on_ended(run_id: str, now: datetime, state: RunSchedules) -> list[Reaction]:
    """However it ended, and only the first time: a failed run may be taken up again."""
    workflow_id = state.followed.pop(run_id, None)
    if workflow_id is None:
        return []
    workflow = state.workflows[workflow_id]
    coming = workflow.coming.get(AFTER)
    if coming is None or coming.run_id != run_id:
        return []
    pause = timedelta(seconds=_seconds(workflow.schedule[AFTER]))
    return [_start_later(workflow_id, AFTER, now + pause, workflow)]


def _next(
    workflow_id: str, kind: str, due_at: datetime, now: datetime, workflow: ScheduledWorkflow
) -> Iterator[Reaction]:
    """The timer of the first time after the one that was due that has not passed."""
    if kind not in workflow.schedule:
        return
    if kind == EVERY:
        interval = timedelta(seconds=_seconds(workflow.schedule[EVERY]))
        passed = max(floor((now - due_at) / interval), 0)
        yield _start_later(workflow_id, EVERY, due_at + interval * (passed + 1), workflow)
        return
    try:
        following = next_time(workflow.schedule[CRON], max(due_at, now))
    except CronInvalid:
        return
    yield _start_later(workflow_id, CRON, following, workflow)


def _start_later(workflow_id: str, kind: str, due_at: datetime, workflow: ScheduledWorkflow) -> Schedule:
    stamp = due_at.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    start = _start(workflow_id, kind, stamp, workflow, {})
    workflow.coming[kind] = ComingRun(run_id=start.run_id, due_at=due_at)
    return Schedule(due_at, start)


def _start(workflow_id: str, kind: str, what: str, workflow: ScheduledWorkflow, given: JsonValue) -> StartScheduledRun:
    assert workflow.active is not None
    run_id = f"{workflow_id}.{kind}.{what}"
    if len(run_id) > ID_CHARACTERS_MAX:
        run_id = f"{sha256(workflow_id.encode()).hexdigest()}.{kind}.{what}"
    return StartScheduledRun(
        run_id=run_id,
        workflow_id=workflow_id,
        workflow_version=workflow.active,
        activation=workflow.activation,
        input=given,
        labels={"schedule": kind},
    )


def _on_event(event: CloudEvent, position: int, state: RunSchedules) -> Iterator[Reaction]:
    type_ = event.get("type")
    found = set(state.by_type.get(ANY, ()))
    if isinstance(type_, str):
        found |= state.by_type.get(type_, set())
    for workflow_id in sorted(found):
        workflow = state.workflows[workflow_id]
        # What is read raw is what is read as data: JSON as it came, or bytes in base64.
        data = event.get("data_base64") if event.get("data") is None else event["data"]
        item: JsonValue = event if workflow.schedule.get("read") == "envelope" else data
        events = EventStart.model_validate(workflow.schedule[ON])
        given = take(events, event, item, workflow.collected)
        if given is None:
            continue
        try:
            start = _start(workflow_id, ON, str(position), workflow, given)
        except ValidationError:
            continue  # nested too deep with what is around it: no run can begin with that
        yield start


def _seconds(duration: Any) -> float:
    if isinstance(duration, str):
        return seconds_of(duration)
    return timedelta(**{str(unit): float(number) for unit, number in duration.items()}).total_seconds()


START_RUNS_ON_SCHEDULE = Saga(
    name="start_runs_on_schedule",
    version=2,
    state=RunSchedules,
    handles=(
        WorkflowRegistered,
        WorkflowActivated,
        WorkflowDeprecated,
        RunStarted,
        RunCompleted,
        RunFaulted,
        RunCancelled,
        RunCompensated,
        MessagePublished,
        RunEventEmitted,
    ),
    react=react,
    slow=(MessagePublished, RunEventEmitted),
)
