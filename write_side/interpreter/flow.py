"""Where a list of tasks goes on after one of its tasks has ended."""

from write_side.interpreter.plan import Plan
from write_side.interpreter.state import Node

END = "end"
EXIT = "exit"
CONTINUE = "continue"


def next_place(plan: Plan, node: Node, section: str) -> int | str | None:
    """The place of the next task in a list, EXIT or END if a directive says so, None after the last."""
    listed = plan.lists[section]
    if node.section != section or node.cursor < 0:
        return 0 if listed else None
    if node.cursor >= len(listed):
        return None
    directive = node.then or plan.tasks[listed[node.cursor]].task.then or CONTINUE
    if directive in (END, EXIT):
        return directive
    if directive != CONTINUE:
        return plan.place_of(section, directive)
    return node.cursor + 1 if node.cursor + 1 < len(listed) else None
