"""Cron expressions: minute, hour, day of month, month and day of week, as crontab(5) of Unix has them; in UTC."""

import re
from datetime import UTC, datetime

from croniter import croniter
from croniter.croniter import CroniterError

CRON_CHARACTERS_MAX = 200
YEARS_MAX = 8
"""A time has to come within these: the longest pause of a leap day."""

_ALIASES = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_FIELD = re.compile(r"(?:\*|\?|[0-9A-Za-z]+)[0-9A-Za-z#,*/-]*")
_RANDOM = re.compile(r"(?:^|[,-])[RrHh](?:$|[,/(-])")
_FIELDS = 5


class CronInvalid(ValueError):
    """This is no cron expression, or its time never comes."""


def next_time(cron: str, after: datetime) -> datetime:
    """The first time of a cron expression after this one, in UTC and to the minute. Raises CronInvalid."""
    text = cron.strip()
    if len(text) > CRON_CHARACTERS_MAX:
        raise CronInvalid(f"has more than {CRON_CHARACTERS_MAX} characters")
    fields = text.split()
    if text not in _ALIASES:
        if len(fields) != _FIELDS:
            raise CronInvalid("must have 5 fields: minute, hour, day of month, month, day of week")
        if not all(_FIELD.fullmatch(field) and not _RANDOM.search(field) for field in fields):
            raise CronInvalid("must have numbers, names, *, ranges, steps and lists in its fields")
    try:
        times = croniter(text, after.astimezone(UTC), max_years_between_matches=YEARS_MAX)
        found: datetime = times.get_next(datetime)
    except (CroniterError, ValueError, KeyError, OverflowError):
        raise CronInvalid("is no cron expression, or its time never comes") from None
    return found
