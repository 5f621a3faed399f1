"""Decides what becomes of events and messages that are brought to a run: the tasks that wait for them take them."""

from collections.abc import Sequence

from events.run import RunEvent, RunTaskCancelled, RunTaskFaulted
from write_side.interpreter.bounds import within
from write_side.interpreter.doubt import given_up_below
from write_side.interpreter.errors import Raised
from write_side.interpreter.listening import CloudEvent, consumption, listeners, message_taken, subscription_over
from write_side.interpreter.scope import Run
from write_side.interpreter.state import Node
from write_side.run_commands import AnswerRunTask, DeliverRunMessage, FailRunTask


def delivered(run: Run, event: CloudEvent) -> list[RunEvent]:
    """What the tasks that listen make of an event that was published."""
    if run.state.status not in ("running", "compensating"):
        return []
    found: list[RunEvent] = []
    given_up: set[int] = set()
    for node in listeners(run):
        # What a task does with an event may listen as well, and ends with it.
        if node.task in given_up:
            continue
        taken = _taken(run, node, event)
        given_up.update(each.task for each in taken if isinstance(each, RunTaskCancelled))
        found += taken
    return found


def _taken(run: Run, node: Node, event: CloudEvent) -> Sequence[RunEvent]:
    try:
        consumed = consumption(run, node, event)
    except Raised as raised:
        return _after_all_below(run, node, [RunTaskFaulted(task=node.task, error=raised.error)])
    if consumed is None:
        return ()
    return _after_all_below(run, node, within([consumed], node.task, node.reference))


def subscribed(command: AnswerRunTask | FailRunTask | DeliverRunMessage, run: Run, node: Node) -> Sequence[RunEvent]:
    """What a task that takes messages one by one makes of the next, of their end, and of what ends them."""
    match command:
        case DeliverRunMessage(place=place, message=message):
            # What has been taken already is delivered again by whoever did not hear of it.
            found = within([message_taken(run, node, message)], node.task, node.reference)
            return _after_all_below(run, node, found) if place == len(node.consumed) else ()
        case AnswerRunTask():
            return [subscription_over(node)]
        case FailRunTask(error=error):
            failed = RunTaskFaulted(task=node.task, error=error.model_copy(update={"instance": node.reference}))
            return _after_all_below(run, node, [failed])


def _after_all_below(run: Run, node: Node, events: Sequence[RunEvent]) -> Sequence[RunEvent]:
    """What is done with an earlier event may be under way: a task that fails gives it up, so that others hear of it and it is undone."""
    if not any(isinstance(event, RunTaskFaulted) for event in events):
        return events
    return [*given_up_below(run, node.task), *events]
