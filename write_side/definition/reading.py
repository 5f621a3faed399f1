"""The way in: a parsed document becomes a definition, or a rejection that names each place that is not as it should be."""

import re
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from infra.errors import Invalid
from write_side.definition.document import Definition
from write_side.definition.values import TAG_MARK, below

ERRORS_LISTED_MAX = 100

_SAID: dict[str, str] = {
    "extra_forbidden": "there is no such field",
    "missing": "is required",
    "string_type": "must be text",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "tuple_type": "must be a list",
}


class InvalidDefinition(Invalid):
    """The document is not a workflow definition of the Open Workflow Specification."""


def read_definition(document: object) -> Definition:
    """The typed model of a parsed JSON document.

    Agrees with the official JSON Schema of DSL 1.0.3. Otherwise InvalidDefinition, whose `errors` are up to ERRORS_LISTED_MAX objects of a
    `pointer` (RFC 6901) and a `detail`.
    """
    try:
        return Definition.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True, include_input=False)
    raise InvalidDefinition(
        errors=[{"pointer": pointer(each["loc"]), "detail": _detail(each)} for each in found[:ERRORS_LISTED_MAX]]
    )


def pointer(location: Sequence[str | int]) -> str:
    """A JSON pointer to a place in a document; which alternative was looked at is left out."""
    return below("", *(part for part in location if not (isinstance(part, str) and part.startswith(TAG_MARK))))


def _detail(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "too_short":
        return "must not be empty"
    if kind == "too_long":
        return f"must have exactly {context['max_length']} field"
    said = _SAID.get(kind)
    return said or re.sub(r"^(Value error, |Input should be |String should )", _plain, error["msg"])


def _plain(prefix: re.Match[str]) -> str:
    return {"Value error, ": "", "Input should be ": "must be ", "String should ": "must "}[prefix[0]]
