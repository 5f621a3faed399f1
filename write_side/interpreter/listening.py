"""How a task listens to events or subscribes to messages: which it takes, when it has enough, and what is done with each."""

from collections.abc import Callable, Sequence

from pydantic import JsonValue

from events.run import RunEvent, RunEventConsumed, RunIterationCompleted, RunIterationStarted
from events.run_parts import CallAwaited, EventsAwaited
from infra.expressions.equality import same
from infra.expressions.template import is_expression
from write_side.definition.events import EventConsumption, EventFilter, SubscriptionIterator
from write_side.definition.tasks import CallAsyncApi, ListenTask
from write_side.interpreter.flow import END, EXIT, next_place
from write_side.interpreter.scope import Run, check, fits, formed, holds, iterator_of, yielded
from write_side.interpreter.sealing import conditions_of
from write_side.interpreter.state import Node

CloudEvent = dict[str, JsonValue]
Listing = Callable[[Run, Node, str], Sequence[RunEvent]]
Ending = Callable[[Run, Node, JsonValue], Sequence[RunEvent]]
ANY = -1
_TAKING = ("awaiting", "ready", "blocked")


def listen(run: Run, node: Node, go_on: Listing, end: Ending) -> Sequence[RunEvent]:
    """Take what was sent, do what is to be done with each, and end once it is enough: at once where all of no events are wanted."""
    if node.awaits is None:
        return end(run, node, [])
    task = _task(run, node)
    if not node.closed:
        for place, event in enumerate(run.state.inbox):
            taken = consumption(run, node, event, place)
            if taken is not None:
                return [taken]
    if task.foreach is None:
        return end(run, node, list(node.consumed)) if node.closed else []
    return _iterate(run, node, task.foreach, node.reference + "/foreach/do", go_on, end)


def subscribe(run: Run, node: Node, go_on: Listing, end: Ending) -> Sequence[RunEvent]:
    """Do what is to be done with each message, until that is enough."""
    rounds = iterator_of(run.plan.tasks[node.reference].task)
    assert rounds is not None
    between = node.index < 0 or node.index in node.outputs
    if between and node.index >= 0 and not conditions_of(run, node.task).go_on(list(node.consumed[: node.index + 1])):
        return end(run, node, _outputs(node))
    return _iterate(run, node, rounds, node.reference + "/with/subscription/foreach/do", go_on, end)


def _iterate(
    run: Run, node: Node, rounds: SubscriptionIterator, section: str, go_on: Listing, end: Ending
) -> Sequence[RunEvent]:
    if node.index >= 0 and node.index not in node.outputs:
        if rounds.do:
            place_of_next = next_place(run.plan, node, section)
            if isinstance(place_of_next, int) or place_of_next == END:
                return go_on(run, node, section)
            if place_of_next == EXIT:
                return end(run, node, _outputs(node))
        output, context = node.data if rounds.do else node.consumed[node.index], None
        if rounds.output is not None:
            output = formed(run, node, rounds.output.as_, output, {"output": output})
            check(run, node, rounds.output.schema_, output, "output")
        exports = rounds.export is not None and rounds.export.as_ is not None
        if exports and rounds.export is not None:
            context = formed(run, node, rounds.export.as_, output, {"output": output})
            check(run, node, rounds.export.schema_, context, "context")
        return [
            RunIterationCompleted(task=node.task, index=node.index, output=output, exported=exports, context=context)
        ]
    if node.index + 1 < len(node.consumed):
        return [RunIterationStarted(task=node.task, index=node.index + 1)]
    return end(run, node, _outputs(node)) if node.closed else []


def _outputs(node: Node) -> JsonValue:
    return [node.outputs[place] for place in sorted(node.outputs)]


def _task(run: Run, node: Node) -> ListenTask:
    task = run.plan.tasks[node.reference].task
    assert isinstance(task, ListenTask)
    return task


def types_of(consumption: EventConsumption) -> tuple[str, ...]:
    """The only types of events that matter, none if that cannot be said."""
    strategies = [consumption, consumption.until] if isinstance(consumption.until, EventConsumption) else [consumption]
    filters: list[EventFilter] = []
    for each in strategies:
        wanted = [*(each.all or ()), *(each.any or ()), *((each.one,) if each.one is not None else ())]
        if not wanted:
            return ()  # Without a filter every event counts, whatever the other asks for.
        filters += wanted
    types = [wanted.with_.type for wanted in filters]
    if any(type_ is None or not type_.replace(".", "").replace("-", "").isalnum() for type_ in types):
        return ()
    return tuple(sorted({type_ for type_ in types if type_ is not None}))


def subscribes(run: Run, node: Node) -> bool:
    """Whether a task takes messages one by one, and still does."""
    planned = run.plan.tasks.get(node.reference)
    if planned is None or not isinstance(node.awaits, CallAwaited) or node.closed or node.phase not in _TAKING:
        return False
    return isinstance(planned.task, CallAsyncApi) and iterator_of(planned.task) is not None


