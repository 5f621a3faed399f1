"""Every crash point that the code names is one that a fault test kills at; this needs nothing but the code."""

import re
from pathlib import Path

import pytest

import infra
from infra.faults import CRASH_POINTS
from tests.faults import test_crash_points, test_saga_matrix

HOUSE = Path(infra.__file__).parent.parent
ROOMS = ("events", "infra", "projections", "read_side", "sagas", "write_side")
KILLED_AT = (
    test_crash_points.TestAProcessThatIsKilled.test_loses_nothing_and_doubles_nothing,
    test_saga_matrix.TestTheMatrix.test_ends_as_it_should_whoever_is_killed,
)


def killed_at(test: object) -> set[str]:
    """The points that a test is given, one after the other."""
    marks: list[pytest.Mark] = getattr(test, "pytestmark", [])
    return {point for mark in marks if mark.name == "parametrize" for point in mark.args[1]}


class TestTheCrashPoints:
    def test_are_those_in_the_code(self) -> None:
        source = "".join(file.read_text() for room in ROOMS for file in (HOUSE / room).rglob("*.py"))
        assert sorted(set(re.findall(r'crash_point\("([^"]+)"\)', source))) == sorted(CRASH_POINTS)

    def test_all_have_a_process_that_dies_there(self) -> None:
        assert {point.partition(".")[0] for point in CRASH_POINTS} == set(test_crash_points.DIES)

    def test_are_each_one_that_a_process_is_killed_at(self) -> None:
        assert set[str]().union(*map(killed_at, KILLED_AT)) == set(CRASH_POINTS)
