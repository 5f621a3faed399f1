"""The command API: a route for every public command, derived from its class, and one for many commands at once.

Guarantee: 200 or 201 means that the events are on disk; a repeated Idempotency-Key gives the same status and answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import orjson
import structlog
from pydantic import BaseModel, Field

from events.envelope import Origin
from infra.adapters.event_store import Appended
from infra.adapters.problem import InvalidFields, dump, problem, unexpected
from infra.adapters.web import Application, Route
from infra.adapters.web_docs import Schema, components, document
from infra.adapters.web_metrics import Tally, WebMetrics
from infra.adapters.web_operations import documentation, operations
from infra.adapters.web_origin import (
    EXPECTED_VERSION,
    IDEMPOTENCY_KEY,
    Sender,
    command_id_of,
    expected_version_of,
    groups_of,
)
from infra.adapters.web_request import JSON, Answer, Request
from infra.engines.command_bus import CommandBus
from infra.errors import Fault, NotFound, Rejection
from infra.patterns.decider import Command, DeciderCatalog
from infra.settings import Settings
from infra.telemetry import queue_depths
from write_side.acted import Acted
from write_side.batch import BatchReader
from write_side.command_docs import BATCH, DESCRIPTION, RESULT, TITLE, batch_operation, one_of_many, operation_of
from write_side.command_route import CommandReader, CommandRoute, command_routes

log = structlog.get_logger()


class CommandAnswer(BaseModel):
    """Where the command's events are: its stream's version and the log's position after them."""

    stream_id: str
    version: int = Field(ge=0)
    position: int = Field(ge=0)
    event_ids: list[str]


class CommandUnknown(NotFound):
    """There is no such command."""


class SignsOfLife(Protocol):
    """What infra/engines/liveness.py does with heartbeats."""

    def seen(self, tenant_id: str, stream_id: str) -> None: ...


class CommandEdge:
    """Takes commands to the bus and its answers back."""

    def __init__(
        self, bus: CommandBus, catalog: DeciderCatalog, liveness: SignsOfLife, settings: Settings, metrics: WebMetrics
    ) -> None:
        self._bus = bus
        self._liveness = liveness
        self._settings = settings
        self._outcomes = Tally("foldwork_commands", "Commands carried out.", ["command", "outcome"], metrics.registry)
        self._under_way = 0
        queue_depths(metrics.registry).labels("commands").set_function(lambda: self._under_way)
        self._readers = {route.name: CommandReader(route) for route in command_routes(catalog)}
        self._batch_reader = BatchReader(self._readers, settings)

    def routes(self) -> list[Route]:
        routes = [
            Route("POST", path, self._endpoint(reader), operation_of(reader.route, path))
            for reader in self._readers.values()
            for path in reader.route.paths
        ]
        return [*routes, Route("POST", "/v1/commands", self._execute_many, batch_operation(self._settings))]

    @property
    def commands(self) -> list[CommandRoute]:
        """The commands that it takes."""
        return [reader.route for reader in self._readers.values()]

    def schemas(self, *, id_in_body: bool = False) -> Schema:
        """The schemas of all bodies and answers, by name."""
        bodies = components([route.command for route in self.commands], "validation")
        for route in self.commands:
            bodies[route.name] = route.schema(bodies[route.name], id_in_body=id_in_body)
        answers = components([CommandAnswer], "serialization")
        return {**bodies, **answers, "Command": one_of_many(list(self._readers)), "CommandResult": RESULT}

    def _endpoint(self, reader: CommandReader) -> Callable[[Request], Awaitable[Answer]]:
        async def execute(request: Request) -> Answer:
            return await self._answer(reader, request, id_in_body=reader.route.command.creates)

        return execute

    async def answer(self, name: str, request: Request) -> Answer:
        """What a request is answered that names its command and has the id, if any, in the body. Raises CommandUnknown."""
        if name == BATCH:
            return await self._execute_many(request)
        reader = self._readers.get(name)
        if reader is None:
            raise CommandUnknown(f"There is no command {name[:100]!r}.")
        return await self._answer(reader, request, id_in_body=True)

    async def _answer(self, reader: CommandReader, request: Request, *, id_in_body: bool) -> Answer:
        route = reader.route
        sender = Sender(request)
        command_id, expected_version = command_id_of(request), expected_version_of(request)
        _refuse_query(request)
        body = await request.body(self._settings.body_bytes_max)
        media_type = request.require_media_type(*route.media_types) if body or route.body_required else JSON
        if route.command.whole_body is not None:
            command = await asyncio.to_thread(reader.read_document, body, media_type)
        else:
            command = reader.read(body) if id_in_body else reader.read_with_id(body, request.parameter)
        if reader.acted and isinstance(command, Acted):
            command = command.sent_by(sender.actor, groups_of(request))
        origin = sender.origin(command_id)
        appended = await self._execute(reader, command, origin, expected_version, command_id is not None)
        position = (b"foldwork-position", b"%d" % appended.position)
        if not route.command.creates:
            return Answer(200, _dump(appended), (position,))
        location = f"{route.collection}/{appended.stream_id.partition('-')[2]}".encode()
        return Answer(201, _dump(appended), (position, (b"location", location)))

    async def _execute(
        self, reader: CommandReader, command: Command, origin: Origin, expected_version: int | None, remember: bool
    ) -> Appended:
        self._under_way += 1
        try:
            appended = await self._bus.execute(command, origin, expected_version=expected_version, remember=remember)
        except Exception as error:
            self._outcomes.count(reader.route.name, _outcome(error))
            raise
        finally:
            self._under_way -= 1
        self._accepted(reader, origin.tenant_id, appended)
        return appended

    def _accepted(self, reader: CommandReader, tenant_id: str, appended: Appended) -> None:
        self._outcomes.count(reader.route.name, _outcome(appended))
        if reader.heartbeat:
            self._liveness.seen(tenant_id, appended.stream_id)

    async def _execute_many(self, request: Request) -> Answer:
        sender = Sender(request)
        _refuse_query(request)
        _refuse_headers_of_one(request)
        items = await self._batch_reader.read(request, sender)
        readable = [item for item in items if not isinstance(item, Rejection)]
        self._under_way += len(readable)
        try:
            outcomes = await self._bus.execute_many(
                [
                    (command, sender.origin(command_id, within), command_id is not None)
                    for _, command, command_id, within in readable
                ]
            )
        finally:
            self._under_way -= len(readable)
        ends = iter(outcomes)
        results, position = [], 0
        for item in items:
            if isinstance(item, Rejection):
                results.append(problem(item))
                continue
            reader, command, _, _ = item
            outcome = next(ends)
            if isinstance(outcome, Appended):
                position = max(position, outcome.position)
                self._accepted(reader, sender.tenant_id, outcome)
                results.append({"status": 201 if command.creates else 200, **_members(outcome)})
            else:
                self._outcomes.count(reader.route.name, _outcome(outcome))
                results.append(_problem_of(outcome, reader.route.name))
        return Answer(200, dump({"results": results}), ((b"foldwork-position", b"%d" % position),))


