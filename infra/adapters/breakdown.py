"""Tells a database that cannot do its work from data that it will never take."""

import psycopg

_ALWAYS = ("54", "08P01")
"""What exceeds a limit of Postgres, and what it cannot read."""


def is_breakdown(refused: Exception) -> bool:
    """Whether the database is to blame, and may do better later; not the data."""
    return isinstance(refused, psycopg.OperationalError) and not (refused.sqlstate or "").startswith(_ALWAYS)


def is_unfit(refused: Exception) -> bool:
    """Whether it is what was to be written that Postgres will never take; not a schema, a right or a partition that is missing."""
    if not isinstance(refused, psycopg.Error):
        return True
    return isinstance(refused, psycopg.DataError) or (refused.sqlstate or "").startswith(_ALWAYS)
