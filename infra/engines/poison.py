"""Events that a consumer cannot handle, and how to tell them from a breakdown of what it stands on."""

import psycopg

from infra.adapters.event_store import Record


class Poison(Exception):
    """This event cannot be handled, however often it is tried; `__cause__` says why."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"{record.type} at {record.position}")
        self.record = record


def cause_of(refused: Exception) -> str:
    """Why an event was parked, for people."""
    cause = refused.__cause__ or refused
    return f"{type(cause).__name__}: {cause}"


def is_breakdown(refused: Exception) -> bool:
    """Whether the database is to blame and not the event. What exceeds a limit of Postgres (class 54) will always do so."""
    return isinstance(refused, psycopg.OperationalError) and not (refused.sqlstate or "").startswith("54")
