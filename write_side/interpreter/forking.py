"""How a run is forked: with what another one knew when a task of it had completed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import JsonValue

from events.run import RunEvent, RunForked, RunStarted, RunTaskCompleted, RunTaskStarted
from events.run_parts import CallAwaited, Deadline
from write_side.interpreter.evolve import evolve
from write_side.interpreter.sealing import takes_more
from write_side.interpreter.state import DOCUMENT, ROOT, Node, RunState
from write_side.interpreter.undone import begin_again


def state_after(history: Sequence[RunEvent], task: int) -> RunState | None:
    """What was known of a run when a task had just completed, None if that never was so while it ran; with task 0, when it had started.

    One that only fetched what another needs is none of the definition's, and has no output to go on from.
    """
    state = RunState()
    for event in history:
        is_it = isinstance(event, RunTaskCompleted) and event.task == task and state.nodes[task].kind != DOCUMENT
        state = evolve(state, event)
        if task == ROOT or is_it:
            return state if state.status == "running" else None
    return None


def forked(state: RunState, output: JsonValue, task: int, parent: int | None) -> RunState:
    """The state that a fork begins with: `output` in place of the task's own unless it is None, and what waits begins anew."""
    state = replace(state, parent=None, done=(), inbox=(), suspended=False)
    if output is not None and task == ROOT:
        root = replace(state.nodes[ROOT], raw=output)
        state = replace(state, input=output).with_node(root)
    elif output is not None and parent is not None and parent in state.nodes:
        state = state.with_node(_with_output(state, parent, output))
    for node in [node for node in state.nodes.values() if isinstance(node.awaits, CallAwaited) and takes_more(node)]:
        # Nobody takes messages for this run: the subscription begins anew with it.
        if node.task in state.nodes:
            state = state.without(*state.below(node.task)).with_node(replace(node, phase="awaiting"))
    for node in [node for node in state.nodes.values() if node.phase in ("awaiting", "delayed")]:
        if node.task in state.nodes and node.parent in state.nodes:
            state = begin_again(state, node)
    return state


def deadlines(history: Sequence[RunEvent], begun: RunState, at: datetime) -> tuple[Deadline, ...] | None:
    """Those of a run that is forked now and of what is open in it, None if there are none: each has as long as it had at first."""
    lengths: dict[int, timedelta] = {}
    for event in history:
        match event:
            case RunStarted(times_out_at=datetime() as due_at, started_at=started_at):
                lengths[ROOT] = due_at - started_at
            case RunTaskStarted(task=task, times_out_at=datetime() as due_at, started_at=started_at):
                lengths[task] = due_at - started_at
            case RunForked(deadlines=known, started_at=started_at):
                lengths |= {each.task: each.at - started_at for each in known or ()}
            case _:
                pass
    return tuple(Deadline(task=task, at=at + lengths[task]) for task in begun.nodes if task in lengths) or None


def _with_output(state: RunState, parent: int, output: JsonValue) -> Node:
    node = state.nodes[parent]
    if node.kind == "fork" and node.outputs:
        last = [*node.outputs][-1]
        return replace(node, outputs={**node.outputs, last: output})
    return replace(node, data=output)
