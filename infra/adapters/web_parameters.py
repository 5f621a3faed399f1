"""Parameters in paths, queries and headers: one definition from which the OpenAPI document and the check of what comes in both follow."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from urllib.parse import parse_qsl

from infra.adapters.problem import InvalidFields, Malformed

POSITION_MAX = 9_007_199_254_740_991
"""The largest whole number that every JSON reader keeps exact (2^53 - 1)."""

QUERY_BYTES_MAX = 16_384
QUERY_FIELDS_MAX = 100

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$"
TEXT_PATTERN = r"^[^\x00]*$"
PRINTABLE_PATTERN = r"^[!-~]([ -~]{0,253}[!-~])?$"

Where = Literal["path", "query", "header"]
Value = str | int | bool
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,18})")


@dataclass(frozen=True)
class Parameter:
    """One parameter. Its JSON Schema is of type string (with pattern, lengths or enum), integer (with bounds) or boolean.

    A `repeated` one may be given more than once, any of its values will do.
    """

    name: str
    where: Where
    schema: Mapping[str, Any]
    description: str
    repeated: bool = False

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # In JSON Schema `$` is the very end, in Python it may stand before a last line feed.
        return re.compile(str(self.schema.get("pattern", TEXT_PATTERN)).removesuffix("$") + r"\Z")

    def read(self, text: str) -> Value:
        """The value that a text stands for. Raises InvalidFields."""
        kind = self.schema["type"]
        if kind == "integer":
            return self._read_integer(text)
        if kind == "boolean":
            if text not in ("true", "false"):
                raise self._invalid("must be true or false")
            return text == "true"
        choices = self.schema.get("enum")
        if choices is not None and text not in choices:
            raise self._invalid(f"must be one of {', '.join(choices)}")
        if not self.schema.get("minLength", 0) <= len(text) <= self.schema.get("maxLength", QUERY_BYTES_MAX):
            raise self._invalid(
                f"must be {self.schema.get('minLength', 0)} to {self.schema.get('maxLength')} characters long"
            )
        if not self._pattern.match(text):
            raise self._invalid(f"must match {self.schema.get('pattern', TEXT_PATTERN)}")
        return text

    def _read_integer(self, text: str) -> int:
        lowest, highest = self.schema.get("minimum", 0), self.schema.get("maximum", POSITION_MAX)
        if not _WHOLE_NUMBER.fullmatch(text) or not lowest <= int(text) <= highest:
            raise self._invalid(f"must be a whole number from {lowest} to {highest}")
        return int(text)

    def _invalid(self, detail: str) -> InvalidFields:
        return InvalidFields([{"parameter": self.name, "in": self.where, "detail": detail}])


def position(name: str, where: Where, description: str) -> Parameter:
    """A parameter that is a place in the log or a version; in a header it is text, as headers are."""
    schema: Mapping[str, Any] = {"type": "integer", "minimum": 0, "maximum": POSITION_MAX}
    if where == "header":
        schema = {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,14})$"}
    return Parameter(name, where, schema, description)


TENANT = Parameter(
    "Foldwork-Tenant",
    "header",
    {"type": "string", "pattern": r"^[a-z0-9][a-z0-9-]{0,62}$", "default": "default"},
    "The tenant that the request is for.",
)


@dataclass(frozen=True)
class QueryReader:
    """The parameters that one path takes in its query; any other is refused."""

    parameters: Sequence[Parameter]
    _by_name: dict[str, Parameter] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {parameter.name: parameter for parameter in self.parameters})

    def read(self, query: bytes) -> dict[str, Any]:
        """The values by name, a list for a repeated parameter. Raises Malformed and InvalidFields."""
        if not query:
            return {}
        found: dict[str, Any] = {}
        for name, text in _fields(query):
            parameter = self._by_name.get(name)
            if parameter is None:
                raise InvalidFields([{"parameter": name[:100], "in": "query", "detail": "there is no such parameter"}])
            if parameter.repeated:
                found.setdefault(name, []).append(parameter.read(text))
            elif name in found:
                raise InvalidFields([{"parameter": name, "in": "query", "detail": "must be given once"}])
            else:
                found[name] = parameter.read(text)
        return found


def _fields(query: bytes) -> list[tuple[str, str]]:
    if len(query) > QUERY_BYTES_MAX:
        raise Malformed(f"The query is longer than {QUERY_BYTES_MAX} bytes.")
    try:
        text = query.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX)
    except (UnicodeDecodeError, ValueError) as unreadable:
        raise Malformed("The query is not percent-encoded UTF-8, or has too many fields.") from unreadable
