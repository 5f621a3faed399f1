"""What all calls share: their bounds, what they are given, and the one way in which they fail."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import JsonValue

if TYPE_CHECKING:
    from infra.calls.resources import CallResources

FailureType = Literal[
    "configuration", "validation", "authentication", "authorization", "timeout", "communication", "runtime"
]
Arguments: TypeAlias = Mapping[str, JsonValue]

DETAIL_CHARACTERS_MAX = 1_000
TITLE_CHARACTERS_MAX = 200
_STATUS: Mapping[str, int] = MappingProxyType(
    {"configuration": 400, "validation": 400, "authentication": 401, "authorization": 403, "timeout": 408}
)
_TITLE: Mapping[str, str] = MappingProxyType(
    {
        "configuration": "The call is not configured properly",
        "validation": "The call's input is not valid",
        "authentication": "The call could not be authenticated",
        "authorization": "The call is not allowed",
        "timeout": "The call took too long",
        "communication": "The other side failed",
        "runtime": "The call failed",
    }
)
_ON_THE_WAY = frozenset({"communication", "timeout", "authentication"})
_SECONDS = {"days": 86_400.0, "hours": 3_600.0, "minutes": 60.0, "seconds": 1.0, "milliseconds": 0.001}
_ISO = re.compile(
    r"P(?=.)(?:(?P<weeks>[\d.]+)W)?(?:(?P<days>[\d.]+)D)?"
    r"(?:T(?:(?P<hours>[\d.]+)H)?(?:(?P<minutes>[\d.]+)M)?(?:(?P<seconds>[\d.]+)S)?)?"
)


class CallFailed(Exception):
    """A call that came to nothing. `type` is the last part of the specification's error type, `status` the HTTP status that fits best.

    `detail` says what happened, without credentials and in at most DETAIL_CHARACTERS_MAX characters. `in_doubt`: what was called may have
    done what it was asked for all the same, since it was asked and nobody heard that it refused. `answered`: it said so itself, and would
    say the same of any attempt with this key.
    """

    def __init__(
        self,
        type: FailureType,
        detail: str,
        *,
        status: int | None = None,
        title: str | None = None,
        in_doubt: bool = False,
        answered: bool = False,
    ) -> None:
        super().__init__(detail)
        self.type: FailureType = type
        self.in_doubt = in_doubt
        self.answered = answered
        self.status = status or _STATUS.get(type, 500)
        self.title = _recordable(title or _TITLE[type], TITLE_CHARACTERS_MAX)
        self.detail = _recordable(detail, DETAIL_CHARACTERS_MAX)
        self._uncut = detail, title

    @property
    def unheard(self) -> bool:
        """Whether nobody was asked, as it was on the way that this failed: another attempt may have got through."""
        return self.type in _ON_THE_WAY and not self.in_doubt and not self.answered

    def told(self, tell: Callable[[str], str]) -> "CallFailed":
        """The same failure, told otherwise: of all that was said, since what is cut in two is not recognised any more."""
        detail, title = self._uncut
        return CallFailed(
            self.type,
            tell(detail),
            status=self.status,
            title=tell(title) if title else None,
            in_doubt=self.in_doubt,
            answered=self.answered,
        )

    def __str__(self) -> str:
        return f"{self.type} {self.status}: {self.detail}"


def _recordable(text: str, characters_max: int) -> str:
    """An event holds neither NUL nor half of a surrogate pair."""
    return text[:characters_max].replace("\x00", "\ufffd").encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What the operator allows, and the bounds of one call. Nothing but public addresses is reached unless it is named here.

    `networks_allowed` are CIDRs; `hosts_allowed` are `host` or `host:port` (`[::1]:8080`); `origins` sends what is meant for one
    origin to another (`{"https://api.example.com": "http://127.0.0.1:9000"}`), which needs no further permission. `process_account`
    is the user that processes run as: by default the server's own, and `nobody` if that is root. `pending_bytes_max` is what waits
    to be taken from NATS, beyond which it is lost; a WebSocket is asked every `ping_s` whether it is still there, and has as long
    to say so.
    """

    networks_allowed: tuple[str, ...] = ()
    hosts_allowed: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    processes_allowed: bool = False
    process_account: str | None = None
    connect_s_max: float = 5
    call_s_max: float = 60
    subscription_s_max: float = 3_600
    request_bytes_max: int = 900_000
    response_bytes_max: int = 900_000
    connections_max: int = 256
    document_s_max: float = 300
    documents_max: int = 64
    proto_bytes_max: int = 262_144
    proto_s_max: float = 10
    proto_memory_bytes_max: int = 256 << 20
    proto_descriptor_bytes_max: int = 4 << 20
    proto_compilers_max: int = 2
    protos_max: int = 16
    tokens_max: int = 1_000
    messages_max: int = 1_000
    pending_bytes_max: int = 16 << 20
    reconnects_max: int = 8
    reconnect_s_max: float = 5
    ping_s: float = 20
    close_s_max: float = 1
    process_s_max: float = 60
    process_memory_bytes_max: int = 512 << 20
    process_output_bytes_max: int = 262_144
    process_file_bytes_max: int = 64 << 20
    process_count_max: int = 64


