"""Tells a database that cannot do its work from data that it will never take."""

import psycopg

_ALWAYS = ("54", "08P01")
"""What exceeds a limit of Postgres, and what it cannot read."""


def is_breakdown(refused: Exception) -> bool:
    """Whether the database is to blame, and may do better later; not the data."""
    return isinstance(refused, psycopg.OperationalError) and not (refused.sqlstate or "").startswith(_ALWAYS)
