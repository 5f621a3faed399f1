"""What a task may have done although nobody has heard so: a call whose answer never came, came too late, or could not be used."""

from collections.abc import Sequence

from events.run import RunEvent, RunTaskCancelled, RunTaskFaulted
from events.run_parts import CallAwaited, ProcessAwaited
from write_side.interpreter.plan import COMPENSATE
from write_side.interpreter.scope import Run
from write_side.interpreter.state import Node


def can_be_undone(run: Run, node: Node) -> bool:
    """Whether a task calls something that may take effect and cannot be called back, and says how that is undone."""
    return _carries_out(run, node) and COMPENSATE in run.plan.tasks[node.reference].task.metadata


def _carries_out(run: Run, node: Node) -> bool:
    return isinstance(node.awaits, CallAwaited | ProcessAwaited) and node.reference in run.plan.tasks


def may_have_done(run: Run, node: Node) -> bool:
    """Whether a task that fails or is given up now leaves something behind: to be undone or, where it undoes, to be asked for again."""
    if node.phase not in ("awaiting", "answered") and not node.answered:
        return False
    return _carries_out(run, node) if run.state.status == "compensating" else can_be_undone(run, node)


def given_up(run: Run, task: int) -> RunTaskCancelled:
    """The end of a task that nobody waits for any more."""
    return RunTaskCancelled(task=task, in_doubt=may_have_done(run, run.state.nodes[task]) or None)


def given_up_below(run: Run, task: int) -> list[RunTaskCancelled]:
    """The end of all that is open below a task that ends itself, the latest first."""
    return [given_up(run, number) for number in run.state.below(task)]


def after_answer(run: Run, node: Node, events: Sequence[RunEvent]) -> Sequence[RunEvent]:
    """What follows from an answer: a task that fails since that cannot be used has done what it was to do."""
    if not any(isinstance(event, RunTaskFaulted) for event in events) or not may_have_done(run, node):
        return events
    return [
        event.model_copy(update={"in_doubt": True})
        if isinstance(event, RunTaskFaulted) and event.task == node.task
        else event
        for event in events
    ]
