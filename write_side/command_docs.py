"""What the documents of the command API say of its commands: OpenAPI and AsyncAPI are written from this."""

from functools import cache

from infra.adapters.web_docs import Operation, Reply, Schema, problems, reference
from infra.adapters.web_origin import BATCH_PARAMETERS, CORRELATION_ID, TRACEPARENT
from infra.adapters.web_parameters import POSITION_MAX, PRINTABLE_PATTERN
from infra.settings import Settings
from write_side.batch import ARRAY, LINES
from write_side.command_route import CommandRoute

TITLE = "Foldwork commands"
DESCRIPTION = (
    "Every command that is accepted becomes events in one log. Errors are problem documents (RFC 9457). "
    "What is recorded can be read at the query API once its read models have seen the position in `Foldwork-Position`."
)
BATCH = "ExecuteCommands"
POSITION: Schema = {"type": "integer", "minimum": 0, "maximum": POSITION_MAX}


@cache
def operation_of(route: CommandRoute, path: str) -> Operation:
    """One route of a command, written once however many applications have it."""
    command = route.command
    headers: dict[str, Schema] = {"Foldwork-Position": POSITION}
    if command.creates:
        headers["Location"] = {"type": "string", "pattern": f"^{route.collection}/[^/]+$"}
    accepted = Reply("The events are recorded.", reference("CommandAnswer"), headers=headers)
    return Operation(
        id=route.name if path == route.path else f"{route.name}ByDefault",
        tag=f"{route.category}s",
        summary=(command.__doc__ or route.name).strip().splitlines()[0],
        replies={201 if command.creates else 200: accepted, **problems(400, 404, 409, 413, 415, 422, 500, 503)},
        parameters=route.parameters,
        body={media_type.decode(): reference(route.name) for media_type in route.media_types[:2]},
        body_required=route.body_required,
    )


def batch_operation(settings: Settings) -> Operation:
    """The route of many commands."""
    results: Schema = {
        "type": "object",
        "required": ["results"],
        "additionalProperties": False,
        "properties": {"results": {"type": "array", "items": reference("CommandResult")}},
    }
    items: Schema = {"anyOf": [reference("Command"), {}]}
    return Operation(
        id=BATCH,
        tag="commands",
        summary="Carry out many commands, in order, with one result each",
        description=(
            f"Up to {settings.commands_per_request_max} commands. Each succeeds or fails on its own; what is not a command gets a "
            "4xx result. The fields are those of the command's own route, with the id beside them. `application/x-ndjson` takes "
            "one command per line. `Idempotency-Key` and `Foldwork-Expected-Version` are of one command and refused here."
        ),
        replies={
            200: Reply("One result per command.", results, headers={"Foldwork-Position": POSITION}),
            **problems(400, 413, 415, 422, 500, 503),
        },
        parameters=BATCH_PARAMETERS,
        body={
            ARRAY.decode(): {"type": "array", "items": items, "maxItems": settings.commands_per_request_max},
            LINES.decode(): {"type": "string"},
        },
    )


def one_of_many(names: list[str]) -> Schema:
    """A command among many, but for its own fields."""
    return {
        "type": "object",
        "required": ["command"],
        "properties": {
            "command": {"enum": names},
            "command_id": {"type": "string", "pattern": PRINTABLE_PATTERN, "description": "Like Idempotency-Key."},
            "correlation_id": {
                "type": "string",
                "pattern": PRINTABLE_PATTERN,
                "description": CORRELATION_ID.description,
            },
            "traceparent": {"type": "string", "description": TRACEPARENT.description},
        },
    }


RESULT: Schema = {
    "description": "The answer to one command: `status`, and the members of its answer or of its problem document.",
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "integer", "minimum": 200, "maximum": 599}},
    "anyOf": [reference("CommandAnswer"), reference("Problem")],
}
