"""Durations as text (ISO 8601-1, section 5.5.2), such as `P1DT2H30M5.5S` or `P2W`."""

import re

DURATION_CHARACTERS_MAX = 64

_NUMBER = r"(\d+(?:[.,]\d+)?)"
_DURATION = re.compile(
    rf"P(?=[\dT])(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?",
    re.ASCII,
)
_SECONDS = (365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3_600, 60, 1)


def seconds_of(duration: str) -> float:
    """Seconds of a duration; a year counts 365 days and a month 30, whatever the calendar says. ValueError if it is not one.

    Only the last number may have a fraction.
    """
    match = _DURATION.fullmatch(duration) if len(duration) <= DURATION_CHARACTERS_MAX else None
    if match is None:
        raise ValueError("not an ISO 8601 duration")
    given = [
        (number.replace(",", "."), seconds) for number, seconds in zip(match.groups(), _SECONDS, strict=True) if number
    ]
    if any("." in number for number, _ in given[:-1]):
        raise ValueError("not an ISO 8601 duration: only its last number may have a fraction")
    return sum(float(number) * seconds for number, seconds in given)