class NotWanted(Exception):
    """A call that was to go out is not wanted any more: nothing was asked."""


async def _wanted() -> None:
    pass


@dataclass(frozen=True, slots=True)
class CallContext:
    """What one call is given beside its arguments.

    `key` is the same each time this call is repeated. `confirm` is asked before the first byte goes out that may have an effect, once
    everything that takes time is done: it raises NotWanted. `secrets` are texts that may stand anywhere in the arguments; they are
    neither in what is said of an error nor in what is shown of the request. `keep` (of an AsyncAPI subscription's `filter`) says
    whether a message counts; `go_on` (of `while` and `until`) whether to wait for more, given those that count so far. With `take`
    (of `foreach`) each message is handed over as it comes, and it says whether to wait for more; `passed_s` is for how long that has
    been done before.
    """

    key: str
    resources: "CallResources"
    confirm: Callable[[], Awaitable[None]] = _wanted
    keep: Callable[[JsonValue], bool] | None = None
    go_on: Callable[[list[JsonValue]], bool] | None = None
    take: Callable[[JsonValue], Awaitable[bool]] | None = None
    passed_s: float = 0
    secrets: tuple[str, ...] = ()

    @property
    def settings(self) -> CallSettings:
        return self.resources.settings


def text_of(arguments: Arguments, name: str, default: str | None = None) -> str:
    """The text at a name; CallFailed("configuration") if it is missing and has no default, or is no text."""
    value = arguments.get(name, default)
    if not isinstance(value, str):
        raise CallFailed("configuration", f"{name!r} is missing or no text.")
    return value


def map_of(arguments: Arguments, name: str) -> dict[str, JsonValue]:
    """The object at a name, empty if there is none; CallFailed("configuration") if it is something else."""
    value = arguments.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CallFailed("configuration", f"{name!r} is no object.")
    return value


def list_of(arguments: Arguments, name: str) -> list[JsonValue]:
    """The list at a name, empty if there is none; CallFailed("configuration") if it is something else."""
    value = arguments.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise CallFailed("configuration", f"{name!r} is no list.")
    return value


def plain(value: JsonValue) -> str:
    """A value as it stands in a header, a query or an environment: text as it is, `true`, `1.5`, empty for null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value)
    raise CallFailed("configuration", "A list or an object stands where a plain value is needed.")


def endpoint_of(endpoint: JsonValue) -> tuple[str, dict[str, JsonValue] | None]:
    """An endpoint's URI and its authentication policy, if it has one."""
    if isinstance(endpoint, str):
        return endpoint, None
    if not isinstance(endpoint, dict):
        raise CallFailed("configuration", "The endpoint is missing, or neither a URI nor an object.")
    return text_of(endpoint, "uri"), map_of(endpoint, "authentication") or None


def seconds_of(duration: JsonValue) -> float:
    """A duration of the specification in seconds: `{"minutes": 1, "seconds": 5}` or ISO 8601 without months and years."""
    if isinstance(duration, dict):
        parts = [(name, value) for name, value in duration.items() if isinstance(value, int | float)]
        if len(parts) == len(duration) and all(name in _SECONDS for name, _ in parts):
            return sum(_SECONDS[name] * value for name, value in parts)
    found = _ISO.fullmatch(duration) if isinstance(duration, str) else None
    if found is None:
        raise CallFailed("configuration", "A duration cannot be read.")
    try:
        read = {name: float(value) for name, value in found.groupdict().items() if value}
    except ValueError as wrong:
        raise CallFailed("configuration", "A duration cannot be read.") from wrong
    return sum(value * (604_800.0 if name == "weeks" else _SECONDS[name]) for name, value in read.items())
