"""Publishes the lifecycle events of the specification: what follows from each event of a run, for whoever listens.

Runs only where the operator wants it (`lifecycle_published`). Begins with the first event of the log, and goes on from where it was once it
is wanted again.
"""

from collections.abc import Sequence

from events.envelope import Envelope
from events.run import RunEvent
from events.run_lifecycle import TOLD_OF, RunLifecycle
from infra.patterns.notices import Notices, Told


def tell(state: RunLifecycle, envelope: Envelope[RunEvent]) -> Sequence[Told]:
    return [Told(event.kind, event.type, event.to_json()) for event in state.tell(envelope)]


def is_over(state: RunLifecycle) -> bool:
    return state.over


PUBLISH_LIFECYCLE_ON_RUN_EVENT = Notices(
    name="publish_lifecycle_on_run_event",
    version=1,
    handles=TOLD_OF,
    begin=RunLifecycle,
    tell=tell,
    is_over=is_over,
)
