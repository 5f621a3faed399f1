"""What a task needs that lies elsewhere: it is fetched first, by a task of its own, and only once in a run."""

from collections.abc import Sequence

from events.run import RunTaskStarted
from events.run_parts import DocumentsAwaited
from write_side.definition.elsewhere import Resource
from write_side.definition.values import below
from write_side.interpreter.plan import FUNCTIONS
from write_side.interpreter.scope import Run
from write_side.interpreter.state import DOCUMENT, ROOT, Node


def fetch_schemas(run: Run, parent: Node, reference: str, name: str) -> RunTaskStarted | None:
    """The task that fetches the schemas of a task, or with no reference of the workflow; None if all of them are here."""
    missing = [each.address for each in _schemas(run, reference) if each.address not in run.state.schemas]
    if not missing:
        return None
    return _fetch(run, parent, reference, name, DocumentsAwaited(of="schemas", addresses=tuple(missing)))


def fetch_function(run: Run, node: Node) -> RunTaskStarted:
    """The task that fetches the function that a task calls."""
    function = run.plan.tasks[node.reference].function
    assert function is not None
    awaits = DocumentsAwaited(of="function", addresses=(function.address,))
    return _fetch(run, node, below(FUNCTIONS, function.address), node.name, awaits)


def _fetch(run: Run, parent: Node, reference: str, name: str, awaits: DocumentsAwaited) -> RunTaskStarted:
    return RunTaskStarted(
        task=run.state.begun + 1,
        parent=parent.task,
        reference=reference,
        name=name,
        kind=DOCUMENT,
        input=parent.data,
        awaits=awaits,
        started_at=run.at,
    )


def resources(run: Run, node: Node) -> Sequence[Resource]:
    """What a task that fetches has to fetch."""
    assert isinstance(node.awaits, DocumentsAwaited)
    function = None
    if node.awaits.of == "function":
        function = run.plan.tasks[run.state.nodes[node.parent].reference].function
    found = _schemas(run, node.reference) if function is None else (function,)
    return [each for each in found if each.address in node.awaits.addresses]


def place_of(run: Run, node: Node) -> str:
    """The reference of the task that needs what a task fetches."""
    assert isinstance(node.awaits, DocumentsAwaited)
    caller = run.state.nodes[node.parent]
    return caller.reference if node.awaits.of == "function" and caller.task != ROOT else node.reference


def is_fetched(run: Run, node: Node) -> bool:
    """Whether others wrote this task: it is part of a function that was fetched."""
    places = [below(FUNCTIONS, address) for address in run.state.functions]
    return any(node.reference == place or node.reference.startswith(place + "/") for place in places)


def _schemas(run: Run, reference: str) -> Sequence[Resource]:
    return run.plan.tasks[reference].schemas if reference else run.plan.schemas
