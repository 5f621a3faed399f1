"""Errors of runs: the standard types of the specification, and how one is told from another."""

from pydantic import JsonValue

from events.run_parts import RunError

STANDARD = "https://open-workflow-specification.org/spec/1.0.0/errors/"
KIT = "https://open-workflow-specification.org/dsl/errors/types/"
_BASES = (
    STANDARD,
    KIT,
    "https://serverlessworkflow.io/spec/1.0.0/errors/",
    "https://serverlessworkflow.io/dsl/errors/types/",
)

STATUS = {
    "configuration": 400,
    "validation": 400,
    "expression": 400,
    "authentication": 401,
    "authorization": 403,
    "timeout": 408,
    "communication": 500,
    "runtime": 500,
}
TITLES = {
    "configuration": "Configuration Error",
    "validation": "Validation Error",
    "expression": "Expression Error",
    "authentication": "Authentication Error",
    "authorization": "Authorization Error",
    "timeout": "Timeout",
    "communication": "Communication Error",
    "runtime": "Runtime Error",
}


class Raised(Exception):
    """An error that a task raises."""

    def __init__(self, error: RunError) -> None:
        super().__init__(error.type)
        self.error = error


def standard(
    name: str, detail: str | None, instance: str, status: int | None = None, title: str | None = None
) -> RunError:
    """A standard error. The conformance kit knows those of communication by another type than the reference does."""
    base = KIT if name == "communication" else STANDARD
    return RunError(
        type=base + name,
        status=STATUS[name] if status is None else status,
        title=title or TITLES[name],
        detail=detail,
        instance=instance or "/",
    )


def same_type(one: JsonValue, other: str) -> bool:
    """Whether two types are the same; a standard one is known under each of its addresses."""
    return one == other or (isinstance(one, str) and _short(one) is not None and _short(one) == _short(other))


def _short(type_: str) -> str | None:
    for base in _BASES:
        if type_.startswith(base):
            return type_.removeprefix(base)
    return None
