"""Cron expressions: the next time of each, in UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from infra.expressions.cron import CRON_CHARACTERS_MAX, CronInvalid, next_time

SATURDAY = datetime(2026, 11, 21, 10, 30, 15, tzinfo=UTC)


class TestACronExpression:
    @pytest.mark.parametrize(
        ("cron", "expected"),
        [
            ("* * * * *", datetime(2026, 11, 21, 10, 31, tzinfo=UTC)),
            ("*/20 * * * *", datetime(2026, 11, 21, 10, 40, tzinfo=UTC)),
            ("0 0 * * *", datetime(2026, 11, 22, tzinfo=UTC)),
            ("@weekly", datetime(2026, 11, 22, tzinfo=UTC)),
            ("0 9 * * mon-fri", datetime(2026, 11, 23, 9, tzinfo=UTC)),
            ("0 9 * * FRI,thu", datetime(2026, 11, 26, 9, tzinfo=UTC)),
            ("30 6 1 jan ?", datetime(2027, 1, 1, 6, 30, tzinfo=UTC)),
            ("0 0 L * *", datetime(2026, 11, 30, tzinfo=UTC)),
            ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
            ("0 0 13 * 5", datetime(2026, 11, 27, tzinfo=UTC)),
        ],
    )
    def test_tells_its_next_time(self, cron, expected):
        assert next_time(cron, SATURDAY) == expected

    def test_goes_on_from_a_time_of_its_own(self):
        first = next_time("0 * * * *", SATURDAY)
        assert next_time("0 * * * *", first) - first == timedelta(hours=1)

    def test_is_in_utc_wherever_one_asks(self):
        elsewhere = SATURDAY.astimezone(timezone(timedelta(hours=5, minutes=45)))
        assert next_time("0 0 * * *", elsewhere) == datetime(2026, 11, 22, tzinfo=UTC)

    def test_finds_a_leap_day_over_the_turn_of_a_century(self):
        assert next_time("0 0 29 2 *", datetime(2097, 1, 1, tzinfo=UTC)) == datetime(2104, 2, 29, tzinfo=UTC)

    @pytest.mark.parametrize(
        "cron",
        [
            "",
            "soon",
            "* * * *",
            "* * * * * *",
            "61 * * * *",
            "0 24 * * *",
            "0 0 0 * *",
            "*/0 * * * *",
            "1,,2 * * * *",
            "R * * * *",
            "0 R/2 * * *",
            "H H * * *",
            "0 0 31 2 *",
            "@reboot",
            "a b c d e",
            "0 0 * * mon;tue",
            "1," * CRON_CHARACTERS_MAX + "2 * * * *",
        ],
    )
    def test_is_refused_if_it_is_none_or_never_comes(self, cron):
        with pytest.raises(CronInvalid):
            next_time(cron, SATURDAY)
