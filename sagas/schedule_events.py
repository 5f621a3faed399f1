"""The events that a schedule starts runs on: which are meant, and, where all of several are, which belong together."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from infra.expressions.equality import same
from infra.expressions.template import is_expression
from sagas.cloud_events import CloudEvent, fits, is_pattern, yielded

COLLECTIONS_MAX = 1_000
"""Of one workflow; when there are more, the oldest is given up."""

Correlations = dict[str, JsonValue]


class CorrelationRule(BaseModel):
    """The value of an event that ties it to others, and what is expected of it."""

    from_: str = Field(alias="from")
    expect: str | None = None


class EventFilter(BaseModel):
    """Which events are meant."""

    with_: dict[str, JsonValue] = Field(alias="with")
    correlate: dict[str, CorrelationRule] = {}

    @property
    def type(self) -> str | None:
        """The only type of events that are meant; None if that cannot be said without trying."""
        wanted = self.with_.get("type")
        return None if not isinstance(wanted, str) or is_expression(wanted) or is_pattern(wanted) else wanted

    def correlations(self, event: CloudEvent) -> Correlations | None:
        """What ties this event to others; None if it is not meant."""
        if not all(fits(value, event.get(name)) for name, value in self.with_.items()):
            return None
        found: Correlations = {}
        for name, rule in self.correlate.items():
            found[name] = yielded(rule.from_, event)
            if rule.expect is not None and not same(found[name], _expected(rule.expect)):
                return None
        return found


def _expected(expect: str) -> JsonValue:
    return yielded(expect, None) if is_expression(expect) else expect


class EventStart(BaseModel):
    """The part of a schedule that names events, as the definition has it."""

    model_config = ConfigDict(extra="ignore")

    one: EventFilter | None = None
    any: tuple[EventFilter, ...] | None = None
    all: tuple[EventFilter, ...] | None = None

    @property
    def filters(self) -> Sequence[EventFilter]:
        return (self.one,) if self.one is not None else self.any or self.all or ()

    @property
    def types(self) -> Sequence[str] | None:
        """The only types of events that matter; None if any may."""
        types = [wanted.type for wanted in self.filters]
        known = sorted({type_ for type_ in types if type_ is not None})
        return None if not types or None in types else known


class Collection(BaseModel):
    """Events that belong together so far: which filters they passed, how they are read, and what ties them."""

    passed: list[int] = []
    items: list[JsonValue] = []
    correlations: Correlations = {}

    def takes(self, place: int, correlations: Correlations) -> bool:
        known = self.correlations
        fits = all(same(known.get(name, value), value) for name, value in correlations.items())
        return fits and place not in self.passed


def take(start: EventStart, event: CloudEvent, item: JsonValue, collected: list[Collection]) -> list[JsonValue] | None:
    """The input of the run that starts with this event, None if none does; `collected` is what wants further events."""
    if start.any is not None and not start.any:
        return [item]
    passed = [
        (place, correlations)
        for place, wanted in enumerate(start.filters)
        if (correlations := wanted.correlations(event)) is not None
    ]
    if not passed:
        return None
    if start.all is None:
        return [item]
    return _collect(len(start.all), passed, item, collected)


def _collect(
    size: int, passed: Sequence[tuple[int, Correlations]], item: JsonValue, collected: list[Collection]
) -> list[JsonValue] | None:
    """The oldest collection that lacks this event takes it, else it begins one of its own."""
    place, correlations = passed[0]
    found = Collection()
    for collection in collected:
        fitting = [one for one in passed if collection.takes(*one)]
        if fitting:
            found, (place, correlations) = collection, fitting[0]
            break
    else:
        collected.append(found)
        del collected[:-COLLECTIONS_MAX]
    found.passed.append(place)
    found.items.append(item)
    found.correlations.update(correlations)
    if len(found.passed) < size:
        return None
    collected.remove(found)
    return found.items
