"""How a task ends: with an output that is formed and checked, and after what extensions do behind it."""

from collections.abc import Sequence

from pydantic import JsonValue

from events.run import RunEvent, RunTaskAnswered, RunTaskCompleted
from write_side.definition.tasks import TaskBase
from write_side.interpreter.beginning import begin, extended
from write_side.interpreter.changed import replace
from write_side.interpreter.flow import END, next_place
from write_side.interpreter.plan import COMPENSATE, FUNCTIONS
from write_side.interpreter.scope import Run, check, formed, task_descriptor
from write_side.interpreter.state import Node, is_branch


def ending(run: Run, node: Node, raw: JsonValue, then: str | None = None) -> Sequence[RunEvent]:
    """A task has its raw output: extensions have their turn, and then it is done."""
    if node.reference.startswith(FUNCTIONS) or not run.plan.extensions:
        return [completed(run, node, raw, then)]
    if not node.answered:
        if next(extended(run, node, "after"), None) is None:
            return [completed(run, node, raw, then)]
        return [RunTaskAnswered(task=node.task, answer=raw, then=then)]
    for section in extended(run, node, "after"):
        place = next_place(run.plan, node, section)
        if isinstance(place, int):
            coming = node if section == node.section else replace(node, data=raw)
            return begin(run, coming, run.plan.lists[section][place])
        if place == END:
            return [completed(run, node, raw, END)]
    return [completed(run, node, raw, node.answered_then)]


def completed(run: Run, node: Node, raw: JsonValue, then: str | None) -> RunTaskCompleted:
    """A task is done: its output is formed and checked, and so is the context if it exports one. Raises Raised."""
    task: TaskBase = run.plan.tasks[node.reference].task
    output = raw
    more: dict[str, JsonValue] = {}
    if task.output is not None or task.export is not None:
        more = {"task": task_descriptor(run, node, raw)}
    if task.output is not None:
        output = formed(run, node, task.output.as_, raw, {**more, "output": raw})
        check(run, node, task.output.schema_, output, "output")
    exported, context = False, None
    if task.export is not None and task.export.as_ is not None:
        context = formed(run, node, task.export.as_, output, {**more, "output": output})
        check(run, node, task.export.schema_, context, "context")
        exported = True
    above = run.state.nodes.get(node.parent)
    if then is None and task.then == END and above is not None and is_branch(above, node.reference):
        # No list leads on from a branch: what it is part of is told.
        then = END
    return RunTaskCompleted(
        task=node.task,
        output=output,
        exported=exported,
        context=context,
        then=then,
        compensable=COMPENSATE in task.metadata,
    )


def answered(run: Run, node: Node, answer: JsonValue) -> RunEvent:
    """What a task waits for is there: it is done with that, or has still to form its output."""
    planned = run.plan.tasks.get(node.reference)
    plain = planned is not None and planned.task.output is None and planned.task.export is None
    if plain and not run.state.suspended and run.state.status == "running" and not run.plan.extensions:
        return completed(run, node, answer, None)
    return RunTaskAnswered(task=node.task, answer=answer)
