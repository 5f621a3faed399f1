"""What an expression of a run can see, and how one is evaluated."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version

from pydantic import JsonValue

from infra.expressions.durations import seconds_of
from infra.expressions.equality import is_so
from infra.expressions.failure import ExpressionFailed
from infra.expressions.program import evaluate
from infra.expressions.schema import violations
from infra.expressions.template import fill, strip
from write_side.definition.elsewhere import uri_of
from write_side.definition.errors import Catch
from write_side.definition.events import SubscriptionIterator
from write_side.definition.resources import DataSchema
from write_side.definition.tasks import CallAsyncApi, ForTask, ListenTask, TaskBase, TryTask
from write_side.definition.values import InlineDuration, Timeout
from write_side.interpreter.bounds import storable
from write_side.interpreter.errors import Raised, standard
from write_side.interpreter.plan import Plan
from write_side.interpreter.state import EXTENSIONS, Node, RunState

RUNTIME: dict[str, JsonValue] = {"name": "Foldwork", "version": version("foldwork"), "metadata": {}}
DURATION_S_MAX = 10 * 365 * 86_400
_MISSING = object()


@dataclass(frozen=True)
class Run:
    """A run at a moment: what is known of it, its plan, and the time."""

    run_id: str
    state: RunState
    plan: Plan
    at: datetime


class Scope(Mapping[str, JsonValue]):
    """The variables of expressions of one task, found when they are asked for. `more` go before all others."""

    def __init__(self, run: Run, node: Node, more: Mapping[str, JsonValue] | None = None) -> None:
        self._run = run
        self._node = node
        self._more = more or {}

    def __getitem__(self, name: str) -> JsonValue:
        if name in self._more:
            return self._more[name]
        node = self._below()
        while node is not None:
            found = _of_node(self._run, node, name)
            if found is not _MISSING:
                return found  # type: ignore[return-value]  # what is not missing is JSON
            node = self._run.state.nodes.get(node.parent)
        return self._general(name)

    def _below(self) -> Node | None:
        """The first node that can give names here: those of a loop or a try are for the tasks below it, not for its own output."""
        node = self._node
        return self._run.state.nodes.get(node.parent) if node.kind in ("for", "try") else node

    def _general(self, name: str) -> JsonValue:
        state, node = self._run.state, self._node
        match name:
            case "context":
                return state.context
            case "input":
                return node.input
            case "task":
                return task_descriptor(self._run, node, None)
            case "workflow":
                return {
                    "id": self._run.run_id,
                    "definition": self._run.plan.document,
                    "input": state.input,
                    "startedAt": date_time(state.started_at),
                }
            case "runtime":
                return RUNTIME
            case "compensated" if state.undoing is not None:
                return {"input": state.undoing.of.input, "output": state.undoing.of.output}
            case _:
                raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys(("context", "input", "task", "workflow", "runtime", *self._more))
        if self._run.state.undoing is not None:
            names["compensated"] = None
        node = self._below()
        while node is not None:
            names.update(dict.fromkeys(_names_of(self._run, node)))
            node = self._run.state.nodes.get(node.parent)
        return iter(names)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _rounds(run: Run, node: Node) -> SubscriptionIterator | None:
    task = run.plan.tasks[node.reference].task if node.reference in run.plan.tasks else None
    return iterator_of(task) if task is not None else None


def iterator_of(task: TaskBase) -> SubscriptionIterator | None:
    """What a task does with each event or message, if it does that one by one."""
    if isinstance(task, CallAsyncApi):
        return task.with_.subscription.foreach if task.with_.subscription is not None else None
    return task.foreach if isinstance(task, ListenTask) else None


def _catch(run: Run, node: Node) -> Catch | None:
    if node.kind != "try" or node.error is None:
        return None
    if not node.answered and node.section != node.reference + "/catch/do":
        return None  # What is tried again does not see why.
    task = run.plan.tasks[node.reference].task
    return task.catch if isinstance(task, TryTask) else None


def _names_of(run: Run, node: Node) -> tuple[str, ...]:
    if node.kind == "for" and node.index >= 0:
        task = run.plan.tasks[node.reference].task
        assert isinstance(task, ForTask)
        return task.for_.each, task.for_.at
    if node.kind in ("listen", "call") and node.index >= 0 and (rounds := _rounds(run, node)):
        return rounds.item, rounds.at
    catch = _catch(run, node)
    return (catch.as_,) if catch else ()


def _of_node(run: Run, node: Node, name: str) -> object:
    if name not in _names_of(run, node):
        return _MISSING
    if node.kind == "try":
        assert node.error is not None
        return node.error.model_dump(exclude_none=True)
    if name == _names_of(run, node)[1]:
        return node.index
    return (node.items or node.consumed)[node.index]


def task_descriptor(run: Run, node: Node, output: JsonValue) -> JsonValue:
    """What `$task` is: to what extensions do around a task, that task."""
    while node.reference.startswith(EXTENSIONS) and node.parent in run.state.nodes:
        node = run.state.nodes[node.parent]
    planned = run.plan.tasks.get(node.reference)
    words = planned.words if planned else {}
    return {
        "name": node.name,
        "reference": node.reference,
        "definition": words,
        "input": node.raw,
        "output": output,
        "startedAt": date_time(node.started_at),
    }


def date_time(moment: datetime) -> JsonValue:
    """A moment as the specification's descriptor of one."""
    milliseconds = int(moment.timestamp() * 1_000)
    return {
        "iso8601": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "epoch": {"seconds": milliseconds // 1_000, "milliseconds": milliseconds},
    }


def yielded(
    run: Run, node: Node, expression: str, value: JsonValue, more: Mapping[str, JsonValue] | None = None
) -> JsonValue:
    """What an expression yields, with or without its braces. Raises Raised."""
    try:
        return storable(evaluate(strip(expression), value, Scope(run, node, more)), node.reference)
    except ExpressionFailed as failed:
        raise Raised(standard("expression", str(failed), node.reference)) from None


def holds(run: Run, node: Node, expression: str, value: JsonValue, more: Mapping[str, JsonValue] | None = None) -> bool:
    """Whether a condition holds, as jq has it: anything but false and null. Raises Raised."""
    return is_so(yielded(run, node, expression, value, more))


def filled(
    run: Run, node: Node, template: JsonValue, value: JsonValue, more: Mapping[str, JsonValue] | None = None
) -> JsonValue:
    """Data of the author's with its expressions evaluated. Raises Raised."""
    scope = Scope(run, node, more)
    loose = run.plan.definition.evaluate.mode == "loose"
    try:
        found = fill(template, lambda program: evaluate(program, value, scope), loose=loose)
        return storable(found, node.reference)
    except ExpressionFailed as failed:
        raise Raised(standard("expression", str(failed), node.reference)) from None


def formed(
    run: Run,
    node: Node,
    transformation: str | dict[str, JsonValue] | None,
    value: JsonValue,
    more: Mapping[str, JsonValue] | None = None,
) -> JsonValue:
    """Data after a transformation: an expression, or an object that holds some. Raises Raised."""
    if transformation is None:
        return value
    if isinstance(transformation, str):
        return yielded(run, node, transformation, value, more)
    return filled(run, node, transformation, value, more)


def check(run: Run, node: Node, schema: DataSchema | None, value: JsonValue, what: str) -> None:
    """Raises Raised where data is not what its schema says. One that lies elsewhere was fetched before the task began."""
    if schema is None:
        return
    known = schema.document if schema.resource is None else run.state.schemas[uri_of(schema.resource.endpoint)]
    try:
        found = violations(known, value)
    except ExpressionFailed as failed:
        raise Raised(standard("configuration", str(failed), node.reference)) from None
    if found:
        raise Raised(standard("validation", f"{what}: {'; '.join(found)}"[:4_000], node.reference))


def seconds(
    run: Run,
    node: Node,
    duration: InlineDuration | str,
    value: JsonValue,
    more: Mapping[str, JsonValue] | None = None,
) -> float:
    """How long a duration is. Raises Raised."""
    if isinstance(duration, InlineDuration):
        found = duration.in_seconds(DURATION_S_MAX)
    else:
        text = yielded(run, node, duration, value, more) if duration.lstrip().startswith("${") else duration
        try:
            found = seconds_of(str(text))
        except ValueError:
            raise Raised(standard("expression", f"{str(text)[:100]!r} is not a duration", node.reference)) from None
    return min(max(found, 0.0), DURATION_S_MAX)


def moment_after(run: Run, node: Node, duration: InlineDuration | str, value: JsonValue) -> datetime:
    """When a duration that begins now ends. Raises Raised."""
    return run.at + timedelta(seconds=seconds(run, node, duration, value))


def deadline(run: Run, node: Node, timeout: Timeout | str | None, value: JsonValue) -> datetime | None:
    """When a task, or the run, has taken too long. Raises Raised."""
    found = run.plan.timeout_of(timeout)
    return None if found is None else moment_after(run, node, found.after, value)


_REGEX_MARK = re.compile(r"[\\^$*+?{}\[\]|()]")


def fits(text: str, pattern: str) -> bool:
    """Whether a text is this one, or matches it as a whole where it is a regular expression."""
    if text == pattern:
        return True
    if not _REGEX_MARK.search(pattern):
        return False
    try:
        return evaluate("test($pattern)", text, {"pattern": f"^(?:{pattern})$"}) is True
    except ExpressionFailed:
        return False
