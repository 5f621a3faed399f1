"""What is so after an event of a run that undoes what it did, or that goes on after it had failed."""

from collections.abc import Sequence
from typing import assert_never

from events.run_compensation import (
    RunCompensated,
    RunCompensationEvent,
    RunCompensationFailed,
    RunCompensationSkipped,
    RunCompensationStarted,
    RunFailing,
    RunParked,
    RunTaskCompensated,
    RunTaskCompensating,
)
from events.run_parts import Branch
from write_side.interpreter.changed import replace
from write_side.interpreter.state import NEVER, ROOT, Node, RunState, Undoing, is_branch


def compensation_changed(state: RunState, event: RunCompensationEvent) -> RunState:
    match event:
        case RunFailing(error=error):
            return replace(state, status="failing", error=error)
        case RunCompensationStarted(error=error):
            return replace(state, status="compensating", error=error, nodes={}, ready=(), suspended=False)
        case RunTaskCompensating(task=task, of=of, attempt=attempt):
            done = next(entry for entry in state.done if entry.task == of)
            doubts = {} if state.undoing is None else state.undoing.doubts
            return replace(state, begun=task, undoing=Undoing(done, task, attempt, doubts=doubts))
        case RunTaskCompensated(of=of) | RunCompensationSkipped(of=of):
            left = tuple(entry for entry in state.done if entry.task != of)
            return replace(state, status="compensating", done=left, undoing=None, nodes={}, ready=())
        case RunCompensationFailed(attempt=attempt, error=error, retry_at=retry_at):
            assert state.undoing is not None
            undoing = replace(state.undoing, attempt=attempt, error=error, retry_at=retry_at)
            return replace(state, undoing=undoing, nodes={}, ready=())
        case RunParked():
            return replace(state, status="parked")
        case RunCompensated():
            return replace(state, status="compensated", done=(), undoing=None, nodes={}, ready=(), inbox=())
        case _:
            assert_never(event)


def branches_lost(state: RunState) -> tuple[Branch, ...]:
    """The branches of races in which the last one has failed too: those are gone, since others were still in the race when they failed."""
    failed: dict[int, set[int]] = {}
    for node in state.nodes.values():
        above = state.nodes.get(node.parent) if node.phase == "faulted" else None
        while above is not None:
            if is_branch(above, node.reference):
                failed.setdefault(above.task, set()).add(node.place)
            node, above = above, state.nodes.get(above.parent)
    lost = [state.nodes[task] for task, places in failed.items() if state.nodes[task].children == len(places)]
    return tuple(
        Branch(task=fork.task, place=place)
        for fork in lost
        for place in range(fork.begun)
        if place not in fork.outputs and place not in failed[fork.task] and place not in fork.again
    )


def retried(state: RunState, again: Sequence[Branch]) -> RunState:
    """Tasks that failed begin again, with the input that they had, and these branches; a task that could not be undone is undone again."""
    if state.status == "parked":
        assert state.undoing is not None
        return replace(state, status="compensating", undoing=replace(state.undoing, attempt=0, retry_at=NEVER))
    state = replace(state, status="running", error=None)
    for branch in again:
        fork = state.nodes[branch.task]
        state = state.with_node(replace(fork, again=(*fork.again, branch.place), phase="ready"))
    for node in [node for node in state.nodes.values() if node.phase == "faulted"]:
        state = begin_again(state, node)
    return state


def begin_again(state: RunState, node: Node) -> RunState:
    """The task is begun anew by what it is part of, with what it was given; what comes before it in its list has led to it."""
    if node.task == ROOT:
        root = replace(node, phase="ready", error=None, prepared=False, section="", cursor=-1, then=None, outputs={})
        return replace(state, nodes={}, ready=()).with_node(root)
    parent = state.nodes[node.parent]
    state = state.without(node.task)
    children = parent.children - 1
    if is_branch(parent, node.reference):
        return state.with_node(replace(parent, children=children, again=(*parent.again, node.place), phase="ready"))
    before = replace(parent, children=children, cursor=node.place - 1, then="continue", data=node.raw, phase="ready")
    return state.with_node(before)
