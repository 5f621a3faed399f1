"""The twelve kinds of tasks, told apart by their keys, and calls by what they call."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field

from write_side.definition.calls import (
    A2aArguments,
    AsyncApiArguments,
    AsyncApiSubscription,
    GrpcArguments,
    HttpArguments,
    McpArguments,
    OpenApiArguments,
)
from write_side.definition.errors import Catch, Raise
from write_side.definition.events import Emit, Listen, SubscriptionIterator
from write_side.definition.resources import Export, Input, Output
from write_side.definition.runs import Run
from write_side.definition.values import (
    TAG_MARK,
    Duration,
    Flag,
    JsonObject,
    Maybe,
    Part,
    TimeoutOrName,
    by_shape,
    tag,
)

CALLS = ("a2a", "asyncapi", "grpc", "http", "mcp", "openapi")
# `do` comes last: a for task has one too.
KINDS = ("call", "emit", "for", "fork", "listen", "raise", "run", "set", "switch", "try", "wait", "do")


class TaskBase(Part):
    """What a task of any kind may have."""

    if_: Maybe[str] = None
    input: Maybe[Input] = None
    output: Maybe[Output] = None
    export: Maybe[Export] = None
    timeout: Maybe[TimeoutOrName] = None
    then: Maybe[str] = None
    metadata: JsonObject = {}


class CallA2a(TaskBase):
    """Calls another agent."""

    call: Literal["a2a"]
    with_: A2aArguments


class CallAsyncApi(TaskBase):
    """Publishes a message or takes some."""

    call: Literal["asyncapi"]
    with_: AsyncApiArguments


class CallGrpc(TaskBase):
    """Calls a gRPC service."""

    call: Literal["grpc"]
    with_: GrpcArguments


class CallHttp(TaskBase):
    """Makes an HTTP request."""

    call: Literal["http"]
    with_: HttpArguments


class CallMcp(TaskBase):
    """Calls an MCP server."""

    call: Literal["mcp"]
    with_: McpArguments


class CallOpenApi(TaskBase):
    """Calls an operation of an OpenAPI document."""

    call: Literal["openapi"]
    with_: OpenApiArguments


class CallFunction(TaskBase):
    """Calls a function by its name; what it takes, only the function knows."""

    call: str
    with_: JsonObject = {}


class DoTask(TaskBase):
    """Does tasks one after the other."""

    do: "TaskList"


class EmitTask(TaskBase):
    """Emits an event."""

    emit: Emit


class ForLoop(Part):
    """What to go through, and under which names its items and their places are seen."""

    each: str = "item"
    in_: Annotated[
        Annotated[tuple[JsonObject, ...], tag("list")] | Annotated[str, tag("text")],
        by_shape("must be a runtime expression, or a list of objects"),
    ]
    at: str = "index"


class ForTask(TaskBase):
    """Does tasks for each item of a collection, while a condition holds."""

    for_: ForLoop
    while_: Maybe[str] = None
    do: "TaskList"


class Fork(Part):
    """Branches that are done at the same time; if they compete, the first to end is the only one to count."""

    branches: "TaskList"
    compete: Flag = False


class ForkTask(TaskBase):
    """Does tasks at the same time."""

    fork: Fork


class ListenTask(TaskBase):
    """Waits for events."""

    listen: Listen
    foreach: Maybe[SubscriptionIterator] = None


class RaiseTask(TaskBase):
    """Raises an error."""

    raise_: Raise


class RunTask(TaskBase):
    """Runs a container, a script, a shell command or another workflow."""

    run: Run


class SetTask(TaskBase):
    """Sets data."""

    set: Annotated[
        Annotated[JsonObject, Field(min_length=1), tag("object")] | Annotated[str, tag("text")],
        by_shape("must be an object, or a runtime expression"),
    ]


class SwitchCase(Part):
    """Where to go on if the condition holds, or if there is none."""

    when: Maybe[str] = None
    then: str


class SwitchTask(TaskBase):
    """Goes on where the first case that holds says."""

    switch: Annotated[
        tuple[Annotated[dict[str, SwitchCase], Field(min_length=1, max_length=1)], ...], Field(min_length=1)
    ]


class TryTask(TaskBase):
    """Does tasks, and catches errors that they raise."""

    try_: "TaskList"
    catch: Catch


class WaitTask(TaskBase):
    """Waits for some time."""

    wait: Duration


def _kind(value: object) -> str | None:
    if not isinstance(value, dict):
        return None
    kind = next((kind for kind in KINDS if kind in value), None)
    if kind is None:
        return None
    if kind == "call":
        return TAG_MARK + (value["call"] if value["call"] in CALLS else "function")
    return TAG_MARK + kind


Task = Annotated[
    Annotated[CallA2a, tag("a2a")]
    | Annotated[CallAsyncApi, tag("asyncapi")]
    | Annotated[CallGrpc, tag("grpc")]
    | Annotated[CallHttp, tag("http")]
    | Annotated[CallMcp, tag("mcp")]
    | Annotated[CallOpenApi, tag("openapi")]
    | Annotated[CallFunction, tag("function")]
    | Annotated[DoTask, tag("do")]
    | Annotated[EmitTask, tag("emit")]
    | Annotated[ForTask, tag("for")]
    | Annotated[ForkTask, tag("fork")]
    | Annotated[ListenTask, tag("listen")]
    | Annotated[RaiseTask, tag("raise")]
    | Annotated[RunTask, tag("run")]
    | Annotated[SetTask, tag("set")]
    | Annotated[SwitchTask, tag("switch")]
    | Annotated[TryTask, tag("try")]
    | Annotated[WaitTask, tag("wait")],
    Discriminator(
        _kind,
        custom_error_type="task_kind",
        custom_error_message=f"must be an object with one of {', '.join(sorted(KINDS))}",
    ),
]
"""A task of any kind."""

TaskList = tuple[Annotated[dict[str, Task], Field(min_length=1, max_length=1)], ...]
"""Tasks in their order, each as an object whose only field is the task's name."""

# Tasks hold these, and these hold tasks: whichever came first could not know the other.
for _late in (SubscriptionIterator, AsyncApiSubscription, AsyncApiArguments, Catch):
    _late.model_rebuild(_types_namespace={"TaskList": TaskList})
