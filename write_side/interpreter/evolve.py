"""What is so after an event of a run. Never evaluates, never rejects."""

from typing import assert_never

from pydantic import JsonValue, TypeAdapter

from events.run import (
    RunAdvanced,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunErrorCaught,
    RunEvent,
    RunEventConsumed,
    RunEventEmitted,
    RunEventReceived,
    RunFaulted,
    RunForked,
    RunInputFormed,
    RunIterationCompleted,
    RunIterationStarted,
    RunResumed,
    RunRetried,
    RunStarted,
    RunSuspended,
    RunTaskAnswered,
    RunTaskCancelled,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskPrepared,
    RunTaskRetried,
    RunTaskSkipped,
    RunTaskStarted,
)
from events.run_compensation import RunCompensationEvent
from events.run_parts import Awaited, EventsAwaited, ProcessAwaited, RunAwaited
from write_side.interpreter.asked_again import doubted, settled
from write_side.interpreter.changed import replace
from write_side.interpreter.fetched import fetched
from write_side.interpreter.progress import after_child, after_skip, place_in_list, with_child
from write_side.interpreter.state import (
    BLANK,
    DOCUMENT,
    ROOT,
    Done,
    Node,
    Phase,
    RunState,
    child_under_way,
)
from write_side.interpreter.undone import compensation_changed, retried

SNAPSHOT: TypeAdapter[RunState] = TypeAdapter(RunState)
"""A state as JSON, and back: of a forked run."""

UNDOING = "compensate"
"""The kind of a task that undoes another."""


def evolve(state: RunState, event: RunEvent) -> RunState:
    match event:
        case RunTaskStarted():
            return _started(state, event)
        case RunTaskCompleted():
            return _completed(state, event)
        case RunTaskAnswered() | RunTaskPrepared() | RunTaskFaulted() | RunErrorCaught() | RunTaskRetried():
            return _node_changed(state, event)
        case RunTaskCancelled():
            return _cancelled(state, event)
        case RunTaskSkipped(task=task, parent=parent, reference=reference, withdrawn=withdrawn):
            above = with_child(state.nodes[parent], reference)
            return state.with_node(after_skip(above, reference, withdrawn is True), begun=task)
        case RunIterationStarted() | RunIterationCompleted() | RunEventConsumed():
            return _round_changed(state, event)
        case RunEventEmitted(task=task):
            return state.with_node(_answered(state.nodes[task], event.event, None))
        case RunEventReceived(event=received):
            return _with_listeners_awake(replace(state, inbox=(*state.inbox, received)))
        case _:
            return _run_changed(state, event)


def _run_changed(
    state: RunState,
    event: RunStarted
    | RunForked
    | RunInputFormed
    | RunAdvanced
    | RunSuspended
    | RunResumed
    | RunCancelRequested
    | RunCompleted
    | RunFaulted
    | RunCancelled
    | RunRetried
    | RunCompensationEvent,
) -> RunState:
    match event:
        case RunStarted():
            root = Node(ROOT, -1, "", "", "run", raw=event.input, started_at=event.started_at)
            begun = RunState(
                "running",
                event.workflow_id,
                event.workflow_version,
                event.digest,
                event.started_at,
                event.parent,
                event.input,
            )
            return _with_input(begun, root, event.input) if event.going else begun.with_node(root)
        case RunForked():
            return SNAPSHOT.validate_python(event.state)
        case RunInputFormed(input=formed):
            return _with_input(state, state.nodes[ROOT], formed)
        case RunAdvanced():
            return state
        case RunSuspended():
            return replace(state, suspended=True)
        case RunResumed():
            return replace(state, suspended=False)
        case RunCancelRequested(compensate=compensate, reason=reason):
            return replace(state, status="cancelling", compensate=compensate, reason=reason, suspended=False)
        case RunCompleted():
            return replace(state, status="completed", nodes={}, ready=(), inbox=())
        case RunFaulted(error=error):
            return replace(state, status="faulted", error=error)
        case RunCancelled():
            return replace(state, status="cancelled", nodes={}, ready=(), inbox=(), done=())
        case RunRetried(again=again):
            return retried(state, again or ())
        case _:
            return compensation_changed(state, event)


def _with_input(state: RunState, root: Node, formed: JsonValue) -> RunState:
    """A run whose first task can begin."""
    return replace(state, context=formed).with_node(replace(root, input=formed, data=formed, prepared=True))


def _started(state: RunState, event: RunTaskStarted) -> RunState:
    undoing = event.kind == UNDOING
    parent = None if undoing else state.nodes.get(event.parent)
    node = replace(
        BLANK,
        task=event.task,
        parent=-1 if parent is None else event.parent,
        reference=event.reference,
        name=event.name,
        kind=event.kind,
        raw=event.input if parent is None or event.reference.startswith("/use/") else parent.data,
        input=event.input,
        started_at=event.started_at,
        phase=_phase(state, event.awaits),
        place=place_in_list(event.reference),
        data=event.input,
        prepared=event.prepared,
        items=None if event.items is None else tuple(event.items),
        awaits=event.awaits,
    )
    begun = max(state.begun, event.task)
    if parent is None:
        return state.with_node(node, begun=begun)
    return state.with_node(node, with_child(parent, event.reference), begun=begun)


def _phase(state: RunState, awaits: Awaited | None) -> Phase:
    if awaits is None or (state.inbox and isinstance(awaits, EventsAwaited)):
        return "ready"
    if isinstance(awaits, RunAwaited | ProcessAwaited) and not awaits.awaited:
        return "ready"
    return "awaiting"


