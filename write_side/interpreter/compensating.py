"""How a run undoes what it has done: the last completed task first, each tried a number of times before an operator is asked."""

from collections.abc import Sequence
from datetime import timedelta

from events.run import RunEvent, RunTaskCompleted, RunTaskStarted
from events.run_compensation import (
    RunCompensated,
    RunCompensationFailed,
    RunCompensationStarted,
    RunParked,
    RunTaskCompensated,
    RunTaskCompensating,
)
from events.run_parts import RunError, UndoingAwaited
from write_side.definition.values import below
from write_side.interpreter.doubt import can_be_undone, given_up
from write_side.interpreter.evolve import UNDOING
from write_side.interpreter.plan import COMPENSATE
from write_side.interpreter.scope import Run
from write_side.interpreter.state import ROOT, Node, Undoing, child_under_way

ATTEMPTS_MAX = 5
DELAY_S = 1.0
"""Before the second attempt; doubled for each one after it."""


def waited_for(run: Run) -> list[Node]:
    """The calls and processes under way whose tasks can be undone: they may take effect and cannot be called back.

    Agent tasks, jobs and approvals are cancelled instead, each in its own way. A child run is given up too, and told to undo itself;
    its parent waits for that when the child's turn comes.
    """
    return [
        node for node in run.state.nodes.values() if node.phase in ("awaiting", "answered") and can_be_undone(run, node)
    ]


def has_children(run: Run) -> bool:
    """Whether child runs are under way, which have to be undone."""
    return any(child_under_way(node) is not None for node in run.state.nodes.values())


def undo(run: Run, error: RunError | None) -> Sequence[RunEvent]:
    """Give up what is still open, and begin to undo what is done; but first of all wait for what may still be done."""
    waited = waited_for(run)
    for node in waited:
        if node.phase == "answered":
            return [RunTaskCompleted(task=node.task, output=node.answer, compensable=True)]
    kept = {node.task for node in waited}
    for node in waited:
        while node.parent > ROOT and node.parent not in kept:
            kept.add(node.parent)
            node = run.state.nodes[node.parent]
    for number in sorted(run.state.nodes, reverse=True):
        if number != ROOT and number not in kept and run.state.nodes[number].phase != "faulted":
            return [given_up(run, number)]
    return [] if waited else [RunCompensationStarted(error=error)]


def compensate(run: Run) -> Sequence[RunEvent]:
    """What happens next in the undoing, if that is not a matter of the tasks that undo."""
    undoing, state = run.state.undoing, run.state
    if undoing is None:
        if not state.done:
            return [RunCompensated(error=state.error)]
        return [RunTaskCompensating(task=state.begun + 1, of=state.done[-1].task, started_at=run.at)]
    if undoing.retry_at is not None:
        if undoing.retry_at > run.at:
            return []
        attempt = undoing.attempt + 1
        return [RunTaskCompensating(task=state.begun + 1, of=undoing.of.task, attempt=attempt, started_at=run.at)]
    if undoing.error is not None:
        return [RunParked(of=undoing.of.task, error=undoing.error)]
    node = state.nodes.get(undoing.task)
    if node is None:
        return [_started(run, undoing)]
    if node.phase == "answered" and node.closed:
        return [RunTaskCompensated(task=undoing.task, of=undoing.of.task)]
    return []


def _started(run: Run, undoing: Undoing) -> RunTaskStarted:
    return RunTaskStarted(
        task=undoing.task,
        parent=0,
        reference=below(undoing.of.reference, "metadata", COMPENSATE),
        name=undoing.of.name,
        kind=UNDOING,
        input=undoing.of.output,
        awaits=None if undoing.of.run_id is None else UndoingAwaited(run_id=undoing.of.run_id),
        started_at=run.at,
    )


def compensation_failed(run: Run, error: RunError) -> Sequence[RunEvent]:
    """It is tried again after a pause that doubles; after the last attempt it is for an operator to say what to do.

    A child run has tried as often as that by itself.
    """
    undoing = run.state.undoing
    assert undoing is not None
    for number in sorted(run.state.nodes, reverse=True):
        if number != undoing.task and run.state.nodes[number].phase != "faulted":
            return [given_up(run, number)]
    again = undoing.attempt < ATTEMPTS_MAX and undoing.of.run_id is None
    retry_at = run.at + timedelta(seconds=DELAY_S * 2 ** (undoing.attempt - 1)) if again else None
    return [
        RunCompensationFailed(
            task=undoing.task, of=undoing.of.task, attempt=undoing.attempt, error=error, retry_at=retry_at
        )
    ]
