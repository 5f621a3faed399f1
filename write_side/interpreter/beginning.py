"""How a task begins: whether it does, what it is given, and what it waits for."""

from collections.abc import Iterator, Sequence

from pydantic import JsonValue, TypeAdapter, ValidationError

from events.run import RunEvent, RunTaskFaulted, RunTaskSkipped, RunTaskStarted
from events.run_parts import (
    Awaited,
    CallAwaited,
    EventsAwaited,
    JobAwaited,
    ProcessAwaited,
    RunAwaited,
    TimerAwaited,
)
from write_side.definition.document import Extension
from write_side.definition.runs import Run as RunWhat
from write_side.definition.tasks import ForkTask, ForTask, ListenTask, RunTask, TaskBase, WaitTask
from write_side.interpreter.asked import addressed, arguments, container_request, places_of, seals_input
from write_side.interpreter.bounds import CALLS_DEEP_MAX, RUN_ID_CHARACTERS_MAX, require_room, unstorable
from write_side.interpreter.changed import replace
from write_side.interpreter.documents import fetch_schemas
from write_side.interpreter.errors import Raised, standard
from write_side.interpreter.listening import types_of
from write_side.interpreter.plan import FUNCTIONS, PlannedTask
from write_side.interpreter.scope import Run, check, deadline, filled, formed, holds, moment_after, yielded
from write_side.interpreter.state import BLANK, EXTENSIONS, Node, is_branch

LATEST = "latest"
_AWAITED: TypeAdapter[Awaited] = TypeAdapter(Awaited)
_COMPOSITE = {"do": "composite"}


def begin(run: Run, parent: Node, reference: str) -> Sequence[RunEvent]:
    """A task below another one begins, is skipped, or fails before it has done anything."""
    planned = run.plan.tasks[reference]
    task, number = planned.task, run.state.begun + 1
    node = replace(
        BLANK,
        task=number,
        parent=parent.task,
        reference=reference,
        name=planned.name,
        kind=planned.kind,
        raw=parent.data,
        input=parent.data,
        started_at=run.at,
        data=parent.data,
    )
    is_prepared, items, awaits, times_out_at, failed = False, None, None, None, list[RunEvent]()
    try:
        _require_depth(run, node)
        if task.if_ is not None and not holds(run, node, task.if_, node.raw):
            return [_skipped(run, node, parent)]
        if planned.schemas and (fetching := fetch_schemas(run, parent, reference, planned.name)):
            return [fetching]
        node = _with_input(run, node, task)
        due_at = deadline(run, node, task.timeout, node.input)
        if is_prepared := next(extended(run, node, "before"), None) is None:
            items, awaits = prepared(run, node, planned)
        times_out_at = due_at
    except Raised as raised:
        # Not prepared: cut here, it finds its fault again.
        is_prepared, failed = False, [RunTaskFaulted(task=number, error=raised.error)]
    started = RunTaskStarted(
        task=number,
        parent=parent.task,
        reference=reference,
        name=planned.name,
        kind=planned.kind,
        input=node.input,
        items=items,
        awaits=awaits,
        prepared=is_prepared,
        started_at=run.at,
        times_out_at=times_out_at,
    )
    return [started, *failed]


def _skipped(run: Run, node: Node, parent: Node) -> RunTaskSkipped:
    withdrawn = None
    if is_branch(parent, node.reference):
        fork = run.plan.tasks[parent.reference].task
        withdrawn = (isinstance(fork, ForkTask) and fork.fork.compete) or None
    return RunTaskSkipped(
        task=node.task, parent=parent.task, reference=node.reference, name=node.name, withdrawn=withdrawn
    )


def check_beginning(run: Run, node: Node, task: TaskBase) -> None:
    """Raises Raised where a task that has begun could not have."""
    given = replace(node, input=node.raw)
    _require_depth(run, node)
    if task.if_ is not None:
        holds(run, given, task.if_, node.raw)
    given = _with_input(run, given, task)
    deadline(run, given, task.timeout, given.input)


def _require_depth(run: Run, node: Node) -> None:
    """Raises Raised where functions call each other too deeply."""
    if not node.reference.startswith(FUNCTIONS):
        return
    depth, above = 1, run.state.nodes.get(node.parent)
    while above is not None:
        depth += above.reference.startswith(FUNCTIONS)
        above = run.state.nodes.get(above.parent)
    if depth > CALLS_DEEP_MAX:
        raise Raised(standard("runtime", f"functions call each other more than {CALLS_DEEP_MAX} deep", node.reference))


def _with_input(run: Run, node: Node, task: TaskBase) -> Node:
    if task.input is None:
        return node
    check(run, node, task.input.schema_, node.raw, "input")
    if seals_input(task):
        return node
    given = formed(run, node, task.input.from_, node.raw)
    return replace(node, input=given, data=given)


def extended(run: Run, node: Node, when: str) -> Iterator[str]:
    """The lists of tasks that extensions have done before or after this task, from the one that it is at; none for their own tasks.

    Whether one extends the task is asked when its turn has come. Raises Raised.
    """
    if not run.plan.extensions or _is_of_extension(run, node):
        return
    lists = [(place + "/" + when, extension) for place, extension in run.plan.extensions]
    at = next((number for number, (section, _) in enumerate(lists) if section == node.section), 0)
    for section, extension in lists[at:]:
        if run.plan.lists[section] and (section == node.section or _extends(run, node, extension)):
            yield section


