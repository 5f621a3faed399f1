"""A statement of the workflow language as a case: a small definition, what goes in, what the world outside says, and what comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from events.run import RunEventEmitted, RunTaskSkipped, RunTaskStarted
from events.run_parts import RunError
from infra.adapters.document_text import parse_document

HEAD = "document: {dsl: 1.0.3, namespace: tests, name: case, version: 1.0.0}\n"
STANDARD = "https://open-workflow-specification.org/spec/1.0.0/errors/"
"""Where the reference keeps its standard error types."""


class _Unsaid:
    """Equal to whatever is there."""

    def __eq__(self, _: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "whatever"


UNSAID: Any = _Unsaid()


CALL = "call: http, with: {method: get, endpoint: https://tests}"
"""A call, in the notation that fits into a line."""


def fails(status: int, kind: str = "communication") -> RunError:
    """What a call comes to that fails."""
    return RunError(type=STANDARD + kind, status=status, title="It did not work")


def error(kind: str, status: int, instance: str = UNSAID) -> dict[str, Any]:
    """A standard error, as it is expected."""
    return {"type": STANDARD + kind, "status": status, "instance": instance}


def event(type_: str, data: Any = None, **more: Any) -> dict[str, Any]:
    """A CloudEvent."""
    return {"specversion": "1.0", "id": f"{type_}-1", "source": "https://tests", "type": type_, "data": data, **more}


@dataclass(frozen=True, slots=True)
class Case:
    """`section` of the reference `says` that a run of `definition` ends like this.

    `answers` holds what each task that waits is given, by its name and in turn; `hears` are the events that the run is sent.
    `begun` are the names of tasks in the order in which they had their turn, `emitted` are the events that left the run.
    """

    section: str
    says: str
    definition: str
    given: Any = None
    answers: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    hears: Sequence[Mapping[str, Any]] = ()
    output: Any = UNSAID
    error: Mapping[str, Any] | None = None
    begun: Sequence[str] | None = None
    emitted: Sequence[Mapping[str, Any]] | None = None

    def __str__(self) -> str:
        return f"{self.section}: {self.says}"

    @property
    def document(self) -> dict[str, Any]:
        return definition(self.definition)


def definition(text: str) -> dict[str, Any]:
    """A definition of which only what matters is written down."""
    found = parse_document((HEAD + text).encode(), "application/yaml")
    assert isinstance(found, dict)
    return found


def begun(events: Sequence[object]) -> list[str]:
    """The names of tasks in the order in which they had their turn."""
    return [each.name for each in events if isinstance(each, RunTaskStarted | RunTaskSkipped)]


def emitted(events: Sequence[object]) -> list[dict[str, Any]]:
    return [dict(each.event) for each in events if isinstance(each, RunEventEmitted)]


def has(found: Any, expected: Any) -> bool:
    """Whether all that is expected is there: of objects these members, everything else as it is."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return all(name in found and has(found[name], value) for name, value in expected.items())
    return bool(expected == found)


def trying(catch: str, more: str = "") -> str:
    """A definition that tries a call named `c`."""
    return f"{more}do: [{{t: {{try: [{{c: {{{CALL}}}}}], catch: {{{catch}}}}}}}]"
