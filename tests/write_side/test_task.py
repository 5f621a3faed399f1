"""The decider of tasks."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from events.agent import AgentCreated, AgentDeleted, AgentStarted, AgentStopped
from events.task import (
    MessageStep,
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskHandedOver,
    TaskRequested,
    TaskStarted,
    TaskStepRecorded,
    TaskTimedOut,
    TaskUsageRecorded,
    ToolCallStep,
)
from write_side.agent import AgentAlreadyDeleted, AgentLacksCapability, AgentNotStarted, AgentUnknown
from write_side.task import (
    TASK,
    AssignTask,
    CancelTask,
    CompleteTask,
    FailTask,
    HandOverTask,
    RecordTaskStep,
    RecordTaskUsage,
    RequestTask,
    StartTask,
    TaskAlreadyAssigned,
    TaskAlreadyEnded,
    TaskAlreadyExists,
    TaskAlreadyHandedOver,
    TaskAlreadyStarted,
    TaskForNobody,
    TaskNotAssigned,
    TaskNotStarted,
    TaskUnknown,
    TimeOutTask,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AGENT_CREATED = AgentCreated(name="Ada", agent_type="autonomous", capabilities=("book",))
BY_CAPABILITY = TaskRequested(capability="book", title="Book a flight", deadline_at=NOW)
REQUESTED = TaskRequested(agent_id="a1", title="Book a flight")
ASSIGNED = [REQUESTED, TaskAssigned(agent_id="a1")]
RUNNING = [*ASSIGNED, TaskStarted(agent_id="a1")]
HANDED_OVER = [*RUNNING, TaskHandedOver(reason="beyond me")]
ENDS = [TaskCompleted(), TaskFailed(error="x"), TaskCancelled(), TaskTimedOut(deadline_at=NOW)]
MESSAGE = MessageStep(kind="message", role="user", content="Hello")
TOOL_CALL = ToolCallStep(kind="tool_call", tool="find_flight", arguments={"to": "JFK"}, reply="HAT001")
WORK = [
    RecordTaskStep(task_id="t1", step=MESSAGE),
    RecordTaskUsage(task_id="t1", model="gpt-4o", tokens_in=1, tokens_out=2),
    HandOverTask(task_id="t1", reason="beyond me"),
    CompleteTask(task_id="t1"),
]
ON_ANY_TASK = [
    *WORK,
    AssignTask(task_id="t1", agent_id="a1"),
    StartTask(task_id="t1"),
    FailTask(task_id="t1", error="x"),
    CancelTask(task_id="t1"),
]


def named(command):
    return type(command).__name__


def request(**fields):
    return RequestTask(**{"task_id": "t1", "title": "Book a flight", "at": NOW, **fields})


class TestAnUnknownTask:
    def test_can_be_asked_of_one_agent_which_assigns_it(self, given):
        given(TASK).beside("agent-a1", AGENT_CREATED).when(request(agent_id="a1")).then(*ASSIGNED)

    def test_can_be_asked_of_any_agent_with_a_capability(self, given):
        requested = TaskRequested(capability="book", title="Book a flight", input={"to": "JFK"})
        given(TASK).when(request(capability="book", input={"to": "JFK"})).then(requested)

    def test_is_given_a_deadline_by_its_timeout(self, given):
        requested = TaskRequested(
            capability="book", title="Book a flight", deadline_at=NOW + timedelta(milliseconds=1_500)
        )
        given(TASK).when(request(capability="book", timeout_s=1.5)).then(requested)

    @pytest.mark.parametrize("fields", [{}, {"agent_id": "a1", "capability": "book"}], ids=str)
    def test_is_refused_unless_asked_of_exactly_one(self, given, fields):
        given(TASK).beside("agent-a1", AGENT_CREATED).when(request(**fields)).then_refused(TaskForNobody, 422)

    def test_cannot_be_asked_of_an_unknown_agent(self, given):
        given(TASK).when(request(agent_id="a1")).then_refused(AgentUnknown, 404)

    def test_cannot_be_asked_of_a_deleted_agent(self, given):
        past = [AGENT_CREATED, AgentDeleted(name="Ada")]
        given(TASK).beside("agent-a1", *past).when(request(agent_id="a1")).then_refused(AgentAlreadyDeleted)

    @pytest.mark.parametrize("command", [*ON_ANY_TASK, TimeOutTask(task_id="t1")], ids=named)
    def test_is_not_found(self, given, command):
        given(TASK).when(command).then_refused(TaskUnknown, 404)


class TestATaskAskedByCapability:
    def test_can_be_assigned_to_a_started_agent_that_has_it(self, given):
        scenario = given(TASK, BY_CAPABILITY).beside("agent-a1", AGENT_CREATED, AgentStarted())
        scenario.when(AssignTask(task_id="t1", agent_id="a1")).then(TaskAssigned(agent_id="a1"))

    @pytest.mark.parametrize(
        ("past", "rejection", "status"),
        [
            ([], AgentUnknown, 404),
            ([AGENT_CREATED], AgentNotStarted, 409),
            ([AGENT_CREATED, AgentStarted(), AgentStopped()], AgentNotStarted, 409),
            ([AGENT_CREATED, AgentStarted(), AgentDeleted(name="Ada")], AgentAlreadyDeleted, 409),
            ([AgentCreated(name="Bob", agent_type="reactive"), AgentStarted()], AgentLacksCapability, 409),
        ],
    )
    def test_cannot_be_assigned_to_any_other(self, given, past, rejection, status):
        scenario = given(TASK, BY_CAPABILITY).beside("agent-a1", *past)
        scenario.when(AssignTask(task_id="t1", agent_id="a1")).then_refused(rejection, status)

    def test_cannot_be_started_before_it_is_assigned(self, given):
        given(TASK, BY_CAPABILITY).when(StartTask(task_id="t1")).then_refused(TaskNotAssigned)

    def test_cannot_be_requested_again(self, given):
        given(TASK, BY_CAPABILITY).when(request(capability="book")).then_refused(TaskAlreadyExists)


class TestAnAssignedTask:
    def test_can_be_started(self, given):
        given(TASK, *ASSIGNED).when(StartTask(task_id="t1")).then(TaskStarted(agent_id="a1"))

    def test_cannot_be_assigned_again(self, given):
        scenario = given(TASK, *ASSIGNED).beside("agent-a1", AGENT_CREATED, AgentStarted())
        scenario.when(AssignTask(task_id="t1", agent_id="a1")).then_refused(TaskAlreadyAssigned)

    @pytest.mark.parametrize("command", WORK, ids=named)
    def test_must_be_started_first(self, given, command):
        given(TASK, *ASSIGNED).when(command).then_refused(TaskNotStarted)

    def test_can_fail(self, given):
        given(TASK, *ASSIGNED).when(FailTask(task_id="t1", error="no time")).then(TaskFailed(error="no time"))


class TestATaskThatWasBegun:
    def test_cannot_be_started_again(self, given):
        given(TASK, *RUNNING).when(StartTask(task_id="t1")).then_refused(TaskAlreadyStarted)

    def test_says_so_if_it_is_no_longer_the_agents(self, given):
        given(TASK, *HANDED_OVER).when(StartTask(task_id="t1")).then_refused(TaskAlreadyHandedOver)


@pytest.mark.parametrize("past", [RUNNING, HANDED_OVER], ids=["running", "handed_over"])
class TestATaskAtWork:
    @pytest.mark.parametrize("step", [MESSAGE, TOOL_CALL], ids=["message", "tool_call"])
    def test_records_a_step(self, given, past, step):
        given(TASK, *past).when(RecordTaskStep(task_id="t1", step=step)).then(TaskStepRecorded(step=step))

    def test_records_usage(self, given, past):
        command = RecordTaskUsage(task_id="t1", model="gpt-4o", tokens_in=10, tokens_out=2)
        given(TASK, *past).when(command).then(TaskUsageRecorded(model="gpt-4o", tokens_in=10, tokens_out=2))

    def test_can_be_completed(self, given, past):
        given(TASK, *past).when(CompleteTask(task_id="t1", result=[1, None])).then(TaskCompleted(result=[1, None]))

    def test_can_fail(self, given, past):
        given(TASK, *past).when(FailTask(task_id="t1", error="x")).then(TaskFailed(error="x"))

    def test_can_be_cancelled(self, given, past):
        given(TASK, *past).when(CancelTask(task_id="t1", reason="late")).then(TaskCancelled(reason="late"))

    def test_remembers_nothing_of_its_steps(self, given, past):
        before = TASK.fold(past)
        assert TASK.evolve(before, TaskStepRecorded(step=MESSAGE)) is before


class TestHandingOver:
    def test_goes_to_a_human_unless_said_otherwise(self, given):
        command = HandOverTask(task_id="t1", reason="beyond me")
        given(TASK, *RUNNING).when(command).then(TaskHandedOver(reason="beyond me", to="human"))

    def test_happens_once(self, given):
        command = HandOverTask(task_id="t1", reason="beyond me")
        given(TASK, *HANDED_OVER).when(command).then_refused(TaskAlreadyHandedOver)


class TestADeadline:
    @pytest.mark.parametrize("steps", range(4))
    def test_ends_a_task_that_is_still_open(self, given, steps):
        scenario = given(TASK, BY_CAPABILITY, *HANDED_OVER[1 : steps + 1]).when(TimeOutTask(task_id="t1"))
        scenario.then(TaskTimedOut(deadline_at=NOW)).when(TimeOutTask(task_id="t1")).then_nothing()

    @pytest.mark.parametrize("end", ENDS, ids=named)
    def test_does_not_matter_once_the_task_has_ended(self, given, end):
        given(TASK, BY_CAPABILITY, end).when(TimeOutTask(task_id="t1")).then_nothing()

    def test_is_not_needed(self, given):
        given(TASK, *RUNNING).when(TimeOutTask(task_id="t1")).then_nothing()


@pytest.mark.parametrize("end", ENDS, ids=named)
class TestAnEndedTask:
    @pytest.mark.parametrize("command", ON_ANY_TASK, ids=named)
    def test_stays_so(self, given, end, command):
        given(TASK, *RUNNING, end).when(command).then_refused(TaskAlreadyEnded)

    def test_cannot_be_requested_again(self, given, end):
        given(TASK, *RUNNING, end).when(request(capability="book")).then_refused(TaskAlreadyExists)


class TestWhatATaskMayBe:
    @pytest.mark.parametrize(
        "fields",
        [
            {"timeout_s": 0},
            {"timeout_s": -1},
            {"timeout_s": float("nan")},
            {"timeout_s": float("inf")},
            {"timeout_s": 10**10},
            {"title": ""},
            {"at": datetime(2026, 1, 1)},
        ],
        ids=str,
    )
    def test_is_bounded(self, fields):
        with pytest.raises(ValidationError):
            request(**fields)

    @pytest.mark.parametrize(
        "step",
        [
            {},
            {"kind": "thought", "content": "hm"},
            {"kind": "message", "role": "king"},
            {"kind": "message", "role": "user", "tool": "x"},
            {"kind": "tool_call"},
        ],
        ids=str,
    )
    def test_has_steps_of_two_kinds_only(self, step):
        with pytest.raises(ValidationError):
            RecordTaskStep(task_id="t1", step=step)
