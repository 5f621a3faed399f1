"""Decides what becomes of runs: they start, go on as far as they can, and are told to pause, end, go on or undo what they did."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import get_args

from events.run import (
    RunCancelRequested,
    RunEvent,
    RunEventReceived,
    RunForked,
    RunResumed,
    RunRetried,
    RunStarted,
    RunSuspended,
    RunTaskFaulted,
    RunTaskRetried,
    RunTaskStarted,
)
from events.run_compensation import RunCompensationSkipped, RunCompensationStarted
from events.run_parts import DocumentsAwaited, Origin, TimerAwaited
from infra.patterns.decider import HISTORY, Decider, Others, StateForm
from write_side.interpreter.bounds import within
from write_side.interpreter.documents import place_of
from write_side.interpreter.doubt import after_answer, given_up_below, may_have_done
from write_side.interpreter.ending import answered
from write_side.interpreter.errors import Raised, standard
from write_side.interpreter.evolve import SNAPSHOT, evolve
from write_side.interpreter.faults import survivor
from write_side.interpreter.forking import deadlines, forked, state_after
from write_side.interpreter.listening import subscribes
from write_side.interpreter.plan import known_plan, plan_of, with_functions
from write_side.interpreter.scope import Run, deadline
from write_side.interpreter.state import ENDED, ROOT, Node, RunState, child_under_way
from write_side.interpreter.steps import advance
from write_side.interpreter.undone import branches_lost
from write_side.run_commands import (
    AdvanceRun,
    AnswerRunTask,
    CancelRun,
    CompensateRun,
    DeliverRunEvent,
    DeliverRunMessage,
    FailRunTask,
    FireRunTimer,
    ForkRun,
    InboxFull,
    ResumeRun,
    RetryRun,
    RetryRunCompensation,
    RunAlreadyEnded,
    RunAlreadyExists,
    RunAlreadySuspended,
    RunAlreadyUndone,
    RunCommand,
    RunLeftAsItWas,
    RunNotFaulted,
    RunNotParked,
    RunNotSuspended,
    RunTaskNotCompleted,
    RunUnknown,
    SendRunEvent,
    SkipRunCompensation,
    StartChildRun,
    StartRun,
    StartScheduledRun,
    SuspendRun,
    TerminateRun,
    TimeOutRunTask,
)
from write_side.run_documents import received
from write_side.run_messages import delivered, subscribed
from write_side.workflow import WorkflowState, version_to_run

EVENTS_MAX = 200
"""How many events of a run are written at once; it goes on with the next append."""
INBOX_MAX = 1_000
UNKNOWN = RunState()
TIMED = ("running", "failing", "cancelling", "compensating")
"""Where tasks can still take too long."""
ENDING = ("failing", "cancelling")
"""Where nothing begins any more, and a pause would be forgotten with the first task that is undone."""
FORM = StateForm(2, SNAPSHOT)
STARTING = (StartRun, StartChildRun, StartScheduledRun)
Interpreted = (
    AdvanceRun | AnswerRunTask | FailRunTask | FireRunTimer | TimeOutRunTask | DeliverRunEvent | DeliverRunMessage
)


def decide(command: RunCommand, state: RunState, others: Others) -> Sequence[RunEvent]:
    if isinstance(command, STARTING):
        return _start(command, state, others)
    if isinstance(command, ForkRun):
        return _fork(command, state, others[HISTORY])
    if state.status == "unknown":
        raise RunUnknown(f"there is no run {command.run_id}", run_id=command.run_id)
    if isinstance(command, Interpreted):
        return _interpret(command, state, others)
    match command:
        case RetryRun():
            if state.status != "faulted":
                raise RunNotFaulted(f"the run has not failed: {state.status}", run_status=state.status)
            return [RunRetried(again=branches_lost(state) or None)]
        case CompensateRun():
            return _compensate(command, state)
        case RetryRunCompensation() | SkipRunCompensation():
            if state.status != "parked" or state.undoing is None:
                raise RunNotParked(f"the run does not wait for an operator: {state.status}", run_status=state.status)
            skipped = isinstance(command, SkipRunCompensation)
            return [RunCompensationSkipped(of=state.undoing.of.task)] if skipped else [RunRetried()]
        case _:
            return _operate(command, state)


def _start(
    command: StartRun | StartChildRun | StartScheduledRun, state: RunState, others: Others
) -> Sequence[RunEvent]:
    if state.status != "unknown":
        raise RunAlreadyExists(f"there is a run {command.run_id} already", run_id=command.run_id)
    workflow: WorkflowState = others[f"workflow-{command.workflow_id}"]
    if isinstance(command, StartScheduledRun) and not workflow.is_active(command.workflow_version, command.activation):
        return []
    number, version = version_to_run(command.workflow_id, workflow, command.workflow_version)
    plan = plan_of(version.digest, version.definition)
    run = Run(command.run_id, state, plan, command.at)
    root = Node(ROOT, -1, "", "", "run", raw=command.input, input=command.input, started_at=command.at)
    times_out_at, going = None, False
    with suppress(
        Raised
    ):  # It fails once it runs, in the same way: a timeout that cannot be told ends the run at once.
        times_out_at = deadline(run, root, plan.definition.timeout, command.input)
        going = plan.cheap
    started = RunStarted(
        workflow_id=command.workflow_id,
        workflow_version=number,
        digest=version.digest,
        input=command.input,
        labels=command.labels,
        started_at=command.at,
        times_out_at=times_out_at,
        parent=command.parent if isinstance(command, StartChildRun) else None,
        going=going,
    )
    return advance(run, EVENTS_MAX, [started]) if going else [started]


def _fork(command: ForkRun, state: RunState, history: Sequence[RunEvent]) -> list[RunEvent]:
    if state.status != "unknown":
        raise RunAlreadyExists(f"there is a run {command.new_run_id} already", run_id=command.new_run_id)
    if not history:
        raise RunUnknown(f"there is no run {command.run_id}", run_id=command.run_id)
    before = state_after(history, command.task)
    if before is None:
        raise RunTaskNotCompleted(f"task {command.task} of run {command.run_id} did not complete while it was running")
    parents = {event.task: event.parent for event in history if isinstance(event, RunTaskStarted)}
    begun = forked(before, command.input, command.task, parents.get(command.task))
    begun = replace(begun, started_at=command.at)
    return [
        RunForked(
            workflow_id=begun.workflow_id,
            workflow_version=begun.workflow_version,
            digest=begun.digest,
            forked_from=Origin(run_id=command.run_id, task=command.task),
            labels=command.labels,
            started_at=command.at,
            state=SNAPSHOT.dump_python(begun, mode="json"),
            deadlines=deadlines(history, begun, command.at),
        )
    ]


def _operate(
    command: SuspendRun | ResumeRun | CancelRun | TerminateRun | SendRunEvent, state: RunState
) -> list[RunEvent]:
    if state.status in ENDED and not (state.status == "faulted" and isinstance(command, CancelRun | TerminateRun)):
        raise RunAlreadyEnded(f"the run has ended: {state.status}", run_status=state.status)
    match command:
        case SuspendRun(reason=reason):
            if state.suspended:
                raise RunAlreadySuspended
            _require_not_ending(state, *ENDING)
            return [RunSuspended(reason=reason)]
        case ResumeRun():
            if not state.suspended:
                raise RunNotSuspended
            return [RunResumed()]
        case CancelRun(compensate=compensate, reason=reason):
            _require_not_ending(state, *ENDING, "compensating", "parked")
            return [RunCancelRequested(compensate=compensate, reason=reason)]
        case TerminateRun(reason=reason):
            return [RunCancelRequested(compensate=False, reason=reason)]
        case SendRunEvent(event=event):
            if len(state.inbox) >= INBOX_MAX:
                raise InboxFull
            return [RunEventReceived(event=event)]


def _require_not_ending(state: RunState, *statuses: str) -> None:
    if state.status in statuses:
        raise RunAlreadyEnded(f"the run is ending: {state.status}", run_status=state.status)


def _compensate(command: CompensateRun, state: RunState) -> list[RunEvent]:
    """A run is undone as a whole, whether it has completed or not; one that is being undone already goes on with that."""
    match state.status:
        case "completed":
            return [RunCompensationStarted(error=None)]
        case "running":
            return [RunCancelRequested(compensate=True, reason=command.reason)]
        case "parked":
            return [RunRetried()]
        case "cancelled" if not state.compensate:
            raise RunLeftAsItWas
        case "faulted" | "cancelled" | "compensated":
            raise RunAlreadyUndone
        case _:
            return []


def _interpret(command: Interpreted, state: RunState, others: Others) -> Sequence[RunEvent]:
    """What follows from something that has happened, as far as the run can go on. What comes too late changes nothing."""
    plan = known_plan(state.digest)
    if plan is None:
        workflow: WorkflowState = others[f"workflow-{state.workflow_id}"]
        plan = plan_of(state.digest, workflow.versions[state.workflow_version].definition)
    plan = with_functions(plan, state)
    at = max(command.at, command.due_at) if isinstance(command, FireRunTimer | TimeOutRunTask) else command.at
    run = Run(command.run_id, state, plan, at)
    return advance(run, EVENTS_MAX, _happened(command, run))


def _happened(command: Interpreted, run: Run) -> Sequence[RunEvent]:
    state = run.state
    if isinstance(command, DeliverRunEvent):
        return delivered(run, command.event)
    if isinstance(command, AdvanceRun):
        return ()
    node = state.nodes.get(command.task)
    if node is None or state.status in ("completed", "cancelled", "compensated"):
        return ()
    if subscribes(run, node) and isinstance(command, AnswerRunTask | FailRunTask | DeliverRunMessage):
        return subscribed(command, run, node)
    match command:
        case AnswerRunTask(answer=answer) if node.phase == "awaiting" and isinstance(node.awaits, DocumentsAwaited):
            return received(run, node, answer)
        case AnswerRunTask(answer=answer) if node.phase == "awaiting":
            return after_answer(run, node, within([answered(run, node, answer)], node.task, node.reference))
        case FailRunTask(error=error, given_up=child_id) if node.phase == "awaiting":
            if child_id is not None and survivor(run, node, error) is not None:
                return ()
            place = place_of(run, node) if isinstance(node.awaits, DocumentsAwaited) else node.reference
            error = error.model_copy(update={"instance": place or "/"})
            in_doubt = (command.in_doubt and may_have_done(run, node)) or None
            return [RunTaskFaulted(task=node.task, error=error, given_up=child_id, in_doubt=in_doubt)]
        case FireRunTimer() if node.phase == "awaiting" and isinstance(node.awaits, TimerAwaited):
            return [answered(run, node, node.input)]
        case FireRunTimer() if state.suspended and node.phase == "delayed" and run.at >= (node.retry_at or run.at):
            # Its time has come only once: by the clock of whoever resumes the run it may not have yet.
            return [RunTaskRetried(task=node.task, attempt=node.attempt)]
        case TimeOutRunTask() if state.status in TIMED and node.phase not in ("answered", "faulted"):
            error = standard("timeout", "it took longer than its timeout", node.reference)
            child_id, in_doubt = child_under_way(node), may_have_done(run, node) or None
            failed = RunTaskFaulted(task=node.task, error=error, given_up=child_id, in_doubt=in_doubt)
            return [*given_up_below(run, node.task), failed]
        case _:
            return ()


def consults(command: RunCommand, state: RunState) -> Sequence[str]:
    if isinstance(command, STARTING):
        return (f"workflow-{command.workflow_id}",)
    if isinstance(command, Interpreted) and state.status != "unknown" and known_plan(state.digest) is None:
        return (f"workflow-{state.workflow_id}",)
    return ()


def recalls(command: RunCommand) -> str | None:
    return f"run-{command.run_id}" if isinstance(command, ForkRun) else None


RUN = Decider("run", get_args(RunCommand), UNKNOWN, decide, evolve, consults=consults, recalls=recalls, snapshots=FORM)
