"""Runs against the real deciders, with all that they wait for: whole stories, and any at all."""

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import ValidationError

from events.event import TOLD_DEPTH_MAX
from sagas.ask_agents_on_run_task import ASK_AGENTS_ON_RUN_TASK, AskedAgents
from sagas.ask_people_on_run_task import ASK_PEOPLE_ON_RUN_TASK, AskedPeople
from sagas.deliver_events_to_runs import DELIVER_EVENTS_TO_RUNS, Listeners
from sagas.start_child_runs_on_task import START_CHILD_RUNS_ON_TASK, ChildRuns
from sagas.start_runs_on_schedule import START_RUNS_ON_SCHEDULE
from sagas.submit_jobs_on_run_task import SUBMIT_JOBS_ON_RUN_TASK, SubmittedJobs
from tests.sagas.company import Company
from tests.sagas.run_stories import nested
from tests.sagas.told import AGENT, LISTEN, SAGAS, Told
from tests.sizes import examples
from write_side.agent import CreateAgent, StartAgent
from write_side.approval import DecideApproval, RequestApproval
from write_side.job import AssignJob, CompleteJob, StartJob
from write_side.message import CloudEvent, PublishMessage
from write_side.workflow import ActivateWorkflow, DeprecateWorkflow

AT_REST = {
    START_CHILD_RUNS_ON_TASK: ChildRuns(),
    ASK_AGENTS_ON_RUN_TASK: AskedAgents(),
    SUBMIT_JOBS_ON_RUN_TASK: SubmittedJobs(),
    ASK_PEOPLE_ON_RUN_TASK: AskedPeople(),
    DELIVER_EVENTS_TO_RUNS: Listeners(),
}
PAID = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid"}
SETTINGS = settings(max_examples=examples(100), deadline=None)


@pytest.fixture
def told(ordered_world):
    story = Told(ordered_world)
    agent = CreateAgent(agent_id="a1", name="a1", agent_type="reactive", capabilities=("c", "undo"))
    return story.send(agent, StartAgent(agent_id="a1"))


class TestARunOfAgentsJobsAndPeople:
    def test_goes_from_one_to_the_next_with_what_they_answer(self, told):
        job = {"call": "job", "with": {"kind": "k", "requirements": {"cpu_milli": 1, "memory_mib": 1}}}
        told.known(
            "main", [{"ask": AGENT}, {"compute": job}, {"pay": {"call": "approval", "with": {"people": ["bob"]}}}]
        )
        told.run().agent_does("r1.1", {"seat": 4})
        told.send(AssignJob(job_id="r1.2", attempt=1, node_id="n1"), StartJob(job_id="r1.2", attempt=1))
        told.send(CompleteJob(job_id="r1.2", attempt=1, result=5))
        told.send(DecideApproval(approval_id="r1.3", decision="reject", actor="bob", comment="dear"))
        decided = {"actor": "bob", "decision": "reject", "answer": None, "comment": "dear"}
        assert told.last().output == {"approved": False, "decisions": [decided]}

    def test_catches_what_goes_wrong_outside(self, told):
        catch = {"errors": {"with": {"status": 500}}, "do": [{"other": AGENT}]}
        told.known("main", [{"safe": {"try": [{"ask": AGENT}], "catch": catch}}]).run()
        told.agent_does("r1.2", failing=True).agent_does("r1.3", "instead")
        assert told.last().output == "instead"

    def test_has_nobody_decide_for_whoever_started_it(self, told):
        told.known("main", [{"pay": {"call": "approval", "with": {"people": ["user:alice", "user:bob"]}}}]).run()
        told.send(DecideApproval(approval_id="r1.1", decision="approve", actor="user:alice"))
        assert [rejection.code for rejection in told.world.rejections] == ["own-approval"]
        assert told.status("run-r1") == "running"

    def test_takes_back_what_it_asked_of_those_who_lost_a_race(self, told):
        branches = [{"one": AGENT}, {"other": AGENT}]
        told.known("main", [{"race": {"fork": {"branches": branches, "compete": True}}}]).run().agent_does("r1.3", 3)
        assert (told.last().output, told.status("task-r1.2")) == (3, "cancelled")

    def test_takes_back_what_takes_too_long(self, told):
        told.known("main", [{"ask": {**AGENT, "timeout": {"after": "PT1M"}}}]).run().ring()
        assert (told.last().error.status, told.status("task-r1.1")) == (408, "cancelled")


class TestARunThatListens:
    def test_hears_what_is_published_and_what_others_emit(self, told):
        emit = {"emit": {"event": {"with": {"type": "order.paid", "source": "/x", "data": 7}}}}
        told.known("main", [{"both": {"fork": {"branches": [{"hear": LISTEN}, {"tell": emit}]}}}]).run()
        assert told.last().output[0] == [7]

    def test_hears_nothing_from_before_it_listened(self, told):
        event = CloudEvent(specversion="1.0", id="1", source="/x", type="order.paid", data=1)
        later = event.model_copy(update={"id": "2", "data": 2})
        told.known("main", [{"hear": LISTEN}]).send(PublishMessage(event=event)).run()
        assert told.status("run-r1") == "running"
        assert told.send(PublishMessage(event=later)).last().output == [2]