def _answered(node: Node, answer: JsonValue, then: str | None) -> Node:
    ended = replace(node, section="", cursor=-1, then=None, phase="answered")
    return replace(ended, prepared=True, answered=True, answer=answer, answered_then=then)


def _completed(state: RunState, event: RunTaskCompleted) -> RunState:
    node = state.nodes[event.task]
    if node.kind == DOCUMENT:
        return fetched(state, node, event.output)
    if state.status == "compensating":
        state = settled(state, node)  # What undoes a task is not undone itself.
    elif node.awaits is not None and isinstance(node.awaits, RunAwaited) and node.awaits.awaited:
        state = _remember(state, node, event.output, node.awaits.run_id)
    elif event.compensable:
        state = _remember(state, node, event.output, None)
    if event.exported:
        state = replace(state, context=event.context)
    parent = state.nodes.get(node.parent)
    if parent is None:
        return state.with_node(replace(node, phase="answered", closed=True))
    ended = after_child(parent, node.reference, event.output, event.then)
    return state.with_node(ended, gone=(event.task,))


def _remember(state: RunState, node: Node, output: JsonValue, run_id: str | None) -> RunState:
    entry = Done(node.task, node.reference, node.name, node.input, output, run_id)
    return replace(state, done=(*state.done, entry))


def _in_doubt(state: RunState, node: Node) -> RunState:
    """What may have taken effect counts as done; where a task is undone, it is asked for again as what it was."""
    return doubted(state, node) if state.status == "compensating" else _remember(state, node, None, None)


def _cancelled(state: RunState, event: RunTaskCancelled) -> RunState:
    node = state.nodes.get(event.task)
    if node is None:
        return state
    if event.in_doubt:
        state = _in_doubt(state, node)
    state = state.without(event.task)
    child_id = child_under_way(node)
    if child_id is not None and state.status != "compensating":
        state = _remember(state, node, None, child_id)
    parent = state.nodes.get(node.parent)
    if parent is None or parent.kind != "fork":
        return state
    return state.with_node(replace(parent, children=parent.children - 1, error=node.error or parent.error))


def _node_changed(
    state: RunState, event: RunTaskAnswered | RunTaskPrepared | RunTaskFaulted | RunErrorCaught | RunTaskRetried
) -> RunState:
    node = state.nodes[event.task]
    match event:
        case RunTaskAnswered(answer=answer, then=then):
            return state.with_node(_answered(node, answer, then))
        case RunTaskPrepared(items=items, awaits=awaits):
            phase = _phase(state, awaits)
            places = None if items is None else tuple(items)
            again = replace(node, prepared=True, section="", cursor=-1, then=None, data=node.input)
            return state.with_node(replace(again, phase=phase, items=places, awaits=awaits))
        case RunTaskFaulted(error=error, given_up=given_up, in_doubt=in_doubt):
            state = _in_doubt(state, node) if in_doubt else settled(state, node)
            left = state.without(*state.below(event.task))
            if given_up is not None and state.status != "compensating":
                left = _remember(left, node, None, given_up)
            return left.with_node(replace(node, phase="faulted", error=error, children=0))
        case RunErrorCaught(error=error, attempt=attempt, retry_at=retry_at):
            left = state.without(*state.below(event.task))
            caught = replace(node, attempt=attempt, error=error, retry_at=retry_at, data=node.input, children=0)
            section = "" if retry_at is not None else node.reference + "/catch/do"
            return left.with_node(
                replace(
                    caught,
                    section=section,
                    cursor=-1,
                    then=None,
                    phase="ready" if retry_at is None else "delayed",
                )
            )
        case RunTaskRetried(attempt=attempt):
            return state.with_node(
                replace(node, attempt=attempt, phase="ready", retry_at=None, section="", cursor=-1, then=None)
            )
        case _:
            assert_never(event)


def _round_changed(state: RunState, event: RunIterationStarted | RunIterationCompleted | RunEventConsumed) -> RunState:
    node = state.nodes[event.task]
    match event:
        case RunIterationStarted(index=index):
            item = replace(node, index=index, section="", cursor=-1, then=None, phase="ready")
            # A loop hands its data from round to round; each round of what listens begins with its input.
            return state.with_node(item if node.kind == "for" else replace(item, data=node.input))
        case RunIterationCompleted(index=index, output=output, exported=exported, context=context):
            outputs = {**node.outputs, index: output}
            state = replace(state, context=context) if exported else state
            return state.with_node(replace(node, outputs=outputs, section="", cursor=-1, then=None, phase="ready"))
        case RunEventConsumed():
            taken = node if event.closing else replace(node, consumed=(*node.consumed, event.item))
            taken = replace(
                taken,
                matched=node.matched | {event.filter},
                correlations={**node.correlations, **event.correlations},
                closed=event.closed,
                phase="blocked" if node.children else "ready",
            )
            inbox = state.inbox
            if event.received is not None:
                inbox = (*inbox[: event.received], *inbox[event.received + 1 :])
            return replace(state, inbox=inbox).with_node(taken)
        case _:
            assert_never(event)


def _with_listeners_awake(state: RunState) -> RunState:
    for node in [node for node in state.nodes.values() if isinstance(node.awaits, EventsAwaited)]:
        if node.phase == "awaiting":
            state = state.with_node(replace(node, phase="ready"))
    return state
