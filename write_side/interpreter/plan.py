"""A definition made ready to be run: its tasks and lists of tasks by the pointers to them."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue, TypeAdapter, ValidationError

from infra.expressions.template import mentioned
from write_side.definition.document import Definition, Extension
from write_side.definition.elsewhere import Resource, function_elsewhere, schemas_elsewhere
from write_side.definition.reading import InvalidDefinition, pointer, read_definition
from write_side.definition.tasks import KINDS, CallFunction, TaskBase, TaskList
from write_side.definition.values import JsonObject, Timeout, below
from write_side.definition.walk import lists_below, task_lists, tasks
from write_side.interpreter.cheap import is_cheap
from write_side.interpreter.state import RunState

PLANS_MAX = 1_000
FUNCTIONS = "/use/functions"
SECRETS = "secrets"
AUTHENTICATION = "authentication"
COMPENSATE = "compensate"
_LIST: TypeAdapter[TaskList] = TypeAdapter(TaskList)


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task, what its author calls it, and the document's own words for it.

    `sealed`: some of what it calls with is evaluated only where the call is carried out. `plain`: what it calls with holds no expression.
    `function` is that which it calls if that lies elsewhere, `schemas` are those elsewhere that its data is checked by.
    """

    name: str
    kind: str
    task: TaskBase
    words: JsonObject
    sealed: bool
    plain: bool
    function: Resource | None = None
    schemas: tuple[Resource, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Tasks by reference; lists of references by the pointer to the list; the extensions with the pointers to theirs.

    `cheap`: its runs evaluate nothing but paths, and check nothing, so that any process can have them begin.
    `schemas` are those elsewhere that the workflow's own input and output are checked by.
    """

    definition: Definition
    document: JsonObject
    tasks: Mapping[str, PlannedTask]
    lists: Mapping[str, tuple[str, ...]]
    extensions: tuple[tuple[str, Extension], ...]
    cheap: bool
    schemas: tuple[Resource, ...] = ()

    def place_of(self, section: str, name: str) -> int | None:
        """Where in a list the task of this name stands."""
        for place, reference in enumerate(self.lists[section]):
            if self.tasks[reference].name == name:
                return place
        return None

    def timeout_of(self, timeout: Timeout | str | None) -> Timeout | None:
        """A timeout, also one that is named."""
        return self.definition.use.timeouts[timeout] if isinstance(timeout, str) else timeout

    def function_of(self, planned: PlannedTask) -> str | None:
        """The reference of the function that a call means, if the definition declares it, or if it lies elsewhere and is known."""
        if not isinstance(planned.task, CallFunction):
            return None
        name = planned.task.call if planned.function is None else planned.function.address
        return below(FUNCTIONS, name) if name in self.definition.use.functions else None


def compensations(definition: Definition) -> Iterator[tuple[str, TaskList]]:
    """The lists that undo tasks, each with its pointer. Raises InvalidDefinition where one is none."""
    for reference, _, task in tasks(definition):
        yield from _compensation_of(reference, task)


def _compensation_of(reference: str, task: TaskBase) -> Iterator[tuple[str, TaskList]]:
    if COMPENSATE not in task.metadata:
        return
    place = below(reference, "metadata", COMPENSATE)
    try:
        yield place, _LIST.validate_python(task.metadata[COMPENSATE])
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise InvalidDefinition(
            errors=[{"pointer": place + pointer(each["loc"]), "detail": each["msg"]} for each in found[:20]]
        ) from None


def make_plan(definition: Definition, document: JsonObject) -> Plan:
    """The plan of a definition that was read from `document`."""
    planned: dict[str, PlannedTask] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for reference, name, task in tasks(definition):
        planned[reference] = _planned(document, reference, name, task)
    for place, listed in task_lists(definition):
        lists[place] = _references(place, listed)
    for place, listed in compensations(definition):
        _add_list(planned, lists, document, place, listed)
    for name in definition.use.functions:
        lists[FUNCTIONS] = (*lists.get(FUNCTIONS, ()), below(FUNCTIONS, name))
    extensions = tuple(
        (below("/use/extensions", place, name), extension)
        for place, entry in enumerate(definition.use.extensions)
        for name, extension in entry.items()
    )
    schemas = schemas_elsewhere(document)
    return Plan(definition, document, planned, lists, extensions, is_cheap(document), schemas)


def with_functions(plan: Plan, state: RunState) -> Plan:
    """The plan with the functions that a run has fetched; made once for the same definition and the same functions."""
    if not state.functions:
        return plan
    key = state.digest + state.functions_digest
    known = _grown.get(key)
    if known is None:
        known = _grown[key] = _with_functions(plan, state.functions)
        if len(_grown) > PLANS_MAX:
            _grown.popitem(last=False)
    else:
        _grown.move_to_end(key)
    return known


def _with_functions(plan: Plan, fetched: Mapping[str, JsonValue]) -> Plan:
    planned, lists, functions = dict(plan.tasks), dict(plan.lists), dict(plan.definition.use.functions)
    for address, document in fetched.items():
        if address in functions:
            continue
        alone = with_one_function(plan.document, address, document)
        one = make_plan(read_definition(alone), alone)
        planned.update(one.tasks)
        lists.update({place: listed for place, listed in one.lists.items() if place not in ("/do", FUNCTIONS)})
        lists[FUNCTIONS] = (*lists.get(FUNCTIONS, ()), below(FUNCTIONS, address))
        functions.update(one.definition.use.functions)
    use = plan.definition.use.model_copy(update={"functions": functions})
    return replace(plan, definition=plan.definition.model_copy(update={"use": use}), tasks=planned, lists=lists)


def with_one_function(document: JsonObject, address: str, function: JsonValue) -> JsonObject:
    """A definition that holds a function under its address and nothing else of a workflow's: no name of that leads anywhere in it."""
    kept = {name: words for name, words in document.items() if name in ("document", "evaluate")}
    return {**kept, "do": [], "use": {"functions": {address: function}}}


def _add_list(
    planned: dict[str, PlannedTask],
    lists: dict[str, tuple[str, ...]],
    document: JsonObject,
    place: str,
    listed: TaskList,
) -> None:
    """A list that the walk through the definition does not see, with all that is below it."""
    lists[place] = _references(place, listed)
    for reference, entry in zip(lists[place], listed, strict=True):
        for name, task in entry.items():
            planned[reference] = _planned(document, reference, name, task)
            for deeper, those in lists_below(reference, task):
                _add_list(planned, lists, document, deeper, those)


def _references(place: str, listed: TaskList) -> tuple[str, ...]:
    return tuple(below(place, number, name) for number, entry in enumerate(listed) for name in entry)


def _planned(document: JsonObject, reference: str, name: str, task: TaskBase) -> PlannedTask:
    words = resolve(document, reference)
    assert isinstance(words, dict)
    called: list[JsonValue] = [words.get("with"), words.get("run")]
    given = words.get("input")
    sealed = mentioned([*called, given], SECRETS, loose=True) or any(
        _holds_key(each, AUTHENTICATION) for each in called
    )
    kind = next(kind for kind in KINDS if kind in words)
    evaluates = document.get("evaluate")
    loose = isinstance(evaluates, dict) and evaluates.get("mode") == "loose"
    plain = not (sealed or loose or _holds_text(called, "${", "{"))
    return PlannedTask(name, kind, task, words, sealed, plain, _function_of(document, task), schemas_elsewhere(words))


def _function_of(document: JsonObject, task: TaskBase) -> Resource | None:
    uses = document.get("use", {})
    if not isinstance(task, CallFunction) or not isinstance(uses, dict):
        return None
    declared = uses.get("functions", {})
    if isinstance(declared, dict) and task.call in declared:
        return None
    return function_elsewhere(task.call, uses.get("catalogs", {}))


def _holds_key(value: JsonValue, name: str) -> bool:
    if isinstance(value, dict):
        return name in value or any(_holds_key(each, name) for each in value.values())
    return isinstance(value, list) and any(_holds_key(each, name) for each in value)


def _holds_text(value: JsonValue, *texts: str) -> bool:
    if isinstance(value, dict):
        return any(_holds_text(each, *texts) for each in value.values())
    if isinstance(value, list):
        return any(_holds_text(each, *texts) for each in value)
    return isinstance(value, str) and any(text in value for text in texts)


def resolve(document: JsonValue, place: str) -> JsonValue:
    """What a JSON pointer leads to (RFC 6901)."""
    found = document
    for part in place.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = found[int(part)]
        elif isinstance(found, dict):
            found = found[part]
    return found


_plans: "OrderedDict[str, Plan]" = OrderedDict()
_grown: "OrderedDict[str, Plan]" = OrderedDict()


def plan_of(digest: str, document: JsonObject) -> Plan:
    """The plan of a document that is known by its digest; made once, the longest unused of PLANS_MAX goes."""
    plan = _plans.get(digest)
    if plan is None:
        plan = _plans[digest] = make_plan(read_definition(document), document)
        if len(_plans) > PLANS_MAX:
            _plans.popitem(last=False)
    else:
        _plans.move_to_end(digest)
    return plan


def known_plan(digest: str) -> Plan | None:
    """The plan of a document that was made ready before."""
    return _plans.get(digest)