class TestAWorkflowWithASchedule:
    @pytest.fixture
    def told(self, ordered_world):
        return Told(ordered_world, START_RUNS_ON_SCHEDULE)

    def runs(self, told):
        return sorted(told.world.streams("run"))

    def test_starts_run_after_run(self, told):
        told.known("main", [{"a": {"set": {"b": 1}}}], schedule={"every": "PT1H"})
        for _ in range(3):
            told.ring()
        first, second, third = (told.events(f"run-{run_id}")[0] for run_id in self.runs(told))
        assert first.labels == second.labels == third.labels == {"schedule": "every"}
        due = [timer.at for timer in told.world.timers]
        assert len(due) == 1
        assert [told.status(f"run-{run_id}") for run_id in self.runs(told)] == ["completed"] * 3

    def test_starts_the_next_after_the_end_of_the_one_before(self, told):
        told.known("main", [{"hear": LISTEN}], schedule={"after": "PT1H"})
        assert (len(self.runs(told)), told.world.timers) == (1, [])
        told.send(PublishMessage(event=CloudEvent(specversion="1.0", id="1", source="/x", type="order.paid")))
        assert [len(told.world.timers), len(told.ring().world.streams("run"))] == [1, 2]

    @pytest.mark.parametrize("again", [False, True])
    def test_starts_nothing_of_a_version_that_was_superseded(self, told, again):
        told.known("main", [{"a": {"set": {"b": 1}}}], schedule={"every": "PT1H"})
        told.known("main", [{"a": {"set": {"b": 2}}}], version="2.0.0")
        if again:
            told.send(ActivateWorkflow(workflow_id="test.main", workflow_version="1.0.0"))
            assert [timer.at - told.world.timers[0].at < timedelta(hours=1) for timer in told.world.timers] == [
                True
            ] * 2
        assert self.runs(told.ring()) == []
        if again:
            assert len(self.runs(told.ring())) == 1

    def test_starts_nothing_once_it_is_deprecated(self, told):
        told.known("main", [{"hear": LISTEN}], schedule={"cron": "0 * * * *", "on": {"any": []}})
        told.send(DeprecateWorkflow(workflow_id="test.main", workflow_version="1.0.0")).ring()
        told.send(PublishMessage(event=CloudEvent(specversion="1.0", id="1", source="/x", type="t")))
        assert (self.runs(told), told.world.timers) == ([], [])

    def test_starts_on_events_with_what_they_say(self, told):
        on = {"one": {"with": {"type": "order.paid", "data": "${ .amount > 5 }"}}}
        told.known("main", [{"a": {"set": "${ $workflow.input[0].amount }"}}], schedule={"on": on})
        for number, amount in enumerate((3, 8)):
            data = {"amount": amount}
            event = CloudEvent(specversion="1.0", id=f"{number}", source="/x", type="order.paid", data=data)
            told.send(PublishMessage(event=event))
        (run_id,) = self.runs(told)
        assert told.last(f"run-{run_id}").output == 8


class TestAnyRuns:
    @SETTINGS
    @for_any(seed=st.integers(0, 2**32), steps=st.integers(50, examples(600)))
    def test_end_and_leave_nothing_open(self, ordered_world, seed, steps):
        random = Random(seed)
        world = ordered_world(*SAGAS)
        company = Company(world, random)
        company.start()
        for _ in range(steps):
            company.act()
        company.finish()
        # A run that nobody waits for may have been refused, of which nothing tells: these are bounded instead.
        beside = world.memory[ASK_PEOPLE_ON_RUN_TASK.name].beside
        assert [run_id for run_id in beside if world.state_of(f"run-{run_id}").status != "unknown"] == []
        beside.clear()
        assert {saga.name: world.memory[saga.name] for saga in AT_REST} == {
            saga.name: empty for saga, empty in AT_REST.items()
        }
        for category in ("task", "job", "approval"):
            assert company.open(category) == []


class TestWhatRunsAreToldOfOthers:
    """As deep as a command takes it, a run can take it too, with all that is around it by then."""

    def test_is_the_answer_of_a_person(self, told):
        deepest = nested(TOLD_DEPTH_MAX)
        told.known("main", [{"pay": {"call": "approval", "with": {"people": ["bob"]}}}]).run()
        told.send(DecideApproval(approval_id="r1.1", decision="approve", actor="bob", answer=deepest))
        assert told.last().output["decisions"][0]["answer"] == deepest

    @pytest.mark.parametrize("read", ["data", "envelope"])
    def test_is_a_message(self, told, read):
        deepest = nested(TOLD_DEPTH_MAX)
        told.known("main", [{"hear": {"listen": {**LISTEN["listen"], "read": read}}}]).run()
        told.send(PublishMessage(event={**PAID, "data": deepest}))
        (heard,) = told.last().output
        assert (heard if read == "data" else heard["data"]) == deepest

    @pytest.mark.parametrize(
        "command",
        [
            lambda value: DecideApproval(approval_id="r1.1", decision="approve", actor="bob", answer=value),
            lambda value: RequestApproval(approval_id="a", title="t", people=["bob"], default_answer=value),
            lambda value: PublishMessage(event={**PAID, "data": value}),
        ],
    )
    def test_is_refused_where_it_is_deeper(self, command):
        with pytest.raises(ValidationError, match=f"nested deeper than {TOLD_DEPTH_MAX} levels"):
            command(nested(TOLD_DEPTH_MAX + 1))
