"""Who asks, for which tenant and within which request: the headers that every command carries."""

import re

from events.envelope import Origin
from infra.adapters.problem import InvalidFields
from infra.adapters.web_parameters import PRINTABLE_PATTERN, TENANT, Parameter, position
from infra.adapters.web_request import Request
from infra.ids import new_id

USER_AGENT_CHARACTERS_MAX = 256
GROUPS_MAX = 100

_GROUP = "[A-Za-z0-9][A-Za-z0-9 _.:/+-]{0,99}"

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
GROUPS = Parameter(
    "Foldwork-Groups",
    "header",
    {"type": "string", "pattern": rf"^{_GROUP}(, ?{_GROUP}){{0,{GROUPS_MAX - 1}}}$"},
    f"The groups that the actor is a member of, up to {GROUPS_MAX}, with commas between them.",
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

_SENDER = (TENANT, ACTOR, CORRELATION_ID, TRACEPARENT)
BATCH_PARAMETERS = (*_SENDER, GROUPS)
COMMAND_PARAMETERS = (IDEMPOTENCY_KEY, EXPECTED_VERSION, *_SENDER)

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]{0,200})?")
_UNPRINTABLE = re.compile(r"[^ -~\xa0-\xff]")


Within = tuple[str | None, str | None]
"""The request that one of many commands belongs to: its correlation id and its trace context."""


class Sender:
    """What the headers of one request say about its sender; gives the origin of each command in it."""

    __slots__ = ("_correlation_id", "_ip", "_source", "_traceparent", "_user_agent", "actor", "tenant_id")

    def __init__(self, request: Request) -> None:
        """Raises InvalidFields."""
        headers = request.headers
        tenant, actor = headers.get(b"foldwork-tenant"), headers.get(b"foldwork-actor")
        correlation_id, traceparent = headers.get(b"foldwork-correlation-id"), headers.get(b"traceparent")
        user_agent = headers.get(b"user-agent")
        self.tenant_id = "default" if tenant is None else _text(TENANT, tenant)
        self.actor = "anonymous" if actor is None else _text(ACTOR, actor)
        self._correlation_id = None if correlation_id is None else _text(CORRELATION_ID, correlation_id)
        self._traceparent = None if traceparent is None else _trace(traceparent)
        self._user_agent = None if user_agent is None else _printable(user_agent)
        self._source: str = request.scope.get("source", "http")
        client = request.scope.get("client")
        self._ip: str | None = None if client is None else client[0]

    def origin(self, command_id: str | None, request: Within | None = None) -> Origin:
        """The origin of a command with this id, or with a new one; `request` goes before what the headers say of it."""
        command_id = command_id or new_id()
        correlation_id, traceparent = request or (None, None)
        return Origin(
            self.tenant_id,
            self.actor,
            command_id,
            correlation_id or self._correlation_id or command_id,
            command_id,
            traceparent or self._traceparent,
            self._source,
            self._user_agent,
            self._ip,
        )


def tenant_of(request: Request) -> str:
    """The tenant that a query is for. Raises InvalidFields."""
    tenant = request.headers.get(b"foldwork-tenant")
    return "default" if tenant is None else _text(TENANT, tenant)


def groups_of(request: Request) -> tuple[str, ...]:
    """The groups that the sender is a member of, in their order. Raises InvalidFields."""
    groups = request.headers.get(b"foldwork-groups")
    return () if groups is None else tuple(sorted({group.strip() for group in _text(GROUPS, groups).split(",")}))


def command_id_of(request: Request) -> str | None:
    """The command id that the sender chose, None if there is none. Raises InvalidFields."""
    key = request.headers.get(b"idempotency-key")
    return None if key is None else _text(IDEMPOTENCY_KEY, key)


def expected_version_of(request: Request) -> int | None:
    """The version that the sender counts on, None if any will do. Raises InvalidFields."""
    version = request.headers.get(b"foldwork-expected-version")
    return None if version is None else int(_text(EXPECTED_VERSION, version))


def read_id(name: str, value: object) -> str | None:
    """A command or correlation id from a body, None if there is none. Raises InvalidFields."""
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(PRINTABLE_PATTERN, value) or value.endswith("\n"):
        raise InvalidFields([{"pointer": f"/{name}", "detail": "must be 1 to 255 printable ASCII characters"}])
    return value


def read_trace(value: object) -> str | None:
    """A trace context from a body; ignored if it is not of that form."""
    return _trace(value.encode(errors="replace")) if isinstance(value, str) else None


def _text(parameter: Parameter, value: bytes) -> str:
    return str(parameter.read(value.decode("latin-1")))


def _trace(value: bytes) -> str | None:
    text = value.decode("latin-1").strip()
    return text if _TRACEPARENT.fullmatch(text) else None


def _printable(value: bytes) -> str:
    return _UNPRINTABLE.sub("?", value.decode("latin-1"))[:USER_AGENT_CHARACTERS_MAX]
