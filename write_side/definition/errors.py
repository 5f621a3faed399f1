"""What goes wrong and what is done about it: errors that are raised, those that are caught, and how often something is tried again."""

from typing import TYPE_CHECKING, Annotated

from pydantic import model_validator

from write_side.definition.values import (
    Duration,
    Integer,
    JsonObject,
    Maybe,
    OpenPart,
    Part,
    PointerOrExpression,
    UriOrExpression,
    by_shape,
    tag,
)

if TYPE_CHECKING:
    from write_side.definition.tasks import TaskList


class ErrorDefinition(Part):
    """An error as problem details have it (RFC 9457)."""

    type: UriOrExpression
    status: Integer
    instance: Maybe[PointerOrExpression] = None
    title: Maybe[str] = None
    detail: Maybe[str] = None


class ErrorFilter(OpenPart):
    """Which errors are meant: those that have all of these."""

    type: Maybe[str] = None
    status: Maybe[Integer] = None
    instance: Maybe[str] = None
    title: Maybe[str] = None
    detail: Maybe[str] = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> "ErrorFilter":
        if not self.model_fields_set:
            raise ValueError("must have at least one field")
        return self


class CaughtErrors(OpenPart):
    """Which errors are caught."""

    with_: Maybe[ErrorFilter] = None


class Backoff(Part):
    """How the delay grows from one attempt to the next: exactly one of the three ways."""

    constant: Maybe[JsonObject] = None
    exponential: Maybe[JsonObject] = None
    linear: Maybe[JsonObject] = None

    @model_validator(mode="after")
    def _has_one_way(self) -> "Backoff":
        if len(self.given("constant", "exponential", "linear")) != 1:
            raise ValueError("must have exactly one of constant, exponential, linear")
        return self


class AttemptLimit(Part):
    """How many attempts there are at most, and for how long all of them may go on."""

    count: Maybe[Integer] = None
    duration: Maybe[Duration] = None


class RetryLimit(Part):
    """When to give up."""

    attempt: Maybe[AttemptLimit] = None
    duration: Maybe[Duration] = None


class Jitter(Part):
    """Between which bounds the random part of a delay lies."""

    from_: Duration
    to: Duration


class RetryPolicy(Part):
    """Whether, when and how often to try again."""

    when: Maybe[str] = None
    except_when: Maybe[str] = None
    delay: Maybe[Duration] = None
    backoff: Maybe[Backoff] = None
    limit: Maybe[RetryLimit] = None
    jitter: Maybe[Jitter] = None


RetryPolicyOrName = Annotated[
    Annotated[RetryPolicy, tag("object")] | Annotated[str, tag("text")],
    by_shape("must be a retry policy, or the name of one"),
]
"""A retry policy, or the name of one that `use` declares."""


class Catch(Part):
    """Which errors are caught, and what is done then."""

    errors: Maybe[CaughtErrors] = None
    as_: str = "error"
    when: Maybe[str] = None
    except_when: Maybe[str] = None
    retry: Maybe[RetryPolicyOrName] = None
    do: Maybe["TaskList"] = None
    then: Maybe[str] = None


class Raise(Part):
    """The error to raise, or the name of one that `use` declares."""

    error: Annotated[
        Annotated[ErrorDefinition, tag("object")] | Annotated[str, tag("text")],
        by_shape("must be an error, or the name of one"),
    ]
