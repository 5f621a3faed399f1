"""What a schedule may not ask for: times that never come, pauses that cannot be told, and what only a run could evaluate."""

from collections.abc import Iterator
from datetime import UTC, datetime

from infra.expressions.cron import CronInvalid, next_time
from infra.expressions.durations import seconds_of
from write_side.definition.document import Schedule
from write_side.definition.events import EventConsumption
from write_side.definition.values import InlineDuration, below

EVERY_S_MIN = 1.0
"""The shortest time between two runs of a schedule."""
PAUSE_S_MAX = 10 * 365 * 86_400.0
SOME_TIME = datetime(2000, 1, 1, tzinfo=UTC)
"""Whether a time ever comes does not depend on when that is asked."""

Place = tuple[str, str]
"""A JSON pointer, and what is wrong there."""


def check_schedule(schedule: Schedule | None) -> list[dict[str, str]]:
    """What is wrong with a schedule, as objects of a `pointer` (RFC 6901) and a `detail`; none if all is well."""
    if schedule is None:
        return []
    return [{"pointer": pointer, "detail": detail} for pointer, detail in _of_schedule("/schedule", schedule)]


def _of_schedule(pointer: str, schedule: Schedule) -> Iterator[Place]:
    if not schedule.given("every", "cron", "after", "on"):
        yield pointer, "must have one of every, cron, after, on"
    if schedule.every is not None:
        yield from _of_pause(below(pointer, "every"), schedule.every, EVERY_S_MIN)
    if schedule.after is not None:
        yield from _of_pause(below(pointer, "after"), schedule.after, 0.0)
    if schedule.cron is not None:
        try:
            next_time(schedule.cron, SOME_TIME)
        except CronInvalid as invalid:
            yield below(pointer, "cron"), str(invalid)
    if schedule.on is not None:
        yield from _of_events(below(pointer, "on"), schedule.on)


def _of_pause(pointer: str, duration: InlineDuration | str, least_s: float) -> Iterator[Place]:
    seconds = _seconds(duration)
    if seconds is None:
        yield pointer, "must be a duration as it stands: there is no run yet that could evaluate an expression"
    elif isinstance(duration, InlineDuration) and any(number < 0 for _, number in duration):
        yield pointer, "must not have negative parts"
    elif not least_s <= seconds <= PAUSE_S_MAX:
        yield pointer, f"must be from {least_s:g} to {PAUSE_S_MAX:g} seconds"


def _seconds(duration: InlineDuration | str) -> float | None:
    if isinstance(duration, InlineDuration):
        return duration.in_seconds(PAUSE_S_MAX + 1)
    try:
        return seconds_of(duration)
    except ValueError:
        return None


def _of_events(pointer: str, on: EventConsumption) -> Iterator[Place]:
    if on.until is not None:
        yield below(pointer, "until"), "is not understood in a schedule: each event of any starts a run of its own"
    if on.all is not None and not on.all:
        yield below(pointer, "all"), "must have at least one event"
