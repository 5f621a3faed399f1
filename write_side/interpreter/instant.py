"""What tasks that need nothing from outside come to: the case of a switch, an error that is raised, an event that is emitted."""

from pydantic import JsonValue

from events.run_parts import RunError
from infra.expressions.template import as_text
from write_side.definition.errors import ErrorDefinition
from write_side.definition.tasks import SwitchTask
from write_side.interpreter.errors import Raised, standard
from write_side.interpreter.scope import Run, date_time, filled, holds
from write_side.interpreter.state import Node


def chosen_case(run: Run, node: Node, task: SwitchTask) -> str | None:
    """Where the first case that holds leads, else the default one; None if there is none. Raises Raised."""
    default: str | None = None
    for entry in task.switch:
        for case in entry.values():
            if case.when is None:
                default = case.then
            elif holds(run, node, case.when, node.input):
                return case.then
    return default


def raised_error(run: Run, node: Node, error: ErrorDefinition | str) -> RunError:
    """The error that a task raises. Raises Raised."""
    if isinstance(error, str):
        error = run.plan.definition.use.errors[error]
    given = filled(run, node, error.model_dump(exclude_none=True), node.input)
    assert isinstance(given, dict)
    type_, status, instance = given["type"], given.get("status"), given.get("instance")
    if not isinstance(type_, str):
        raise Raised(standard("expression", "the type of the error is no text", node.reference))
    return RunError(
        type=type_,
        status=int(status) if isinstance(status, int | float) else 500,
        title=_text(given.get("title")),
        detail=_text(given.get("detail")),
        instance=as_text(instance) or node.reference,
    )


def _text(value: JsonValue) -> str | None:
    return None if value is None else as_text(value)


def emitted_event(run: Run, node: Node) -> dict[str, JsonValue]:
    """A CloudEvent; what its author leaves out is the run's to say, but for the type. Raises Raised."""
    words = run.plan.tasks[node.reference].words["emit"]
    template = words["event"].get("with", {}) if isinstance(words, dict) and isinstance(words["event"], dict) else {}
    given = filled(run, node, template, node.input)
    assert isinstance(given, dict)
    if not isinstance(given.get("type"), str) or not given["type"]:
        raise Raised(standard("expression", "the type of the event is no text", node.reference))
    document = run.plan.definition.document
    return {
        "specversion": "1.0",
        "id": as_text(given.pop("id", None)) or f"{run.run_id}.{node.task}",
        "source": as_text(given.pop("source", None)) or f"/{document.namespace}/{document.name}/{document.version}",
        "time": _iso(run),
        **{name: value for name, value in given.items() if value is not None},
    }


def _iso(run: Run) -> JsonValue:
    described = date_time(run.at)
    assert isinstance(described, dict)
    return described["iso8601"]
