"""One HTTP exchange: a request within bounds, and an answer that is read within bounds, whatever it unpacks to."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from pydantic import JsonValue

from infra.calls.contract import CallContext, CallFailed

_BODY_SHOWN_BYTES_MAX = 4_000
_SECRET_CHARACTERS_MIN = 4
_HTTP = ("http", "https")
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_SENDING = ".send_request_headers.started"
"""What httpcore tells before the first byte of a request."""
_OF_A_GATEWAY = (httpx.codes.BAD_GATEWAY, httpx.codes.GATEWAY_TIMEOUT)
"""A gateway says by these that it has no answer itself."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. `auth` and `secrets` come from `authentication.py`; `secrets` never show up in an error,
    `on_refused` is called at an answer of 401.
    """

    method: str
    url: httpx.URL
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    auth: httpx.Auth | None = None
    secrets: tuple[str, ...] = ()
    follow_redirects: bool = False
    on_refused: Callable[[], None] | None = None

    @property
    def shown(self) -> str:
        """The request as an error may name it: a query can hold a key."""
        return f"{self.method} {bare(self.url).copy_with(query=None)}"


class Answer:
    """The answer to a request: status and headers are there, the body comes when it is asked for."""

    def __init__(self, request: Request, response: httpx.Response) -> None:
        self.request = request
        self.status = response.status_code
        self.headers = response.headers
        self.sent = response.request
        self._response = response

    @property
    def media_type(self) -> str:
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, unpacked, piece by piece; CallFailed("communication") beyond `response_bytes_max`."""
        async for piece in self._response.aiter_raw():
            yield piece

    async def body(self) -> bytes:
        """The whole body, unpacked."""
        return b"".join([piece async for piece in self.pieces()])

    async def failure(self) -> CallFailed:
        """What to raise if this answer's status is none that was wanted: communication, with the real status."""
        shown = b""
        try:
            async for piece in self.pieces():
                shown += piece
                if len(shown) > _BODY_SHOWN_BYTES_MAX:
                    break
        except (CallFailed, httpx.HTTPError):
            shown = shown or b"(a body that cannot be read)"
        text = shown[:_BODY_SHOWN_BYTES_MAX].decode(errors="replace")
        detail = f"{self.request.shown} answered {self.status}: {text}"
        title = self._response.reason_phrase or None
        shown_detail, in_doubt = without(self.request.secrets, detail), self.status in _OF_A_GATEWAY
        return CallFailed(
            "communication", shown_detail, status=self.status, title=title, in_doubt=in_doubt, answered=not in_doubt
        )


@asynccontextmanager
async def exchange(request: Request, context: CallContext) -> AsyncIterator[Answer]:
    """Send a request and give its answer, whatever its status. It is confirmed once there is a connection.

    CallFailed: authorization if the address may not be reached, communication (500) if no answer came, timeout (408) if it came too late,
    both in doubt unless no connection was made; configuration if this is no HTTP request at all.
    """
    settings = context.settings
    request = replace(request, secrets=(*request.secrets, *context.secrets))
    if request.content is not None and len(request.content) > settings.request_bytes_max:
        raise CallFailed(
            "configuration", f"The request body has more than {settings.request_bytes_max} bytes.", status=413
        )

    async def confirm(event: str, details: dict[str, Any]) -> None:
        if event.endswith(_SENDING):
            await context.confirm()

    try:
        client = context.resources.http
        extra: dict[str, Any] = {} if request.auth is None else {"auth": request.auth}
        made = client.build_request(
            request.method,
            request.url,
            headers=request.headers,
            content=request.content,
            extensions={"trace": confirm},
        )
        response = await client.send(made, stream=True, follow_redirects=request.follow_redirects, **extra)
        try:
            if request.on_refused and response.status_code == httpx.codes.UNAUTHORIZED:
                request.on_refused()
            yield Answer(request, response)
        finally:
            await response.aclose()
    except httpx.TimeoutException as late:
        detail, in_doubt = f"{request.shown} took too long ({type(late).__name__}).", not isinstance(late, _NOT_SENT)
        raise CallFailed("timeout", detail, in_doubt=in_doubt) from late
    except (httpx.InvalidURL, httpx.LocalProtocolError, httpx.UnsupportedProtocol, UnicodeEncodeError) as wrong:
        # The cause quotes the header that it dislikes, and that may hold credentials.
        detail = f"{request.shown} has a URI or a header that HTTP cannot carry ({type(wrong).__name__})."
        raise CallFailed("configuration", detail) from None
    except httpx.TooManyRedirects as lost:
        raise CallFailed("communication", f"{request.shown} was redirected too often.") from lost
    except (httpx.HTTPError, httpx.StreamError) as broken:
        detail = without(request.secrets, f"{request.shown} failed: {type(broken).__name__}: {broken}")
        raise CallFailed("communication", detail, in_doubt=not isinstance(broken, _NOT_SENT)) from broken


def url_of(uri: str, schemes: Collection[str] = _HTTP) -> httpx.URL:
    """An absolute URI of one of these schemes as a URL; CallFailed otherwise."""
    try:
        url = httpx.URL(uri.strip())
    except (httpx.InvalidURL, UnicodeError) as wrong:
        # What follows is quoted, and may be half of a password that has a slash in it.
        what = str(wrong).partition(":")[0].rstrip(".")
        raise CallFailed("configuration", f"The endpoint is no URI: {what}.") from None
    if not url.scheme:
        raise CallFailed(
            "configuration", "The endpoint is a relative URI, and there is nothing that it is relative to."
        )
    if url.scheme not in schemes or not url.host:
        raise CallFailed("authorization", "Only http and https addresses can be called.")
    return url


def bare(url: httpx.URL) -> httpx.URL:
    """A URL without the user and password that it may hold."""
    return url.copy_with(username=None, password=None) if url.userinfo else url


def without(secrets: tuple[str, ...], text: str) -> str:
    """A text in which no secret shows, even if the other side sent it back; one of a few characters is in every text and stays."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) < _SECRET_CHARACTERS_MIN:
            break
        text = text.replace(secret, "***")
    return text


def veiled(secrets: tuple[str, ...], value: JsonValue) -> JsonValue:
    """A value in whose texts no secret shows."""
    if isinstance(value, str):
        return without(secrets, value)
    if isinstance(value, dict):
        return {name: veiled(secrets, inner) for name, inner in value.items()}
    return [veiled(secrets, inner) for inner in value] if isinstance(value, list) else value
