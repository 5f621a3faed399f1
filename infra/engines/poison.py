"""Events that a consumer cannot handle."""

from infra.adapters.event_store import Record
from infra.telemetry import redact_text


class Poison(Exception):
    """This event cannot be handled, however often it is tried; `__cause__` says why."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"{record.type} at {record.position}")
        self.record = record


def cause_of(refused: Exception) -> str:
    """Why an event was parked, for people; without what users sent, which would outlive the event there."""
    cause = refused.__cause__ or refused
    return redact_text(f"{type(cause).__name__}: {cause}")
