"""The two ways to fail: a Rejection is an expected answer, a Fault is a breakdown."""

import re
from typing import Any, ClassVar


def _code(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


class Rejection(Exception):
    """The command or query was understood and refused.

    Answered with `status` as problem+json and never logged as an error. A subclass is named as a fact and its docstring is the
    default message; `details` become members of the problem document.
    """

    status: ClassVar[int] = 409

    def __init__(self, message: str | None = None, **details: Any) -> None:
        super().__init__(message or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0])
        self.details = details

    @property
    def code(self) -> str:
        """The stable name of the problem, for example `agent-already-started`."""
        return _code(type(self).__name__)


class NotFound(Rejection):
    """There is no such thing."""

    status = 404


class Invalid(Rejection):
    """The request is well-formed but cannot be accepted."""

    status = 422


class VersionConflict(Rejection):
    """The stream has moved on: read it again and repeat the command."""


class CommandIdReused(Invalid):
    """This command id was used before with a different command."""


class Fault(Exception):
    """A breakdown: answered with 5xx, retried, alerted."""

    status: ClassVar[int] = 503

    @property
    def code(self) -> str:
        return _code(type(self).__name__)


class StoreUnavailable(Fault):
    """The event store cannot be reached at the moment; nothing was recorded."""


class OutcomeUnknown(Fault):
    """The connection was lost while committing and the outcome could not be learned in time; repeat with the same command id."""


class Overloaded(Fault):
    """Too many requests are waiting; try again shortly."""
