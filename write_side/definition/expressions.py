"""Expressions of a definition: each is compiled when the workflow is registered, with the variables that it can see where it stands."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from pydantic import BaseModel, JsonValue

from infra.expressions.failure import ExpressionFailed
from infra.expressions.program import compile_only
from infra.expressions.template import is_expression, mentioned, programs, strip
from write_side.definition.authentication import Authentication, ReusableAuthentication
from write_side.definition.calls import AsyncApiSubscription
from write_side.definition.document import Definition
from write_side.definition.elsewhere import calls_elsewhere
from write_side.definition.errors import Catch, RetryPolicy
from write_side.definition.events import EventConsumption, SubscriptionIterator
from write_side.definition.references import Place
from write_side.definition.resources import Catalog, DataSchema, Export, Input, Output
from write_side.definition.supported import secrets_in
from write_side.definition.tasks import CallAsyncApi, ForTask, ListenTask, SwitchTask, TaskBase, TaskList, TryTask
from write_side.definition.values import below, json_name
from write_side.definition.walk import lists_below, parts

EXPRESSIONS_MAX = 1_000
"""How many different expressions a definition holds at most: each takes some milliseconds to compile."""
GENERAL = frozenset({"context", "input", "task", "workflow", "runtime"})
SECRETS, OUTPUT, COMPENSATED = "secrets", "output", "compensated"
OURS = ("agent", "approval", "job")
"""Functions of ours: what they are given is in events, and so no secret can be."""

_FIELDS = frozenset({"if_", "input", "output", "export", "metadata", "then"})
_NO_DATA = ("metadata", "then", "as_", "each", "at", "item")


@dataclass(frozen=True, slots=True)
class Seen:
    """The variables that can be in scope; `functions` are declared; `loose` if a text that is no expression stands for itself.

    `programs` are the expressions that were seen so far, and how many there may be.
    """

    names: frozenset[str]
    programs: set[str]
    secrets: Collection[str] = ()
    functions: Collection[str] = ()
    loose: bool = False
    programs_max: int = EXPRESSIONS_MAX

    def plus(self, *names: str) -> "Seen":
        return replace(self, names=self.names | set(names))


def check_expressions(
    definition: Definition, programs: set[str], compensates: bool = False, programs_max: int = EXPRESSIONS_MAX
) -> list[dict[str, str]]:
    """Which expressions are none of jq, mention what nothing is called there, or are too many, as objects of a `pointer` and a `detail`.

    `programs` are those that the definition was found to hold before, and gains those of now; `compensates`: its tasks undo one, so that
    they see `$compensated`.
    """
    names = GENERAL | {COMPENSATED} if compensates else GENERAL
    functions = {*definition.use.functions, *calls_elsewhere(definition)}
    seen = Seen(names, programs, definition.use.secrets, functions, definition.evaluate.mode == "loose", programs_max)
    # Functions and extensions see what there is where they are called.
    anywhere = seen.plus(COMPENSATED, *_bound(definition))
    found = chain(_of_root(definition, seen), _of_list("/do", definition.do, seen), _of_shared(definition, anywhere))
    return [{"pointer": pointer, "detail": detail} for pointer, detail in found]


def _bound(definition: Definition) -> Iterator[str]:
    """The names that loops and catches give anywhere."""
    for _, part in parts(definition):
        match part:
            case ForTask(for_=loop):
                yield from (loop.each, loop.at)
            case SubscriptionIterator():
                yield from (part.item, part.at)
            case Catch():
                yield part.as_
            case _:
                pass


def _of_root(definition: Definition, seen: Seen) -> Iterator[Place]:
    yield from _of_forms("", definition.input, definition.output, None, seen)
    yield from _of_data("/timeout", definition.timeout, seen)
    if definition.schedule is not None and definition.schedule.on is not None:
        yield from _of_events("/schedule/on", definition.schedule.on, replace(seen, names=frozenset()))


def _of_shared(definition: Definition, seen: Seen) -> Iterator[Place]:
    use = definition.use
    for name, function in use.functions.items():
        yield from _of_task(below("/use/functions", name), function, seen)
    for place, entry in enumerate(use.extensions):
        for name, extension in entry.items():
            pointer = below("/use/extensions", place, name)
            yield from _of_text(pointer + "/when", extension.when, seen)
            yield from _of_list(pointer + "/before", extension.before, seen)
            yield from _of_list(pointer + "/after", extension.after, seen)
    for name, policy in use.retries.items():
        yield from _of_retry(below("/use/retries", name), policy, seen)
    for section, shared in (("errors", use.errors), ("timeouts", use.timeouts)):
        for name, value in shared.items():
            yield from _of_data(below("/use", section, name), value, seen)
    for pointer, part in parts(definition):
        if isinstance(part, Catalog | DataSchema):
            yield from _of_data(pointer + "/resource", getattr(part, "resource", None), seen)
            yield from _of_data(pointer + "/endpoint", getattr(part, "endpoint", None), seen)
    for name, policy_ in use.authentications.items():
        yield from _of_data(below("/use/authentications", name), policy_, seen.plus(SECRETS))


def _of_list(pointer: str, listed: TaskList, seen: Seen) -> Iterator[Place]:
    for place, entry in enumerate(listed):
        for name, task in entry.items():
            yield from _of_task(below(pointer, place, name), task, seen)


def _of_task(pointer: str, task: TaskBase, seen: Seen) -> Iterator[Place]:
    yield from _of_text(pointer + "/if", task.if_, seen)
    sealed = seen.plus(SECRETS) if _takes_secrets(task, seen.functions) else seen
    given = sealed if getattr(task, "with_", None) or hasattr(task, "run") else seen
    yield from _of_forms(pointer, task.input, task.output, task.export, given, seen)
    match task:
        case ForTask():
            inside = seen.plus(task.for_.each, task.for_.at)
            yield from _of_in(below(pointer, "for", "in"), task, seen)
            yield from _of_text(pointer + "/while", task.while_, inside)
            yield from _of_data(pointer + "/timeout", task.timeout, seen)
            yield from _of_list(pointer + "/do", task.do, inside)
        case SwitchTask():
            for place, entry in enumerate(task.switch):
                for name, case in entry.items():
                    yield from _of_text(below(pointer, "switch", place, name, "when"), case.when, seen)
            yield from _of_data(pointer + "/timeout", task.timeout, seen)
        case TryTask():
            yield from _of_data(pointer + "/timeout", task.timeout, seen)
            yield from _of_list(pointer + "/try", task.try_, seen)
            yield from _of_catch(pointer + "/catch", task.catch, seen.plus(task.catch.as_))
        case ListenTask():
            yield from _of_events(below(pointer, "listen", "to"), task.listen.to, seen)
            yield from _of_data(pointer + "/timeout", task.timeout, seen)
            if task.foreach is not None:
                yield from _of_rounds(pointer + "/foreach", task.foreach, seen)
        case _:
            yield from _of_rest(pointer, task, sealed, seen)
            if isinstance(task, CallAsyncApi):
                if (subscription := task.with_.subscription) and subscription.foreach:
                    rounds = below(pointer, "with", "subscription", "foreach")
                    yield from _of_rounds(rounds, subscription.foreach, seen)
            else:
                for where, listed in lists_below(pointer, task):
                    yield from _of_list(where, listed, seen)


def _takes_secrets(task: TaskBase, functions: Collection[str]) -> bool:
    """Whether a task is carried out outside of the interpreter, where the secrets are."""
    run, call = getattr(task, "run", None), getattr(task, "call", None)
    if run is not None:
        return run.script is not None or run.shell is not None
    return call is not None and call not in OURS and call not in functions


def _of_in(pointer: str, task: ForTask, seen: Seen) -> Iterator[Place]:
    if isinstance(task.for_.in_, str):
        yield from _of_text(pointer, task.for_.in_, seen)
    else:
        yield from _of_data(pointer, list(task.for_.in_), seen)


def _of_rest(pointer: str, task: TaskBase, sealed: Seen, seen: Seen) -> Iterator[Place]:
    """The fields of a task that only its kind has, but for the tasks below it."""
    for name in task.model_fields_set - _FIELDS:
        if name in ("do", "fork"):
            continue
        value = getattr(task, name)
        yield from _of_data(below(pointer, json_name(name)), value, sealed if name in ("with_", "run") else seen)


def _of_rounds(pointer: str, rounds: SubscriptionIterator, seen: Seen) -> Iterator[Place]:
    inside = seen.plus(rounds.item, rounds.at)
    yield from _of_list(pointer + "/do", rounds.do or (), inside)
    yield from _of_forms(pointer, None, rounds.output, rounds.export, inside)


def _of_catch(pointer: str, catch: Catch, seen: Seen) -> Iterator[Place]:
    yield from _of_text(pointer + "/when", catch.when, seen)
    yield from _of_text(pointer + "/exceptWhen", catch.except_when, seen)
    if isinstance(catch.retry, RetryPolicy):
        yield from _of_retry(pointer + "/retry", catch.retry, seen)
    yield from _of_list(pointer + "/do", catch.do or (), seen)


def _of_retry(pointer: str, policy: RetryPolicy, seen: Seen) -> Iterator[Place]:
    yield from _of_text(pointer + "/when", policy.when, seen)
    yield from _of_text(pointer + "/exceptWhen", policy.except_when, seen)
    for name in ("delay", "limit", "jitter"):
        yield from _of_data(below(pointer, name), getattr(policy, name), seen)


def _of_events(pointer: str, to: EventConsumption, seen: Seen) -> Iterator[Place]:
    filters = [(below(pointer, "one"), to.one)] if to.one else []
    for name in ("all", "any"):
        filters += [(below(pointer, name, place), each) for place, each in enumerate(getattr(to, name) or ())]
    for where, wanted in filters:
        yield from _of_data(where + "/with", wanted.with_, seen)
        for name, correlation in wanted.correlate.items():
            yield from _of_text(below(where, "correlate", name, "from"), correlation.from_, seen)
            yield from _of_data(below(where, "correlate", name, "expect"), correlation.expect, seen)
    if isinstance(to.until, str):
        yield from _of_text(pointer + "/until", to.until, seen)
    elif to.until is not None:
        yield from _of_events(pointer + "/until", to.until, seen)


def _of_forms(
    pointer: str,
    taken: Input | None,
    output: Output | None,
    export: Export | None,
    given: Seen,
    seen: Seen | None = None,
) -> Iterator[Place]:
    """How data is formed on its way in and out; schemas hold no expressions."""
    seen = seen or given
    if taken is not None:
        yield from _of_form(below(pointer, "input", "from"), taken.from_, given)
    if output is not None:
        yield from _of_form(below(pointer, "output", "as"), output.as_, seen.plus(OUTPUT))
    if export is not None:
        yield from _of_form(below(pointer, "export", "as"), export.as_, seen.plus(OUTPUT))


def _of_form(pointer: str, form: str | dict[str, JsonValue] | None, seen: Seen) -> Iterator[Place]:
    return _of_text(pointer, form, seen) if isinstance(form, str) else _of_data(pointer, form, seen)


def _of_data(pointer: str, value: object, seen: Seen) -> Iterator[Place]:
    """Expressions between `${` and `}` in data of the author's."""
    if isinstance(value, Authentication | ReusableAuthentication):
        seen = seen.plus(SECRETS)
    if isinstance(value, str):
        yield from _of_template(pointer, value, seen)
    elif isinstance(value, AsyncApiSubscription):
        for where, text in _conditions(pointer, value):
            yield from _of_text(where, text, seen)
        yield from _of_data(below(pointer, "consume", "for"), value.consume.for_, seen)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            if name in value.model_fields_set and name not in _NO_DATA:
                yield from _of_data(below(pointer, json_name(name)), getattr(value, name), seen)
        for name, extra in (value.model_extra or {}).items():
            yield from _of_data(below(pointer, name), extra, seen)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _of_data(below(pointer, name), item, seen)
    elif isinstance(value, Sequence):
        for place, item in enumerate(value):
            yield from _of_data(below(pointer, place), item, seen)


