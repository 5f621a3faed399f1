"""Schedules that are refused, each with where and why, and those that are not."""

import pytest

from tests.write_side.running import workflow
from write_side.definition.reading import InvalidDefinition
from write_side.workflow import RegisterWorkflow

DO = [{"a": {"set": {"b": 1}}}]
FILTER = {"with": {"type": "a.b"}}


def register(schedule):
    return RegisterWorkflow(definition=workflow(DO, schedule=schedule))


class TestASchedule:
    @pytest.mark.parametrize(
        "schedule",
        [
            {"cron": "*/5 0-6 1,15 * mon-fri"},
            {"cron": "@hourly"},
            {"cron": "0 0 29 2 *"},
            {"every": {"seconds": 1}},
            {"every": "PT1M", "cron": "0 0 * * *"},
            {"after": {"milliseconds": 0}},
            {"on": {"one": FILTER}, "read": "envelope"},
            {"on": {"any": []}},
            {"on": {"all": [FILTER, FILTER]}},
        ],
    )
    def test_may_be(self, schedule):
        register(schedule)

    @pytest.mark.parametrize(
        ("schedule", "pointer", "detail"),
        [
            ({}, "/schedule", "must have one of"),
            ({"cron": "soon"}, "/schedule/cron", "must have 5 fields"),
            ({"cron": "0 0 31 2 *"}, "/schedule/cron", "never comes"),
            ({"cron": "61 * * * *"}, "/schedule/cron", "no cron expression"),
            ({"cron": "R * * * *"}, "/schedule/cron", "must have numbers"),
            ({"cron": "* * * * * *"}, "/schedule/cron", "must have 5 fields"),
            ({"every": {"milliseconds": 999}}, "/schedule/every", "must be from 1 "),
            (
                {"every": {"days": 9_007_199_254_740_993, "hours": -216_172_782_113_783_831}},
                "/schedule/every",
                "negative",
            ),
            ({"after": {"hours": 1, "minutes": -1}}, "/schedule/after", "negative"),
            ({"every": "P11Y"}, "/schedule/every", "must be from 1 "),
            ({"every": {"days": 1e308}}, "/schedule/every", "must be from 1 "),
            ({"every": "${ .pause }"}, "/schedule/every", "no run yet"),
            ({"after": "${ .pause }"}, "/schedule/after", "no run yet"),
            ({"on": {"any": [FILTER], "until": "${ true }"}}, "/schedule/on/until", "not understood"),
            ({"on": {"all": []}}, "/schedule/on/all", "at least one"),
        ],
    )
    def test_may_not_be(self, schedule, pointer, detail):
        with pytest.raises(InvalidDefinition) as refused:
            register(schedule)
        found = [error for error in refused.value.details["errors"] if error["pointer"] == pointer]
        assert [detail in error["detail"] for error in found] == [True]
