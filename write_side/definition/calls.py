"""What a call task calls, and with what: HTTP, OpenAPI, gRPC, AsyncAPI, A2A, MCP, or a function by its name."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from write_side.definition.authentication import Authentication
from write_side.definition.events import SubscriptionIterator
from write_side.definition.resources import Endpoint, ExternalResource
from write_side.definition.values import (
    Duration,
    Expression,
    Flag,
    Host,
    Integer,
    JsonObject,
    Maybe,
    OpenPart,
    Part,
    by_shape,
    tag,
)

HttpOutput = Literal["raw", "content", "response"]
"""What a call yields: the body as text, the body as data, or the whole response."""

TextsOrExpression = Annotated[
    Annotated[dict[str, str], tag("object")] | Annotated[Expression, tag("text")],
    by_shape("must be an object of texts, or a runtime expression that yields one"),
]
"""Texts by their names, or a runtime expression that yields them."""


class HttpArguments(Part):
    """An HTTP request."""

    method: str
    endpoint: Endpoint
    headers: Maybe[TextsOrExpression] = None
    body: JsonValue = None
    query: Maybe[TextsOrExpression] = None
    output: HttpOutput = "content"
    redirect: Flag = False


class OpenApiArguments(Part):
    """An operation of an HTTP service that describes itself by OpenAPI."""

    document: ExternalResource
    operation_id: str
    parameters: JsonObject = {}
    authentication: Maybe[Authentication] = None
    output: HttpOutput = "content"
    redirect: Flag = False


class GrpcService(Part):
    """The gRPC service to call, and where it is."""

    name: str
    host: Host
    port: Maybe[Annotated[Integer, Field(ge=0, le=65_535)]] = None
    authentication: Maybe[Authentication] = None


class GrpcArguments(Part):
    """A method of a gRPC service."""

    proto: ExternalResource
    service: GrpcService
    method: str
    arguments: JsonObject = {}


class AsyncApiServer(Part):
    """Which of the servers that the document names, and the values of its variables."""

    name: str
    variables: JsonObject = {}


class AsyncApiMessage(Part):
    """A message to publish."""

    payload: Maybe[JsonObject] = None
    headers: Maybe[JsonObject] = None


class AsyncApiConsumption(Part):
    """When to stop: after so many messages, when a condition no longer holds, or once one does; in any case after some time."""

    for_: Maybe[Duration] = None
    amount: Maybe[Integer] = None
    while_: Maybe[Expression] = None
    until: Maybe[Expression] = None

    @model_validator(mode="after")
    def _has_one_end(self) -> "AsyncApiConsumption":
        if len(self.given("amount", "while_", "until")) != 1:
            raise ValueError("must have exactly one of amount, while, until")
        return self


class AsyncApiSubscription(Part):
    """Which messages to take, how many, and what to do with each."""

    consume: AsyncApiConsumption
    filter: Maybe[Expression] = None
    foreach: Maybe[SubscriptionIterator] = None


class AsyncApiArguments(Part):
    """Messages to publish to, or to take from, a service that describes itself by AsyncAPI."""

    document: ExternalResource
    channel: Maybe[str] = None
    operation: Maybe[str] = None
    server: Maybe[AsyncApiServer] = None
    protocol: Maybe[
        Literal[
            "amqp",
            "amqp1",
            "anypointmq",
            "googlepubsub",
            "http",
            "ibmmq",
            "jms",
            "kafka",
            "mercure",
            "mqtt",
            "mqtt5",
            "nats",
            "pulsar",
            "redis",
            "sns",
            "solace",
            "sqs",
            "stomp",
            "ws",
        ]
    ] = None
    message: Maybe[AsyncApiMessage] = None
    subscription: Maybe[AsyncApiSubscription] = None
    authentication: Maybe[Authentication] = None

    @model_validator(mode="after")
    def _has_one_place_and_one_direction(self) -> "AsyncApiArguments":
        for either, other in (("operation", "channel"), ("message", "subscription")):
            if len(self.given(either, other)) != 1:
                raise ValueError(f"must have exactly one of {either}, {other}")
        return self


class A2aArguments(Part):
    """A method of another agent, over the Agent2Agent protocol."""

    agent_card: Maybe[ExternalResource] = None
    server: Maybe[Endpoint] = None
    method: Literal[
        "message/send",
        "message/stream",
        "tasks/get",
        "tasks/list",
        "tasks/cancel",
        "tasks/resubscribe",
        "tasks/pushNotificationConfig/set",
        "tasks/pushNotificationConfig/get",
        "tasks/pushNotificationConfig/list",
        "tasks/pushNotificationConfig/delete",
        "agent/getAuthenticatedExtendedCard",
    ]
    parameters: Maybe[
        Annotated[
            Annotated[JsonObject, Field(min_length=1), tag("object")] | Annotated[str, tag("text")],
            by_shape("must be an object, or a runtime expression that yields one"),
        ]
    ] = None


class McpHttpTransport(OpenPart):
    """An MCP server that is reached over HTTP."""

    endpoint: Endpoint
    headers: dict[str, str] = {}


class McpStdioTransport(OpenPart):
    """An MCP server that is started as a process."""

    command: str
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = {}


class McpTransport(OpenPart):
    """How an MCP server is reached: exactly one of the two ways."""

    http: Maybe[McpHttpTransport] = None
    stdio: Maybe[McpStdioTransport] = None
    options: dict[str, str] = {}

    @model_validator(mode="after")
    def _has_one_way(self) -> "McpTransport":
        if len(self.given("http", "stdio")) != 1:
            raise ValueError("must have exactly one of http, stdio")
        return self


class McpClient(OpenPart):
    """Who we say that we are."""

    name: str
    version: str


class McpArguments(OpenPart):
    """A method of an MCP server."""

    protocol_version: str = "2025-06-18"
    method: Literal[
        "tools/list",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/read",
        "resources/templates/list",
    ]
    parameters: Maybe[
        Annotated[
            Annotated[JsonObject, tag("object")] | Annotated[str, tag("text")],
            by_shape("must be an object, or a runtime expression that yields one"),
        ]
    ] = None
    timeout: Maybe[Duration] = None
    transport: McpTransport
    client: Maybe[McpClient] = None
