"""Who asks, for which tenant and within which request: the headers that every command carries."""

import re

from events.envelope import Origin
from infra.adapters.problem import InvalidFields
from infra.adapters.web_parameters import PRINTABLE_PATTERN, TENANT, Parameter, position
from infra.adapters.web_request import Request
from infra.ids import new_id

USER_AGENT_CHARACTERS_MAX = 256

IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "pattern": PRINTABLE_PATTERN},
    "The command's id: the same id gives the same answer once. Without it each request is a new command.",
)
EXPECTED_VERSION = position(
    "Foldwork-Expected-Version", "header", "The version at which the stream must stand; 409 if it does not."
)
ACTOR = Parameter(
    "Foldwork-Actor",
    "header",
    {"type": "string", "pattern": r"^[!-~]{1,200}$", "default": "anonymous"},
    "Who asks: a user, service or agent.",
)
CORRELATION_ID = Parameter(
    "Foldwork-Correlation-Id",
    "header",
    {"type": "string", "pattern": PRINTABLE_PATTERN},
    "Names the whole request that the command belongs to; the command's id if left out.",
)
TRACEPARENT = Parameter(
    "traceparent", "header", {"type": "string"}, "W3C trace context; ignored if it is not of that form."
)

BATCH_PARAMETERS = (TENANT, ACTOR, CORRELATION_ID, TRACEPARENT)
COMMAND_PARAMETERS = (IDEMPOTENCY_KEY, EXPECTED_VERSION, *BATCH_PARAMETERS)

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]{0,200})?")
_UNPRINTABLE = re.compile(r"[^ -~\xa0-\xff]")


class Sender:
    """What the headers of one HTTP request say about its sender; gives the origin of each command in it."""

    __slots__ = ("_actor", "_correlation_id", "_ip", "_traceparent", "_user_agent", "tenant_id")

    def __init__(self, request: Request) -> None:
        """Raises InvalidFields."""
        headers = request.headers
        tenant, actor = headers.get(b"foldwork-tenant"), headers.get(b"foldwork-actor")
        correlation_id, traceparent = headers.get(b"foldwork-correlation-id"), headers.get(b"traceparent")
        user_agent = headers.get(b"user-agent")
        self.tenant_id = "default" if tenant is None else _text(TENANT, tenant)
        self._actor = "anonymous" if actor is None else _text(ACTOR, actor)
        self._correlation_id = None if correlation_id is None else _text(CORRELATION_ID, correlation_id)
        self._traceparent = None if traceparent is None else _trace(traceparent)
        self._user_agent = None if user_agent is None else _printable(user_agent)
        client = request.scope.get("client")
        self._ip: str | None = None if client is None else client[0]

    def origin(self, command_id: str | None) -> Origin:
        """The origin of a command with this id, or with a new one."""
        command_id = command_id or new_id()
        return Origin(
            self.tenant_id,
            self._actor,
            command_id,
            self._correlation_id or command_id,
            command_id,
            self._traceparent,
            "http",
            self._user_agent,
            self._ip,
        )


def tenant_of(request: Request) -> str:
    """The tenant that a query is for. Raises InvalidFields."""
    tenant = request.headers.get(b"foldwork-tenant")
    return "default" if tenant is None else _text(TENANT, tenant)


def command_id_of(request: Request) -> str | None:
    """The command id that the sender chose, None if there is none. Raises InvalidFields."""
    key = request.headers.get(b"idempotency-key")
    return None if key is None else _text(IDEMPOTENCY_KEY, key)


def expected_version_of(request: Request) -> int | None:
    """The version that the sender counts on, None if any will do. Raises InvalidFields."""
    version = request.headers.get(b"foldwork-expected-version")
    return None if version is None else int(_text(EXPECTED_VERSION, version))


def read_command_id(value: object) -> str:
    """A command id from a body. Raises InvalidFields."""
    if not isinstance(value, str) or not re.fullmatch(PRINTABLE_PATTERN, value) or value.endswith("\n"):
        raise InvalidFields([{"pointer": "/command_id", "detail": "must be 1 to 255 printable ASCII characters"}])
    return value


def _text(parameter: Parameter, value: bytes) -> str:
    return str(parameter.read(value.decode("latin-1")))


def _trace(value: bytes) -> str | None:
    text = value.decode("latin-1").strip()
    return text if _TRACEPARENT.fullmatch(text) else None


def _printable(value: bytes) -> str:
    return _UNPRINTABLE.sub("?", value.decode("latin-1"))[:USER_AGENT_CHARACTERS_MAX]
