"""Events of a run, short, and what is told of them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from events.envelope import Envelope
from events.event import Event
from events.run import (
    RunInputFormed,
    RunStarted,
    RunTaskStarted,
)
from events.run_lifecycle import RunLifecycle
from events.run_parts import EventsAwaited, RunError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAME = "book-r1.travel"
ERROR = RunError(type="https://example.com/no", status=503, title="No")
WORKFLOW = {"workflow_id": "travel.book", "workflow_version": "1.0.0", "digest": "sha256:" + "0" * 64}
STARTED = RunStarted(**WORKFLOW, started_at=NOON)
BEGUN: tuple[Event, ...] = (STARTED, RunInputFormed())
"""A run that has begun its work."""


def task(number: int, reference: str, parent: int = 0, kind: str = "call", **more: Any) -> RunTaskStarted:
    name = reference.rpartition("/")[2]
    return RunTaskStarted(
        task=number, parent=parent, reference=reference, name=name, kind=kind, started_at=NOON, **more
    )


def listening(number: int, reference: str = "/do/0/listen") -> RunTaskStarted:
    return task(number, reference, kind="listen", awaits=EventsAwaited())


def envelopes(events: Iterable[Event]) -> list[Envelope[Any]]:
    """Events of one run, a second apart."""
    return [
        Envelope(at, f"e{at}", "acme", "run-r1", at, NOON + timedelta(seconds=at), event)
        for at, event in enumerate(events, 1)
    ]


def told(*events: Event, before: Sequence[Event] = BEGUN) -> list[tuple[str, dict[str, Any]]]:
    """Kind and data of what is told of these events, after others."""
    run = RunLifecycle()
    every = [
        [(each.kind, each.model_dump(by_alias=True, exclude_none=True)) for each in run.tell(envelope)]
        for envelope in envelopes([*before, *events])
    ]
    return [each for found in every[len(before) :] for each in found]


def kinds(*events: Event, before: Sequence[Event] = BEGUN) -> list[str]:
    """What is told, with the task or the status that it is about, but for the status of tasks."""
    return [
        " ".join([kind, *(str(data[name]) for name in ("task", "status") if name in data)])
        for kind, data in told(*events, before=before)
        if kind != "task.status-changed"
    ]


def second(number: int) -> datetime:
    return NOON + timedelta(seconds=number)


RESERVE = task(1, "/do/0/reserve")
