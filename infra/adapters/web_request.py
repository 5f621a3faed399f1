"""What an HTTP endpoint is given and what it gives back."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from infra.adapters.problem import BodyTooLarge, Malformed, UnsupportedMediaType

DISCARD_S_MAX = 2.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json"
_ONCE = frozenset({b"idempotency-key", b"last-event-id", b"content-type"})


class Request:
    """What came in; `parameter` is the part of the path that its template leaves open, not yet checked.

    Raises Malformed if a header that says who asks, for whom or what is there twice.
    """

    __slots__ = ("_receive", "headers", "parameter", "scope")

    def __init__(self, scope: Scope, receive: Receive, parameter: str) -> None:
        self.scope = scope
        self.parameter = parameter
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        if len(self.headers) < len(scope["headers"]):
            _refuse_repeated(scope["headers"])
        self._receive = receive

    @property
    def query(self) -> bytes:
        return bytes(self.scope["query_string"])

    def header(self, name: bytes) -> str | None:
        """A header's value by its name in lower case."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def require_media_type(self, *accepted: bytes) -> bytes:
        """Which of the accepted media types the body is of. Raises UnsupportedMediaType."""
        media_type = self.headers.get(b"content-type", b"")
        if media_type not in accepted:
            media_type = media_type.partition(b";")[0].strip().lower()
            if media_type not in accepted:
                raise UnsupportedMediaType(f"Send {b' or '.join(accepted).decode()}.")
        return media_type

    async def body(self, bytes_max: int) -> bytes:
        """The whole body. Raises BodyTooLarge, or Malformed if the client leaves before the end of it."""
        announced = self.headers.get(b"content-length")
        if announced is not None and int(announced) > bytes_max:
            raise await self._too_large(bytes_max)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise Malformed("The request ended before its body did.")
            part = message.get("body", b"")
            size += len(part)
            if size > bytes_max:
                raise await self._too_large(bytes_max)
            if not message.get("more_body", False):
                return b"".join((*parts, part)) if parts else part
            parts.append(part)

    async def _too_large(self, bytes_max: int) -> BodyTooLarge:
        """Take in a little more of it first: many clients only read the answer once they have sent everything."""
        size, more = 0, b"expect" not in self.headers
        try:
            async with asyncio.timeout(DISCARD_S_MAX):
                while more and size <= bytes_max:
                    message = await self._receive()
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError:
            pass
        return BodyTooLarge(f"A body may be {bytes_max} bytes at most.")


def _refuse_repeated(headers: Iterable[Header]) -> None:
    """A gateway may look at the first of two and we at the last: whose tenant would it be? Raises Malformed."""
    counted = Counter(name for name, _ in headers)
    for name, count in counted.items():
        if count > 1 and (name.startswith(b"foldwork-") or name in _ONCE):
            raise Malformed(f"The header {name.decode('latin-1')} may be given once.")


class Answer(NamedTuple):
    """A whole answer; `headers` come beside content-type and content-length."""

    status: int
    body: bytes
    headers: Sequence[Header] = ()
    content_type: bytes = JSON


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer without an end: `first`, then `parts` as they come, for as long as the client listens."""

    first: bytes
    parts: AsyncGenerator[bytes, None]
    content_type: bytes
    headers: Sequence[Header] = ()


Endpoint = Callable[[Request], Awaitable[Answer | Stream]]
Messages = Callable[[Request], Awaitable[AsyncGenerator[bytes, None]]]
