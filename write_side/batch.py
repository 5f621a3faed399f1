"""Many commands in one request: each is read, carried out and answered on its own, in order, and they are written together."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from infra.adapters.problem import InvalidFields, Malformed
from infra.adapters.web_origin import Sender, Within, groups_of, read_id, read_trace
from infra.adapters.web_request import Request
from infra.errors import Invalid, Rejection
from infra.patterns.decider import Command
from infra.settings import Settings
from write_side.acted import Acted
from write_side.command_route import CommandReader

ARRAY, LINES = b"application/json", b"application/x-ndjson"
_PAUSE_EVERY = 500


class CommandUnknown(Invalid):
    """There is no such command.

    Alone it is a path or subject that is not found (write_side/api.py); among many, a field that cannot be accepted.
    """


class TooManyCommands(Invalid):
    """There are more commands than one request may hold."""


class NotACommand(Invalid):
    """A command is a JSON object with the member `command`."""


Item = tuple[CommandReader, Command, str | None, Within]
"""A command, the id that its sender gave it, if any, and what it belongs to."""


class BatchReader:
    """Reads requests of many commands, as a JSON array or one JSON object per line."""

    def __init__(self, readers: Mapping[str, CommandReader], settings: Settings) -> None:
        self._readers = readers
        self._settings = settings

    async def read(self, request: Request, sender: Sender) -> list[Item | Rejection]:
        """One entry per command: what it is, or why it is refused. Raises a Rejection if the whole cannot be read."""
        groups = groups_of(request)
        media_type = request.require_media_type(ARRAY, LINES)
        body = await request.body(self._settings.body_bytes_max)
        found: list[Item | Rejection] = []
        for document in self._lines(body) if media_type == LINES else self._array(body):
            try:
                if isinstance(document, Rejection):
                    raise document
                reader, command, command_id, within = await self._read_one(document)
                if reader.acted and isinstance(command, Acted):
                    command = command.sent_by(sender.actor, groups)
                found.append((reader, command, command_id, within))
            except Rejection as rejection:
                found.append(rejection)
            if len(found) % _PAUSE_EVERY == 0:
                await asyncio.sleep(0)
        return found

    def _array(self, body: bytes) -> list[Any]:
        try:
            documents = from_json(body, cache_strings="keys")
        except ValueError as error:
            raise Malformed(f"Invalid JSON: {error}") from None
        if not isinstance(documents, list):
            raise InvalidFields([{"pointer": "", "detail": "must be an array"}])
        if len(documents) > self._settings.commands_per_request_max:
            raise self._too_many()
        return documents

    def _lines(self, body: bytes) -> Iterator[Any]:
        if body.count(b"\n") > 2 * self._settings.commands_per_request_max:
            raise self._too_many()
        lines = [line for line in body.split(b"\n") if line.strip()]
        if len(lines) > self._settings.commands_per_request_max:
            raise self._too_many()
        for line in lines:
            try:
                yield from_json(line, cache_strings="keys")
            except ValueError as error:
                yield Malformed(f"Invalid JSON: {error}")

    def _too_many(self) -> TooManyCommands:
        return TooManyCommands(f"One request may hold {self._settings.commands_per_request_max} commands.")

    async def _read_one(self, document: Any) -> Item:
        if not isinstance(document, dict):
            raise NotACommand
        name = document.pop("command", None)
        reader = self._readers.get(name) if isinstance(name, str) else None
        if reader is None:
            raise CommandUnknown(f"There is no command {name[:100]!r}." if isinstance(name, str) else None)
        command_id = read_id("command_id", document.pop("command_id", None))
        correlation_id = read_id("correlation_id", document.pop("correlation_id", None))
        traceparent = read_trace(document.pop("traceparent", None))
        body = to_json(document)
        # A whole document may take seconds to understand.
        whole = reader.route.command.whole_body is not None
        command = await asyncio.to_thread(reader.read, body) if whole else reader.read(body)
        return reader, command, command_id, (correlation_id, traceparent)