def create_application(
    edge: CommandEdge, ready: Callable[[], Awaitable[object]], metrics: WebMetrics, beside: Iterable[Route] = ()
) -> Application:
    """The command API as an ASGI application; `beside` are routes that are not in its document."""
    routes = [*edge.routes(), *operations(ready, metrics)]

    def describe() -> bytes:
        return document(TITLE, DESCRIPTION, routes, edge.schemas())

    return Application([*routes, *documentation(TITLE, describe), *beside], metrics)


def _members(appended: Appended) -> dict[str, object]:
    return {
        "stream_id": appended.stream_id,
        "version": appended.version,
        "position": appended.position,
        "event_ids": appended.event_ids,
    }


def _dump(appended: Appended) -> bytes:
    return orjson.dumps(_members(appended))


def _outcome(outcome: Appended | Exception) -> str:
    if isinstance(outcome, Appended):
        return "repeated" if outcome.repeated else "accepted"
    return "rejected" if isinstance(outcome, Rejection) else "failed"


def _problem_of(error: Exception, command: str) -> dict[str, object]:
    if isinstance(error, Rejection | Fault):
        if isinstance(error, Fault):
            log.warning("command.failed", code=error.code, command=command)
        return problem(error)
    log.error("command.broke_down", command=command, exc_info=error)
    return unexpected()


def _refuse_query(request: Request) -> None:
    if request.query:
        raise InvalidFields([{"parameter": "", "in": "query", "detail": "there are no parameters in the query"}])


def _refuse_headers_of_one(request: Request) -> None:
    """Who sends these with many commands counts on them, and would do everything twice when it asks again."""
    for parameter in (IDEMPOTENCY_KEY, EXPECTED_VERSION):
        if parameter.name.lower().encode() in request.headers:
            detail = "is of one command; each of many has a `command_id` of its own"
            raise InvalidFields([{"parameter": parameter.name, "in": "header", "detail": detail}])