def _conditions(pointer: str, subscription: AsyncApiSubscription) -> Iterator[tuple[str, str | None]]:
    yield pointer + "/filter", subscription.filter
    yield below(pointer, "consume", "while"), subscription.consume.while_
    yield below(pointer, "consume", "until"), subscription.consume.until


def _of_template(pointer: str, text: str, seen: Seen) -> Iterator[Place]:
    if "${" not in text or (seen.loose and not is_expression(text)):
        return
    try:
        for program in programs(text):
            yield from _of_program(pointer, program, seen)
    except ExpressionFailed as failed:
        yield pointer, str(failed)


def _of_text(pointer: str, text: str | None, seen: Seen) -> Iterator[Place]:
    """A field that is an expression, with or without braces."""
    if text is not None:
        yield from _of_program(pointer, strip(text), seen)


def _of_program(pointer: str, program: str, seen: Seen) -> Iterator[Place]:
    if SECRETS not in seen.names and mentioned(program, SECRETS, loose=True):
        yield pointer, "must not mention $secrets: only `input.from`, `with` and `run` of calls and processes can"
        return
    for name in secrets_in(program):
        if name not in seen.secrets:
            yield pointer, f"there is no secret called {name!r}: declare it in use.secrets"
    seen.programs.add(program)
    if len(seen.programs) > seen.programs_max:
        yield pointer, f"there may be at most {seen.programs_max} different expressions"
        return
    try:
        compile_only(program, seen.names)
    except ExpressionFailed as failed:
        yield pointer, str(failed)
