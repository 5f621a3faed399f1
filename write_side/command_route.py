"""What the HTTP edge knows of a command class: its path, how a body becomes the command, and its schema."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from infra.adapters.document_text import parse_document
from infra.adapters.problem import ERRORS_COUNTED_MAX, InvalidFields, Malformed, of_validation
from infra.adapters.web_origin import COMMAND_PARAMETERS, GROUPS
from infra.adapters.web_parameters import ID_PATTERN, Parameter
from infra.adapters.web_request import JSON
from infra.patterns.decider import Command, DeciderCatalog
from write_side.acted import Acted

_BLANKS = b" \t\r\n"


@dataclass(frozen=True)
class CommandRoute:
    """A public command: `POST /v1/<category>s` if it creates, else `POST /v1/<category>s/{<category>_id}/<verb>`.

    A default command has a second path, without the verb.
    """

    command: type[Command]
    category: str

    @cached_property
    def name(self) -> str:
        return self.command.__name__

    @property
    def collection(self) -> str:
        return f"/v1/{self.category}s"

    @property
    def verb(self) -> str:
        """The class name without the noun, in kebab case: `update-capabilities` of UpdateAgentCapabilities."""
        noun = "".join(word.capitalize() for word in self.category.split("_"))
        return "-".join(word.lower() for word in re.findall("[A-Z][a-z0-9]*", self.name.replace(noun, "", 1)))

    @property
    def path(self) -> str:
        if self.command.creates:
            return self.collection
        return f"{self.collection}/{{{self.id_field}}}/{self.verb}"

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path, self.path.removesuffix(f"/{self.verb}")) if self.command.is_default else (self.path,)

    @property
    def id_field(self) -> str:
        return f"{self.category}_id"

    @property
    def id_parameter(self) -> Parameter:
        return Parameter(
            self.id_field, "path", {"type": "string", "pattern": ID_PATTERN}, f"The id of the {self.category}."
        )

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        of_path = () if self.command.creates else (self.id_parameter,)
        return (*of_path, *COMMAND_PARAMETERS, *((GROUPS,) if issubclass(self.command, Acted) else ()))

    @property
    def media_types(self) -> tuple[bytes, ...]:
        return (JSON, *(media_type.encode() for media_type in self.command.whole_body_types))

    @property
    def server_fields(self) -> frozenset[str]:
        """Fields that the server fills."""
        fields = self.command.model_fields.items()
        return frozenset(name for name, field in fields if _marks(field.json_schema_extra).get("server"))

    def _hidden(self, id_in_body: bool) -> frozenset[str]:
        """The fields that a body does not have: the id where it is in the path, and what the server fills."""
        return self.server_fields | (set() if id_in_body or self.command.creates else {self.id_field})

    @cached_property
    def body_required(self) -> bool:
        """Whether there is a field that must be given, beside the id."""
        hidden = self._hidden(id_in_body=False)
        return any(field.is_required() for name, field in self.command.model_fields.items() if name not in hidden)

    def schema(self, whole: dict[str, Any], *, id_in_body: bool = False) -> dict[str, Any]:
        """The schema of the body, from that of the class."""
        if self.command.whole_body is not None:
            return dict(whole["properties"][self.command.whole_body], description=whole.get("description", ""))
        hidden = self._hidden(id_in_body)
        schema = dict(whole)
        schema["properties"] = {name: field for name, field in whole["properties"].items() if name not in hidden}
        schema["required"] = [name for name in whole.get("required", ()) if name not in hidden]
        if not schema["required"]:
            del schema["required"]
        return schema


def _marks(extra: object) -> dict[str, Any]:
    return extra if isinstance(extra, dict) else {}


class CommandReader:
    """Makes commands of one class from JSON."""

    def __init__(self, route: CommandRoute) -> None:
        self.route = route
        self.heartbeat: bool = getattr(route.command, "heartbeat", False)
        self.acted = issubclass(route.command, Acted)
        self._validate = route.command.__pydantic_validator__.validate_json
        self._id_field = route.id_field
        self._id_parameter = route.id_parameter
        self._quoted_id_field = f'"{route.id_field}"'.encode()
        self._opening = f'{{"{route.id_field}":"'.encode()
        self._server_fields = route.server_fields

    def read(self, body: bytes) -> Command:
        """A command whose id, if any, is in the body. Raises Malformed and InvalidFields."""
        try:
            # Strict, as the schema is: in JSON "1" is no number. Dates and tuples are still read from JSON's own types.
            command: Command = self._validate(body, strict=True)
        except ValidationError as error:
            command = self._read_again(body, error)
        if self._server_fields:
            self._refuse(self._server_fields & command.model_fields_set)
        return command

    def _read_again(self, body: bytes, error: ValidationError) -> Command:
        """To JSON Schema 1.0 is a whole number, and some writers of JSON write it so; to pydantic it is not."""
        if error.error_count() > ERRORS_COUNTED_MAX or not _whole_numbers(error):
            raise of_validation(error) from None
        document = _parse(body)
        for location, number in _whole_numbers(error):
            _put(document, location, number)
        try:
            command: Command = self._validate(to_json(document), strict=True)
        except ValidationError as still:
            raise of_validation(still) from None
        return command

    def read_document(self, body: bytes, media_type: bytes) -> Command:
        """A command of which the body is one field, the whole of it."""
        name = self.route.command.whole_body
        try:
            return self.read(to_json({name: parse_document(body, media_type.decode())}))
        except InvalidFields as invalid:
            # The document is the whole of what was sent.
            errors = invalid.details["errors"]
            raise InvalidFields(
                [{**each, "pointer": each["pointer"].removeprefix(f"/{name}")} for each in errors]
            ) from None

    def read_with_id(self, body: bytes, entity_id: str) -> Command:
        """A command whose id is in the path; the body may be empty if nothing else is required."""
        self._id_parameter.read(entity_id)
        text = body.strip(_BLANKS) or b"{}"
        if text[:1] != b"{":
            return self.read(text)
        rest = text[1:].lstrip(_BLANKS)
        if self._quoted_id_field in rest:
            self._refuse_own_id(text)
        comma = b"" if rest[:1] == b"}" else b","
        try:
            command = self.read(b"".join((self._opening, entity_id.encode(), b'"', comma, rest)))
        except Malformed:
            _parse(body)  # says where in what was sent
            raise
        if getattr(command, self._id_field) != entity_id:
            self._refuse({self._id_field})
        return command

    def _refuse_own_id(self, text: bytes) -> None:
        """The id is in the path; one in the body as well could only contradict it."""
        document = _parse(text)
        if isinstance(document, dict) and self._id_field in document:
            self._refuse({self._id_field})

    def _refuse(self, fields: set[str] | frozenset[str]) -> None:
        if fields:
            raise InvalidFields(
                [{"pointer": f"/{name}", "detail": "there is no such field"} for name in sorted(fields)]
            )


def _whole_numbers(error: ValidationError) -> list[tuple[tuple[str | int, ...], int]]:
    """Where a float stands for a whole number that was wanted, and that number."""
    return [
        (each["loc"], int(each["input"]))
        for each in error.errors(include_url=False, include_context=False)
        if each["type"] == "int_type" and isinstance(each["input"], float) and each["input"].is_integer()
    ]


def _put(document: Any, location: tuple[str | int, ...], number: int) -> None:
    for part in location[:-1]:
        document = document[part]
    document[location[-1]] = number


def _parse(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError as error:
        raise Malformed(f"Invalid JSON: {error}") from None


def command_routes(catalog: DeciderCatalog) -> list[CommandRoute]:
    """The public commands, in the order of the catalog."""
    return [
        CommandRoute(command, decider.category)
        for decider in catalog.deciders
        for command in decider.commands
        if command.public
    ]
