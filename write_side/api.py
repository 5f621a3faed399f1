"""The command API: a route for every public command, derived from its class, and one for many commands at once.

Guarantee: 200 or 201 means that the events are on disk; a repeated Idempotency-Key gives the same status and answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import orjson
import structlog
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, Field

from events.envelope import Origin
from infra.adapters.event_store import Appended
from infra.adapters.problem import InvalidFields, dump, problem, unexpected
from infra.adapters.web import Application, Route
from infra.adapters.web_docs import Operation, Reply, Schema, components, document, problems, reference
from infra.adapters.web_metrics import Tally, WebMetrics
from infra.adapters.web_operations import documentation, operations
from infra.adapters.web_origin import BATCH_PARAMETERS, COMMAND_PARAMETERS, Sender, command_id_of, expected_version_of
from infra.adapters.web_parameters import POSITION_MAX, PRINTABLE_PATTERN
from infra.adapters.web_request import JSON, Answer, Request
from infra.engines.command_bus import CommandBus
from infra.errors import Fault, Rejection
from infra.patterns.decider import Command, DeciderCatalog
from infra.settings import Settings
from infra.telemetry import queue_depths
from write_side.batch import ARRAY, LINES, BatchReader
from write_side.command_route import CommandReader, CommandRoute, command_routes

log = structlog.get_logger()

TITLE = "Foldwork commands"
DESCRIPTION = (
    "Every command that is accepted becomes events in one log. Errors are problem documents (RFC 9457). "
    "What is recorded can be read at the query API once its read models have seen the position in `Foldwork-Position`."
)
_POSITION: Schema = {"type": "integer", "minimum": 0, "maximum": POSITION_MAX}


class CommandAnswer(BaseModel):
    """Where the command's events are: its stream's version and the log's position after them."""

    stream_id: str
    version: int = Field(ge=0)
    position: int = Field(ge=0)
    event_ids: list[str]


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
            Route("POST", reader.route.path, self._endpoint(reader), _operation(reader.route))
            for reader in self._readers.values()
        ]
        return [*routes, Route("POST", "/v1/commands", self._execute_many, _batch_operation(self._settings))]

    def schemas(self) -> Schema:
        """The schemas of all bodies and answers, by name."""
        bodies = components([reader.route.command for reader in self._readers.values()], "validation")
        for name, reader in self._readers.items():
            bodies[name] = reader.route.schema(bodies[name])
        answers = components([CommandAnswer], "serialization")
        return {**bodies, **answers, "Command": _one_of_many(list(self._readers)), "CommandResult": _RESULT}

    def _endpoint(self, reader: CommandReader) -> Callable[[Request], Awaitable[Answer]]:
        creates, collection = reader.route.command.creates, reader.route.collection
        bytes_max, body_required = self._settings.body_bytes_max, _body_required(reader.route)
        media_types, is_document = reader.route.media_types, reader.route.command.whole_body is not None

        async def execute(request: Request) -> Answer:
            sender = Sender(request)
            command_id, expected_version = command_id_of(request), expected_version_of(request)
            if request.query:
                raise InvalidFields(
                    [{"parameter": "", "in": "query", "detail": "there are no parameters in the query"}]
                )
            body = await request.body(bytes_max)
            media_type = request.require_media_type(*media_types) if body or body_required else JSON
            if is_document:
                command = await asyncio.to_thread(reader.read_document, body, media_type)
            else:
                command = reader.read(body) if creates else reader.read_with_id(body, request.parameter)
            appended = await self._execute(
                reader, command, sender.origin(command_id), expected_version, command_id is not None
            )
            position = (b"foldwork-position", b"%d" % appended.position)
            if not creates:
                return Answer(200, _dump(appended), (position,))
            location = f"{collection}/{appended.stream_id.partition('-')[2]}".encode()
            return Answer(201, _dump(appended), (position, (b"location", location)))

        return execute

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
        if request.query:
            raise InvalidFields([{"parameter": "", "in": "query", "detail": "there are no parameters in the query"}])
        items = await self._batch_reader.read(request)
        readable = [item for item in items if not isinstance(item, Rejection)]
        self._under_way += len(readable)
        try:
            outcomes = await self._bus.execute_many(
                [(command, sender.origin(command_id), command_id is not None) for _, command, command_id in readable]
            )
        finally:
            self._under_way -= len(readable)
        ends = iter(outcomes)
        results, position = [], 0
        for item in items:
            if isinstance(item, Rejection):
                results.append(problem(item))
                continue
            reader, command, _ = item
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
    bus: CommandBus,
    catalog: DeciderCatalog,
    liveness: SignsOfLife,
    ready: Callable[[], Awaitable[object]],
    registry: CollectorRegistry,
    settings: Settings,
) -> Application:
    """The command API as an ASGI application."""
    metrics = WebMetrics(registry)
    edge = CommandEdge(bus, catalog, liveness, settings, metrics)
    routes = [*edge.routes(), *operations(ready, metrics)]

    def describe() -> bytes:
        return document(TITLE, DESCRIPTION, routes, edge.schemas())

    return Application([*routes, *documentation(TITLE, describe)], metrics)


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