def message_taken(run: Run, node: Node, message: JsonValue) -> RunEventConsumed:
    """What a task that subscribes makes of the next message."""
    task = run.plan.tasks[node.reference].task
    assert isinstance(task, CallAsyncApi)
    assert task.with_.subscription is not None
    amount = task.with_.subscription.consume.amount
    return RunEventConsumed(
        task=node.task,
        filter=ANY,
        event_id="",
        item=message,
        closed=amount is not None and len(node.consumed) + 1 >= amount,
    )


def subscription_over(node: Node) -> RunEventConsumed:
    """There are no more messages for a task that subscribes."""
    return RunEventConsumed(task=node.task, filter=ANY, event_id="", closing=True, closed=True)


def listeners(run: Run) -> list[Node]:
    """The tasks that listen; one that has failed while its run was suspended does no more."""
    return [
        node
        for node in run.state.nodes.values()
        if isinstance(node.awaits, EventsAwaited) and not node.closed and node.phase in _TAKING
    ]


def consumption(run: Run, node: Node, event: CloudEvent, received: int | None = None) -> RunEventConsumed | None:
    """What a listening task makes of an event; None if that is not for it. Raises Raised."""
    task = _task(run, node)
    to = task.listen.to
    item = _read(task.listen.read, event)
    wanted = to.all if to.all is not None else (to.one,) if to.one is not None else to.any
    found = _first_match(run, node, wanted, event, skip=node.matched if to.all is not None else frozenset())
    if found is not None:
        place, correlations = found
        consumed = [*node.consumed, item]
        return RunEventConsumed(
            task=node.task,
            filter=place,
            event_id=str(event.get("id", "")),
            item=item,
            correlations=correlations,
            closed=_is_enough(run, node, to, place, consumed),
            received=received,
        )
    if isinstance(to.until, EventConsumption):
        until = to.until.any or to.until.all or ((to.until.one,) if to.until.one else ())
        if _first_match(run, node, until, event) is not None:
            return RunEventConsumed(
                task=node.task,
                filter=ANY,
                event_id=str(event.get("id", "")),
                closing=True,
                closed=True,
                received=received,
            )
    return None


def _is_enough(run: Run, node: Node, to: EventConsumption, place: int, consumed: list[JsonValue]) -> bool:
    if to.all is not None:
        return len(node.matched | {place}) == len(to.all)
    if to.any is None or to.until is None:
        return True
    return isinstance(to.until, str) and holds(run, node, to.until, consumed)


def _read(how: str, event: CloudEvent) -> JsonValue:
    """The envelope, or the data; that is as raw as it came: JSON, or bytes in base64."""
    data = event.get("data")
    return event if how == "envelope" else event.get("data_base64") if data is None else data


def _first_match(
    run: Run,
    node: Node,
    filters: Sequence[EventFilter] | None,
    event: CloudEvent,
    skip: frozenset[int] = frozenset(),
) -> tuple[int, dict[str, JsonValue]] | None:
    """The first filter that an event passes and what correlates it; no filter at all lets every event pass."""
    if not filters:
        return (ANY, {}) if filters is not None else None
    for place, wanted in enumerate(filters):
        if place in skip or not matches(run, node, wanted, event):
            continue
        correlations = _correlations(run, node, wanted, event)
        if correlations is not None:
            return place, correlations
    return None


def matches(run: Run, node: Node, wanted: EventFilter, event: CloudEvent) -> bool:
    """Whether an event has all that a filter asks for: constants, regular expressions, and conditions. Raises Raised."""
    asked = wanted.with_.model_dump(include=wanted.with_.model_fields_set, by_alias=True)
    asked.update(wanted.with_.model_extra or {})
    return all(_has(run, node, value, event.get(name)) for name, value in asked.items())


def _has(run: Run, node: Node, wanted: JsonValue, found: JsonValue) -> bool:
    if isinstance(wanted, str) and is_expression(wanted):
        return holds(run, node, wanted, found)
    if isinstance(wanted, str) and isinstance(found, str):
        return fits(found, wanted)
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(_has(run, node, value, found.get(name)) for name, value in wanted.items())
    return same(wanted, found)


def _correlations(run: Run, node: Node, wanted: EventFilter, event: CloudEvent) -> dict[str, JsonValue] | None:
    """The values that tie an event to those before it; None if they are others."""
    found: dict[str, JsonValue] = {}
    for name, correlation in wanted.correlate.items():
        value = yielded(run, node, correlation.from_, event)
        if correlation.expect is not None:
            expected = correlation.expect
            known = yielded(run, node, expected, node.input) if is_expression(expected) else expected
            if not same(value, known):
                return None
        elif name in node.correlations and not same(node.correlations[name], value):
            return None
        found[name] = value
    return found
