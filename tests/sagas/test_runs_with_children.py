"""Runs that are parts of others: what becomes of the one becomes of the other, and what a child has done is undone as a whole."""

import pytest

from events.run_parts import RunError
from tests.sagas.told import AGENT, CHILD, TIMEOUT, UNDO, Told
from write_side.agent import CreateAgent, StartAgent
from write_side.run_commands import (
    AnswerRunTask,
    CancelRun,
    FailRunTask,
    RetryRunCompensation,
    SkipRunCompensation,
    TerminateRun,
)
from write_side.task import AssignTask, CompleteTask, FailTask, StartTask


@pytest.fixture
def told(ordered_world):
    story = Told(ordered_world)
    agent = CreateAgent(agent_id="a1", name="a1", agent_type="reactive", capabilities=("c", "undo"))
    return story.send(agent, StartAgent(agent_id="a1"))


class TestARunWithAChild:
    def test_has_its_output(self, told):
        told.known("child", [{"ask": AGENT}]).known("main", [{"start": CHILD}]).run().agent_does("r1.1.1", "done")
        assert told.last().output == "done"

    def test_fails_with_its_error(self, told):
        told.known("child", [{"ask": AGENT}]).known("main", [{"start": CHILD}]).run()
        told.agent_does("r1.1.1", failing=True)
        assert (told.last().error.detail, told.last().error.instance) == ("cannot", "/do/0/start")

    def test_fails_if_there_is_none_to_start(self, told):
        told.known("main", [{"start": CHILD}]).run()
        assert told.last().error.status == 400
        assert told.last().error.detail == "there is no workflow test.child (workflow-unknown)"

    @pytest.fixture
    def booking(self, told):
        """Its child has booked, and asks for something."""
        told.known("child", [{"book": {**AGENT, "metadata": UNDO}}, {"ask": AGENT}])
        return told.known("main", [{"start": CHILD}]).run().agent_does("r1.1.1")

    def both(self, told):
        return told.status("run-r1"), told.status("run-r1.1")

    def test_takes_it_along_when_it_is_cancelled(self, booking):
        booking.send(CancelRun(run_id="r1"))
        assert self.both(booking) == ("cancelled", "cancelled")
        assert booking.status("task-r1.1.2") == "cancelled"

    def test_waits_until_it_has_undone_what_it_did_when_it_is_cancelled(self, booking):
        booking.send(CancelRun(run_id="r1", compensate=True))
        assert self.both(booking) == ("compensating", "compensating")
        booking.agent_does("r1.1.4")
        assert self.both(booking) == ("compensated", "compensated")

    def test_has_nothing_to_undo_if_it_had_done_nothing(self, told):
        told.known("child", [{"ask": {**AGENT, "metadata": UNDO}}]).known("main", [{"start": CHILD}]).run()
        told.send(CancelRun(run_id="r1", compensate=True))
        assert self.both(told) == ("compensated", "cancelled")

    def test_has_it_undone_if_it_completes_while_it_is_given_up(self, told):
        told.known("child", [{"book": {**AGENT, "metadata": UNDO}}])
        told.known("main", [{"both": {"fork": {"branches": [{"start": CHILD}, {"ask": AGENT}]}}}]).run()
        told.send(AssignTask(task_id="r1.3", agent_id="a1"), StartTask(task_id="r1.3"))
        told.send(AssignTask(task_id="r1.2.1", agent_id="a1"), StartTask(task_id="r1.2.1"))
        # Both have ended before any saga hears of either.
        told.world.send(FailTask(task_id="r1.3", error="cannot"))
        told.world.send(FailRunTask(run_id="r1", task=3, error=RunError(type="no", status=500)))
        told.world.send(CompleteTask(task_id="r1.2.1"))
        told.world.send(AnswerRunTask(run_id="r1.2", task=1))
        assert (told.status("run-r1"), told.status("run-r1.2")) == ("compensating", "completed")
        told.rest().agent_does("r1.2.3")
        assert (told.status("run-r1"), told.status("run-r1.2")) == ("compensated", "compensated")

    @pytest.mark.parametrize(
        "within", [[{"start": {**CHILD, "timeout": TIMEOUT}}], [{"in": {"do": [{"start": CHILD}], "timeout": TIMEOUT}}]]
    )
    def test_waits_until_it_is_undone_if_it_takes_too_long(self, told, within):
        told.known("child", [{"book": {**AGENT, "metadata": UNDO}}, {"ask": AGENT}]).known("main", within).run()
        (child_id,) = (run_id for run_id in told.world.streams("run") if run_id != "r1")
        told.agent_does(f"{child_id}.1").ring()
        assert (told.status("run-r1"), told.status(f"run-{child_id}")) == ("compensating", "compensating")
        told.agent_does(f"{child_id}.4")
        assert (told.status("run-r1"), told.last().error.status) == ("compensated", 408)

    def test_has_it_undone_as_a_whole(self, told):
        told.known("child", [{"book": {**AGENT, "metadata": UNDO}}])
        told.known("main", [{"start": CHILD}, {"ask": AGENT}]).run().agent_does("r1.1.1")
        told.agent_does("r1.2", failing=True)
        assert (told.status("run-r1"), told.status("run-r1.1")) == ("compensating", "compensating")
        told.agent_does("r1.1.3")
        assert (told.status("run-r1"), told.status("run-r1.1")) == ("compensated", "compensated")

    def test_is_parked_if_what_is_undone_is_terminated(self, told):
        told.known("child", [{"book": {**AGENT, "metadata": UNDO}}])
        told.known("main", [{"start": CHILD}, {"ask": AGENT}]).run().agent_does("r1.1.1")
        told.agent_does("r1.2", failing=True).send(TerminateRun(run_id="r1.1"))
        assert told.status("run-r1") == "parked"
        assert told.send(SkipRunCompensation(run_id="r1")).status("run-r1") == "compensated"

    @pytest.fixture
    def parked(self, told):
        """A child that could not be undone however often that was tried."""
        told.known("child", [{"book": {**AGENT, "metadata": UNDO}}])
        told.known("main", [{"start": CHILD}, {"ask": AGENT}]).run().agent_does("r1.1.1").agent_does(
            "r1.2", failing=True
        )
        for task in (3, 5, 7, 9):
            told.agent_does(f"r1.1.{task}", failing=True).ring()
        return told.agent_does("r1.1.11", failing=True)

    def test_is_parked_with_it(self, parked):
        assert self.both(parked) == ("parked", "parked")

    @pytest.fixture
    def stuck(self, told):
        """Its child has failed, and could not undo what it had done however often that was tried."""
        told.known("child", [{"book": {**AGENT, "metadata": UNDO}}, {"ask": AGENT}])

        def play(main):
            told.known("main", main).run()
            (child_id,) = (run_id for run_id in told.world.streams("run") if run_id != "r1")
            told.agent_does(f"{child_id}.1").agent_does(f"{child_id}.2", failing=True)
            for task in (4, 6, 8, 10):
                told.agent_does(f"{child_id}.{task}", failing=True).ring()
            told.agent_does(f"{child_id}.12", failing=True)
            return told

        return play

    def test_is_parked_with_one_that_failed_by_itself(self, stuck):
        told = stuck([{"start": CHILD}])
        assert self.both(told) == ("parked", "parked")
        told.send(RetryRunCompensation(run_id="r1.1")).agent_does("r1.1.14")
        assert self.both(told) == ("compensated", "compensated")
        assert (told.last().error.detail, told.last().error.instance) == ("cannot", "/do/0/start")

    def test_waits_for_one_whose_error_it_catches(self, stuck):
        told = stuck([{"safe": {"try": [{"start": CHILD}], "catch": {"do": [{"set": {"set": {"a": 1}}}]}}}])
        assert (told.status("run-r1"), told.status("run-r1.2")) == ("running", "parked")
        told.send(SkipRunCompensation(run_id="r1.2"))
        assert (told.status("run-r1"), told.status("run-r1.2")) == ("completed", "compensated")

    def test_goes_on_once_its_child_is_undone(self, parked):
        parked.send(SkipRunCompensation(run_id="r1.1"))
        assert self.both(parked) == ("compensated", "compensated")

    def test_has_it_tried_again_with_itself(self, parked):
        parked.send(RetryRunCompensation(run_id="r1")).agent_does("r1.1.13")
        assert self.both(parked) == ("compensated", "compensated")

    def test_leaves_it_parked_if_it_is_skipped(self, parked):
        parked.send(SkipRunCompensation(run_id="r1"))
        assert self.both(parked) == ("compensated", "parked")
