"""Where a task stands in its lists, as those below it begin and end."""

from pydantic import JsonValue

from write_side.interpreter.changed import replace
from write_side.interpreter.state import Node, is_branch


def with_child(parent: Node, reference: str) -> Node:
    """What a task is once one below it has begun; a fork may have more to begin."""
    if not is_branch(parent, reference):
        return replace(parent, section=section_of(reference), children=1, phase="blocked")
    place = place_in_list(reference)
    if place in parent.again:
        return replace(parent, children=parent.children + 1, again=tuple(at for at in parent.again if at != place))
    return replace(parent, children=parent.children + 1, begun=parent.begun + 1)


def section_of(reference: str) -> str:
    """The pointer to the list that a task stands in."""
    return reference.rsplit("/", 2)[0]


def place_in_list(reference: str) -> int:
    place = reference.rsplit("/", 2)[-2] if "/" in reference else ""
    return int(place) if place.isdigit() else 0


def after_child(parent: Node, reference: str, output: JsonValue, then: str | None) -> Node:
    """What a task is after one of those below it has ended."""
    place, children = place_in_list(reference), parent.children - 1
    if is_branch(parent, reference):
        outputs = {**parent.outputs, place: output}
        then = then if then == "end" else parent.then
        return replace(parent, children=children, outputs=outputs, then=then, phase="ready")
    section = section_of(reference)
    return replace(parent, children=children, section=section, cursor=place, then=then, data=output, phase="ready")


def after_skip(parent: Node, reference: str, withdrawn: bool) -> Node:
    """What a task is after one of those below it was skipped; a race goes on without that branch."""
    if withdrawn:
        return replace(parent, children=parent.children - 1, phase="ready")
    return after_child(parent, reference, parent.data, "continue")