def _is_of_extension(run: Run, node: Node) -> bool:
    """Whether a task is one that an extension does, also within a function that it calls."""
    above: Node | None = node
    while above is not None:
        if above.reference.startswith(EXTENSIONS):
            return True
        above = run.state.nodes.get(above.parent)
    return False


def _extends(run: Run, node: Node, extension: Extension) -> bool:
    if extension.extend not in ("all", _COMPOSITE.get(node.kind, node.kind)):
        return False
    return extension.when is None or holds(run, node, extension.when, node.input)


def prepared(run: Run, node: Node, planned: PlannedTask) -> tuple[list[JsonValue] | None, Awaited | None]:
    """What a loop goes through or a fork does, and what a task waits for. Raises Raised."""
    try:
        items, awaits = _prepared(run, node, planned)
    except ValidationError as refused:
        raise Raised(unstorable(refused, node.reference)) from None
    if items is not None or awaits is not None:
        require_room(node.reference, node.input, items, awaits)
    return items, awaits


def _prepared(run: Run, node: Node, planned: PlannedTask) -> tuple[list[JsonValue] | None, Awaited | None]:
    match planned.task:
        case ForTask(for_=loop):
            over = loop.in_
            found = (
                yielded(run, node, over, node.input)
                if isinstance(over, str)
                else filled(run, node, [*over], node.input)
            )
            if found is not None and not isinstance(found, list):
                raise Raised(standard("expression", "for.in must yield a list", node.reference))
            return list(found or []), None
        case ForkTask():
            return [run.plan.tasks[at].name for at in run.plan.lists[node.reference + "/fork/branches"]], None
        case WaitTask(wait=duration):
            return None, TimerAwaited(until=moment_after(run, node, duration, node.input))
        case ListenTask(listen=listen):
            return None, None if listen.to.all == () else EventsAwaited(types=types_of(listen.to))
        case RunTask(run=what):
            return None, _process(run, node, what, planned)
        case _:
            if planned.kind == "call" and planned.function is None and run.plan.function_of(planned) is None:
                return None, _call(run, node, planned)
            return None, None


def _call(run: Run, node: Node, planned: PlannedTask) -> Awaited:
    function, given = str(planned.words["call"]), planned.words.get("with")
    if given is None and function not in _OURS:
        given = node.input if isinstance(node.input, dict) else {}
        return CallAwaited(function=function, arguments=given)
    if planned.plain and function not in _OURS and isinstance(given, dict):
        return CallAwaited(function=function, arguments=given)
    if function in _OURS:
        return _ours(run, node, function, _arguments(run, node, planned, function, given or {}))
    return CallAwaited(function=function, arguments=_arguments(run, node, planned, function, given or {}))


def _arguments(
    run: Run, node: Node, planned: PlannedTask, function: str | None, template: JsonValue
) -> dict[str, JsonValue]:
    assert isinstance(template, dict)
    if seals_input(planned.task):
        return template
    places = places_of(function)
    return arguments(run, node, addressed(node, template, places), places)


_OURS = {"agent": "agent_task", "job": "job", "approval": "approval"}
"""Our own functions, and what it is that they wait for."""
OUR_FUNCTIONS = frozenset(_OURS)


def _ours(run: Run, node: Node, function: str, with_: dict[str, JsonValue]) -> Awaited:
    kind, own_id = _OURS[function], f"{run.run_id}.{node.task}"
    if function == "agent":
        asked: dict[str, JsonValue] = {"title": node.name, "input": node.input, **with_}
        asked["task_id"] = own_id
        if "agent" in asked:
            asked["agent_id"] = asked.pop("agent")
    else:
        request = {"title": node.name, "requested_by": None, **with_} if function == "approval" else with_
        asked = {f"{kind}_id": own_id, "request": {name: value for name, value in request.items() if value is not None}}
    try:
        return _AWAITED.validate_python({**asked, "kind": kind})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = "/".join(str(part) for part in first["loc"][1:])
        raise Raised(standard("validation", f"with/{place}: {first['msg']}", node.reference)) from None


def _process(run: Run, node: Node, what: RunWhat, planned: PlannedTask) -> Awaited:
    words = planned.words["run"]
    assert isinstance(words, dict)
    if what.workflow is not None:
        asked = what.workflow
        if len(f"{run.run_id}.{node.task}") > RUN_ID_CHARACTERS_MAX:
            raise Raised(standard("runtime", "runs start each other too deeply", node.reference))
        given = words["workflow"].get("input") if isinstance(words["workflow"], dict) else None
        return RunAwaited(
            run_id=f"{run.run_id}.{node.task}",
            workflow_id=f"{asked.namespace}.{asked.name}",
            workflow_version=None if asked.version == LATEST else asked.version,
            input=node.input if given is None else filled(run, node, given, node.input),
            awaited=what.await_,
        )
    given = _arguments(run, node, planned, None, {name: words[name] for name in words if name != "await"})
    if what.container is not None:
        request = container_request(given, planned.task.metadata.get("requirements"))
        return JobAwaited(job_id=f"{run.run_id}.{node.task}", request=request)
    return ProcessAwaited(arguments=given, awaited=what.await_)
