"""Under which key a call is asked for again when a task is undone anew: one that may have been done has the key that it had before."""

from write_side.interpreter.changed import replace
from write_side.interpreter.state import Node, RunState


def key_of(state: RunState, task: int) -> int:
    """The number of the task whose key a call has: its own, unless it was asked for before and nobody knows what came of that."""
    if state.undoing is None or not state.undoing.doubts:
        return task
    return state.undoing.doubts.get(_place(state, state.nodes[task]), task)


def doubted(state: RunState, node: Node) -> RunState:
    """After a call of an undoing ended without an answer."""
    if state.undoing is None:
        return state
    doubts = {_place(state, node): node.task, **state.undoing.doubts}
    return replace(state, undoing=replace(state.undoing, doubts=doubts))


def settled(state: RunState, node: Node) -> RunState:
    """After a call of an undoing was answered: what is called there from now on is another one."""
    if state.undoing is None or not state.undoing.doubts:
        return state
    place = _place(state, node)
    left = {other: task for other, task in state.undoing.doubts.items() if other != place}
    return replace(state, undoing=replace(state.undoing, doubts=left))


def _place(state: RunState, node: Node) -> str:
    """Where a task is in its definition, and in which rounds of the loops around it."""
    found, above = node.reference, state.nodes.get(node.parent)
    while above is not None:
        if above.index >= 0:
            found += f" {above.index}"
        above = state.nodes.get(above.parent)
    return found
