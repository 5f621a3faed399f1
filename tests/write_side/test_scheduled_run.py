"""Runs that a schedule starts: only while the version is active by the very activation that the schedule began with."""

import pytest

from events.run import RunStarted
from infra.errors import Rejection
from tests.write_side.running import START, workflow
from write_side.run import RUN
from write_side.run_commands import StartScheduledRun
from write_side.workflow import WORKFLOW, ActivateWorkflow, DeprecateWorkflow, RegisterWorkflow

DO = [{"a": {"set": {"b": 1}}}]


def activate(number):
    return ActivateWorkflow(workflow_id="test.w", workflow_version=number)


def register(number):
    definition = workflow(DO)
    return RegisterWorkflow(definition={**definition, "document": {**definition["document"], "version": number}})


def known(*commands):
    state = WORKFLOW.initial
    for command in (register("1.0.0"), register("2.0.0"), *commands):
        for event in WORKFLOW.decide(command, state):
            state = WORKFLOW.evolve(state, event)
    return state


def start(state, number="1.0.0", activation=1):
    command = StartScheduledRun(
        run_id="r1", workflow_id="test.w", workflow_version=number, activation=activation, input={"a": 1}, at=START
    )
    return RUN.decide_all(command, RUN.initial, dict.fromkeys(RUN.consults(command, RUN.initial), state))


class TestAScheduledRun:
    def test_starts_while_its_version_is_active(self):
        started, *_ = start(known(activate("1.0.0")))
        assert (started.workflow_version, started.input, started.started_at) == ("1.0.0", {"a": 1}, START)

    @pytest.mark.parametrize(
        "since",
        [
            (activate("2.0.0"),),
            (DeprecateWorkflow(workflow_id="test.w", workflow_version="1.0.0"),),
            (activate("2.0.0"), activate("1.0.0")),
        ],
    )
    def test_does_not_start_after_the_activation_that_it_began_with(self, since):
        assert list(start(known(activate("1.0.0"), *since))) == []

    def test_starts_by_the_new_activation(self):
        state = known(activate("1.0.0"), activate("2.0.0"), activate("1.0.0"))
        assert isinstance(start(state, activation=3)[0], RunStarted)

    def test_of_a_workflow_that_there_is_not_starts_nothing(self):
        assert list(start(WORKFLOW.initial)) == []

    def test_is_not_started_twice(self):
        state = known(activate("1.0.0"))
        begun = RUN.fold(start(state))
        command = StartScheduledRun(run_id="r1", workflow_id="test.w", workflow_version="1.0.0", activation=1, at=START)
        with pytest.raises(Rejection, match="there is a run r1 already"):
            RUN.decide_all(command, begun, {"workflow-test.w": state})