def _body_required(route: CommandRoute) -> bool:
    """Whether there is a field that must be given."""
    hidden = route.server_fields | (set() if route.command.creates else {route.id_field})
    return any(field.is_required() for name, field in route.command.model_fields.items() if name not in hidden)


def _operation(route: CommandRoute) -> Operation:
    command = route.command
    headers: dict[str, Schema] = {"Foldwork-Position": _POSITION}
    if command.creates:
        headers["Location"] = {"type": "string", "pattern": f"^{route.collection}/[^/]+$"}
    accepted = Reply("The events are recorded.", reference("CommandAnswer"), headers=headers)
    return Operation(
        id=route.name,
        tag=f"{route.category}s",
        summary=(command.__doc__ or route.name).strip().splitlines()[0],
        replies={201 if command.creates else 200: accepted, **problems(400, 404, 409, 413, 415, 422, 500, 503)},
        parameters=COMMAND_PARAMETERS if command.creates else (route.id_parameter, *COMMAND_PARAMETERS),
        body={media_type.decode(): reference(route.name) for media_type in route.media_types[:2]},
        body_required=_body_required(route),
    )


def _batch_operation(settings: Settings) -> Operation:
    results: Schema = {
        "type": "object",
        "required": ["results"],
        "additionalProperties": False,
        "properties": {"results": {"type": "array", "items": reference("CommandResult")}},
    }
    items: Schema = {"anyOf": [reference("Command"), {}]}
    return Operation(
        id="ExecuteCommands",
        tag="commands",
        summary="Carry out many commands, in order, with one result each",
        description=(
            f"Up to {settings.commands_per_request_max} commands. Each succeeds or fails on its own; what is not a command gets a "
            "4xx result. The fields are those of the command's own route, with the id beside them. `application/x-ndjson` takes "
            "one command per line."
        ),
        replies={
            200: Reply("One result per command.", results, headers={"Foldwork-Position": _POSITION}),
            **problems(400, 413, 415, 422, 500, 503),
        },
        parameters=BATCH_PARAMETERS,
        body={
            ARRAY.decode(): {"type": "array", "items": items, "maxItems": settings.commands_per_request_max},
            LINES.decode(): {"type": "string"},
        },
    )


def _one_of_many(names: list[str]) -> Schema:
    return {
        "type": "object",
        "required": ["command"],
        "properties": {
            "command": {"enum": names},
            "command_id": {"type": "string", "pattern": PRINTABLE_PATTERN, "description": "Like Idempotency-Key."},
        },
    }


_RESULT: Schema = {
    "description": "The answer to one command: `status`, and the members of its answer or of its problem document.",
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "integer", "minimum": 200, "maximum": 599}},
    "anyOf": [reference("CommandAnswer"), reference("Problem")],
}
