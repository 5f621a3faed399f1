"""A forked run has the timeouts that the other one had, for itself and for what is open in it, from its own beginning."""

from datetime import timedelta
from typing import Any

from events.run import RunForked
from events.run_parts import Deadline
from infra.patterns.decider import HISTORY
from tests.write_side.running import START, WAITING, Running, run
from write_side.run import RUN, UNKNOWN
from write_side.run_commands import AdvanceRun, ForkRun, TimeOutRunTask

SET = {"set": {"n": 1}}
CALL = {"call": "job", "with": {"kind": "x", "payload": "x"}}
PART: dict[str, Any] = {"do": [{"a": SET}, {"b": CALL}], "timeout": {"after": "PT5S"}}
LATER = START + timedelta(hours=1)


def fork(history: list[Any], task: int, at: Any = LATER) -> RunForked:
    [forked] = RUN.decide_all(ForkRun(run_id="r1", new_run_id="r2", task=task, at=at), UNKNOWN, {HISTORY: history})
    assert isinstance(forked, RunForked)
    return forked


def whole() -> Running:
    tasks = [{"first": {**SET, "timeout": {"after": "PT1S"}}}, {"part": PART}]
    return run(tasks, answer=lambda *_: WAITING, timeout={"after": "PT9S"})


class TestAForkedRun:
    def test_has_no_deadline_if_the_other_had_none(self) -> None:
        assert fork(run([{"a": SET}, {"b": CALL}], answer=lambda *_: WAITING).events, 1).deadlines is None

    def test_has_as_long_as_the_other_had_and_so_has_what_is_open_in_it(self) -> None:
        run_itself = Deadline(task=0, at=LATER + timedelta(seconds=9))
        assert fork(whole().events, 1).deadlines == (run_itself,)
        part = Deadline(task=2, at=LATER + timedelta(seconds=5))
        assert fork(whole().events, 3).deadlines == (run_itself, part)

    def test_hands_them_on_to_those_that_are_forked_from_it(self) -> None:
        first = fork(whole().events, 3)
        later = LATER + timedelta(days=1)
        second = Running(whole().definition, answer=lambda *_: WAITING, run_id="r2", now=LATER)
        second.state, second.events = RUN.fold([first]), [first]
        second.send(AdvanceRun(run_id="r2", at=LATER))
        again = fork(second.events, 0, later)
        assert [deadline.at - later for deadline in again.deadlines or ()] == [
            timedelta(seconds=9),
            timedelta(seconds=5),
        ]

    def test_ends_when_it_takes_too_long(self) -> None:
        forked = fork(whole().events, 3)
        assert forked.deadlines
        due_at = forked.deadlines[0].at
        second = Running(whole().definition, answer=lambda *_: WAITING, run_id="r2", now=due_at)
        second.state = RUN.fold([forked])
        second.send(TimeOutRunTask(run_id="r2", task=0, due_at=due_at, at=due_at))
        assert (second.status, second.error["status"]) == ("faulted", 408)
