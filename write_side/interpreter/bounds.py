"""How much one event of a run may hold, and how much one append."""

from collections.abc import Sequence

from pydantic import JsonValue, TypeAdapter, ValidationError

from events.event import JSON_DEPTH_MAX, JsonAny
from events.run import RunEvent, RunTaskFaulted
from events.run_parts import RunError
from infra.expressions.written import NotJson, written
from write_side.interpreter.errors import Raised, standard

EVENT_BYTES_MAX = 960_000
"""What an event of a run holds at most, as JSON: a little less than the log accepts at least (`event_bytes_max`)."""
APPEND_BYTES_MAX = 1_000_000
"""How much of a run is written at once, up to one event more; it goes on with the next append."""
EXPRESSIONS_S_MAX = 0.25
"""How long expressions of a run may take in the child process at a stretch, up to one step more; then others have their turn."""
CALLS_DEEP_MAX = 64
"""How deep functions of a definition may call each other."""
DOCUMENTS_MAX = 100
"""How many documents a run fetches: functions and schemas that lie elsewhere."""
DOCUMENTS_BYTES_MAX = 400_000
"""How much they hold together, as JSON: they are part of what is known of a run for as long as it is."""
RUN_ID_CHARACTERS_MAX = 128
"""A child run has its parent's id and the number of its task, so that this also bounds how deep runs start each other."""

_STORABLE: TypeAdapter[JsonValue] = TypeAdapter(JsonAny)
_NUL = b"\\u0000"


def size(value: object) -> int:
    """Bytes of an event, or of what goes into one, as JSON."""
    return len(written(value))


def storable(value: JsonValue, reference: str) -> JsonValue:
    """What an expression yielded, if an event can hold it. Raises Raised."""
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        data = written(value)
    except NotJson:
        data = _NUL  # So much is sure: it cannot be stored.
    if len(data) > EVENT_BYTES_MAX:
        raise Raised(_too_large(reference))
    # With fewer brackets it cannot be nested too deeply.
    if data.count(b"[") + data.count(b"{") > JSON_DEPTH_MAX - 1 or _NUL in data:
        try:
            _STORABLE.validate_python(value)
        except ValidationError as refused:
            raise Raised(unstorable(refused, reference)) from None
    return value


def require_room(reference: str, *values: object) -> None:
    """Raises Raised where values that go into one event are too much for it."""
    if size(values) > EVENT_BYTES_MAX:
        raise Raised(_too_large(reference))


def within(events: Sequence[RunEvent], task: int, reference: str) -> Sequence[RunEvent]:
    """These events; in their place the fault of the task whose they are, if one of them is larger than the log accepts."""
    for event in events:
        if size(event) > EVENT_BYTES_MAX:
            return [RunTaskFaulted(task=task, error=_too_large(reference))]
    return events


def unstorable(refused: ValidationError, reference: str) -> RunError:
    """The error of a task whose data no event can hold: nested too deeply, or with the NUL character in it."""
    first = refused.errors(include_url=False, include_input=False)[0]
    place = "/".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    return standard("runtime", f"the data of the task cannot be stored: {place}: {said}"[:1_000], reference)


def _too_large(reference: str) -> RunError:
    detail = f"the data of the task is too large: an event holds at most {EVENT_BYTES_MAX} bytes"
    return standard("runtime", detail, reference)
