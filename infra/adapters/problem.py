"""Answers that say no, as problem+json documents (RFC 9457)."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from pydantic import ValidationError
from pydantic_core import to_json

from infra.errors import Fault, Invalid, NotFound, Rejection

TYPE_ROOT = "https://foldwork.dev/problems/"
ERRORS_LISTED_MAX = 100
ERRORS_COUNTED_MAX = 2_000
RETRY_AFTER_S = 1
_TITLE_CHARACTERS_MAX = 200
# pydantic says so of a field that was left out, because others are wrong from which its default is made.
_FOLLOWS = "default_factory_not_called"
_MEMBERS = frozenset({"type", "title", "status", "detail", "instance", "errors"})


class Malformed(Rejection):
    """The request cannot be read."""

    status = 400


class UnknownPath(NotFound):
    """There is nothing at this path."""


class MethodNotAllowed(Rejection):
    """This path does not take that method."""

    status = 405


class BodyTooLarge(Rejection):
    """The body is larger than this API takes."""

    status = 413


class UnsupportedMediaType(Rejection):
    """The body is of a media type that this path does not take."""

    status = 415


class UpgradeRequired(Rejection):
    """This path speaks WebSocket only."""

    status = 426


class InvalidFields(Invalid):
    """Some of what was sent is not what this command or query takes."""

    def __init__(self, errors: Sequence[Mapping[str, str]]) -> None:
        super().__init__(errors=list(errors))


def problem(rejection: Rejection | Fault, instance: str | None = None) -> dict[str, Any]:
    """The members of the problem document; those of `details` come beside the standard ones and never replace them."""
    detail = str(rejection) or first_line(rejection)
    details = rejection.details if isinstance(rejection, Rejection) else {}
    document: dict[str, Any] = {
        "type": TYPE_ROOT + rejection.code,
        "title": first_line(rejection),
        "status": rejection.status,
        "detail": detail,
    }
    if instance is not None:
        document["instance"] = instance
    for name, value in details.items():
        if name not in _MEMBERS or name == "errors":
            document[name] = value
    return document


def unexpected(instance: str | None = None) -> dict[str, Any]:
    """The problem of an error that nobody foresaw; it tells nothing of the cause, which is in the log."""
    document: dict[str, Any] = {
        "type": TYPE_ROOT + "internal-error",
        "title": "Something went wrong inside Foldwork.",
        "status": int(HTTPStatus.INTERNAL_SERVER_ERROR),
        "detail": "The cause is in the log of the process. A command can safely be repeated with the same command id.",
    }
    if instance is not None:
        document["instance"] = instance
    return document


def first_line(error: Exception) -> str:
    """What kind of problem it is: the first line of the class's docstring, the same for every occurrence."""
    lines = (type(error).__doc__ or type(error).__name__).strip().splitlines()
    return lines[0][:_TITLE_CHARACTERS_MAX]


def dump(document: Any) -> bytes:
    """JSON of a document that may hold texts and numbers of users, however odd."""
    try:
        return orjson.dumps(document)
    except TypeError:
        return to_json(document, fallback=str)


def of_validation(error: ValidationError) -> Rejection:
    """What pydantic found wrong: malformed JSON, or fields that are not as they should be, by JSON pointer (RFC 6901)."""
    count = error.error_count()
    if count > ERRORS_COUNTED_MAX:
        return InvalidFields([{"pointer": "", "detail": f"{count} fields are not as they should be"}])
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return Malformed(found[0]["msg"])
    wrong = [each for each in found if each["type"] != _FOLLOWS]
    return InvalidFields(
        [{"pointer": pointer(each["loc"]), "detail": _detail(each)} for each in wrong[:ERRORS_LISTED_MAX]]
    )


def pointer(location: Sequence[str | int]) -> str:
    """A JSON pointer; what pydantic adds to a location for its own use is left out."""
    parts = (str(part) for part in location if part != "[key]")
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _detail(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    if error["type"] == "missing":
        return "is required"
    return re.sub(r"^(Value error, |Input should be |String should )", _plain, str(error["msg"]))


def _plain(prefix: re.Match[str]) -> str:
    return {"Value error, ": "", "Input should be ": "must be ", "String should ": "must "}[prefix[0]]
