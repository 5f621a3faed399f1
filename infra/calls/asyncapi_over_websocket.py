"""AsyncAPI over WebSocket (RFC 6455): a channel is a path, and what is said on its connection are the channel's messages.

Guarantee: a message is published at least once, with the call's key as the handshake's `Idempotency-Key`; it counts as published once the
other side has answered a ping that was sent after it. While listening, messages come at most once. The connection goes to an address that
was checked, and to no other: no redirect is followed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

from infra.calls.addresses import certificates, in_turn
from infra.calls.asyncapi_document import Channel
from infra.calls.asyncapi_handshake import handshake_of
from infra.calls.asyncapi_protocol import Cut, Message, Protocol, Receive
from infra.calls.contract import Arguments, CallContext, CallFailed
from infra.calls.exchange import Request, bare, without
from infra.calls.http_call import IDEMPOTENCY_KEY, prepared

_PORTS = {"ws": 80, "wss": 443}
_SUBPROTOCOL = "sec-websocket-protocol"
_OURS = {"host", _SUBPROTOCOL}
_BROKEN = (WebSocketException, OSError)
_WELL = {CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD, CloseCode.ABNORMAL_CLOSURE}
# What is said against who connects or what was sent is said again the next time; 3000 and 3003 are IANA's names of 401 and 403.
_FOR_GOOD = {
    CloseCode.PROTOCOL_ERROR,
    CloseCode.UNSUPPORTED_DATA,
    CloseCode.INVALID_DATA,
    CloseCode.POLICY_VIOLATION,
    CloseCode.MESSAGE_TOO_BIG,
    CloseCode.MANDATORY_EXTENSION,
    3000,
    3003,
}
# The library logs the headers of a handshake, and credentials are among them.
_SILENT = logging.Logger("websockets of calls", logging.CRITICAL + 1)
_BODY_SHOWN_BYTES_MAX = 4_000
# Beyond these a server waits: nothing is read until some are taken.
_FRAMES_MAX = 4


class _Connect(connect):
    """A handshake that follows no redirect: where it leads was not checked."""

    until: float | None = None

    async def open_tcp_connection(self) -> ClientConnection:
        async with asyncio.timeout_at(self.until):
            return await super().open_tcp_connection()

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def _publish(channel: Channel, message: Message, policy: Arguments, context: CallContext) -> None:
    headers = {name.lower(): value for name, value in message.headers.items()}
    headers.setdefault(IDEMPOTENCY_KEY.lower(), context.key)
    async with _connected(channel, headers, policy, context) as (connection, request):
        await context.confirm()
        # What the other side says meanwhile would keep its answer from being read.
        passing_over = asyncio.create_task(_pass_over(connection))
        try:
            await connection.send(message.data, text=True)
            answered = await connection.ping()
            async with asyncio.timeout(context.settings.connect_s_max):
                await answered
        except TimeoutError as late:
            raise CallFailed(
                "timeout", f"{request.shown} did not confirm the message in time.", in_doubt=True
            ) from late
        except _BROKEN as broken:
            failure = _failure(request, broken, context)
            failure.in_doubt = isinstance(failure, Cut)
            raise failure from broken
        finally:
            passing_over.cancel()
            await asyncio.wait([passing_over])
        await connection.close()
        if connection.close_code not in _WELL:
            raise _refusal(request, connection.close_code, connection.close_reason)


async def _pass_over(connection: ClientConnection) -> None:
    with suppress(*_BROKEN):
        while True:
            await connection.recv(decode=False)


@asynccontextmanager
async def _listen(channel: Channel, policy: Arguments, context: CallContext) -> AsyncIterator[Receive]:
    async with _connected(channel, {}, policy, context) as (connection, request):

        async def receive() -> Message:
            try:
                data = await connection.recv(decode=False)
            except _BROKEN as broken:
                raise _failure(request, broken, context) from broken
            # Of what is there already thousands would come without anybody else having a turn.
            await asyncio.sleep(0)
            return Message(data)

        yield receive


WEBSOCKET = Protocol(_publish, _listen)


@asynccontextmanager
async def _connected(
    channel: Channel, headers: Mapping[str, str], policy: Arguments, context: CallContext
) -> AsyncIterator[tuple[ClientConnection, Request]]:
    """A connection to where a channel is, and the handshake that was asked of it."""
    request = await prepared(handshake_of(channel, headers, policy), context)
    try:
        async with asyncio.timeout(context.settings.connect_s_max):
            connection = await _open(channel, request, context)
    except TimeoutError as late:
        raise CallFailed("timeout", f"{request.shown} did not answer in time.") from late
    except InvalidStatus as refused:
        raise _not_opened(request, refused) from refused
    except _BROKEN as broken:
        detail = without(request.secrets, f"{request.shown} failed: {type(broken).__name__}: {broken}")
        raise CallFailed("communication", detail) from broken
    except ValueError:
        # The cause quotes what it dislikes, and that may hold credentials.
        detail = f"{request.shown} has a host or a header that a handshake cannot carry."
        raise CallFailed("configuration", detail) from None
    try:
        yield connection, request
    finally:
        try:
            await connection.close()
        finally:
            connection.transport.abort()


async def _open(channel: Channel, request: Request, context: CallContext) -> ClientConnection:
    """Shake hands, again with the answer to a challenge if there is one. Raises what the library does, and CallFailed."""
    secure, port, server_name, addresses = await _places(channel, context)
    scheme = "wss" if secure else "ws"
    # The name that is asked for stays that of the document, wherever the operator has it found.
    uri = str(bare(request.url).copy_with(scheme=scheme, port=channel.port, fragment=None))
    options: dict[str, Any] = {"port": port}
    if secure:
        options |= {"ssl": certificates(), "server_hostname": server_name}
    sent = httpx.Request("GET", request.url, headers=dict(request.headers))
    answers = request.auth.auth_flow(sent) if request.auth else None
    sent = next(answers) if answers else sent
    while True:
        try:
            return await _shake_hands(uri, addresses, options, sent, context)
        except InvalidStatus as refused:
            if answers is None:
                raise
            response = refused.response
            headers = list(response.headers.raw_items())
            try:
                sent = answers.send(httpx.Response(response.status_code, headers=headers, request=sent))
            except StopIteration:
                raise refused from None


async def _shake_hands(
    uri: str, addresses: list[str], options: dict[str, Any], sent: httpx.Request, context: CallContext
) -> ClientConnection:
    settings = context.settings
    wanted = [each.strip() for each in sent.headers.get(_SUBPROTOCOL, "").split(",") if each.strip()]
    shake_hands = partial(
        _Connect,
        uri,
        additional_headers=[each for each in sent.headers.multi_items() if each[0].lower() not in _OURS],
        subprotocols=[Subprotocol(each) for each in wanted] or None,
        user_agent_header="foldwork",
        compression=None,
        proxy=None,
        open_timeout=None,
        ping_interval=settings.ping_s,
        ping_timeout=settings.ping_s,
        close_timeout=settings.close_s_max,
        max_size=settings.response_bytes_max,
        max_queue=_FRAMES_MAX,
        logger=_SILENT,
        **options,
    )
    for address, until in in_turn(addresses, settings.connect_s_max):
        shaking = shake_hands(host=address)
        shaking.until = until
        try:
            return await shaking
        except OSError:
            if until is None:
                raise
    raise AssertionError


async def _places(channel: Channel, context: CallContext) -> tuple[bool, int, str, list[str]]:
    """Whether it is TLS, the port, whom the certificate names, and the addresses to connect to: where the operator sends what is meant
    for this server, or those that are allowed.
    """
    scheme = "wss" if channel.tls else "ws"
    for old, new in context.settings.origins.items():
        meant, target = urlsplit(old), urlsplit(new)
        if (meant.scheme, meant.hostname, meant.port or _PORTS.get(meant.scheme)) == (
            scheme,
            channel.host.strip("[]"),
            channel.port,
        ):
            host = target.hostname or ""
            return target.scheme == "wss", target.port or _PORTS.get(target.scheme, 80), host, [host]
    addresses = await context.resources.addresses.allowed(channel.host, channel.port)
    return channel.tls, channel.port, channel.host.strip("[]"), addresses


def _not_opened(request: Request, refused: InvalidStatus) -> CallFailed:
    response = refused.response
    if response.status_code == httpx.codes.UNAUTHORIZED:
        if request.on_refused:
            request.on_refused()
        return CallFailed("authentication", f"{request.shown} refused the credentials.")
    text = response.body[:_BODY_SHOWN_BYTES_MAX].decode(errors="replace") if response.body else ""
    detail = without(request.secrets, f"{request.shown} answered {response.status_code}: {text}")
    return CallFailed("communication", detail, status=response.status_code, title=response.reason_phrase or None)


def _failure(request: Request, broken: Exception, context: CallContext) -> CallFailed:
    """What it means that a connection has ended."""
    if not isinstance(broken, ConnectionClosed):
        return Cut(f"{request.shown} failed: {type(broken).__name__}.")
    received, sent = broken.rcvd, broken.sent
    if received is None and sent is not None and sent.code in _FOR_GOOD:
        if sent.code == CloseCode.MESSAGE_TOO_BIG:
            detail = f"{request.shown} sent a message of more than {context.settings.response_bytes_max} bytes."
            return CallFailed("communication", detail)
        return CallFailed("communication", f"{request.shown} does not keep to the protocol ({sent.code}).")
    if received is not None and (received.code in _FOR_GOOD or received.code not in _WELL):
        refusal = _refusal(request, received.code, received.reason)
        return refusal if received.code in _FOR_GOOD else Cut(refusal.detail)
    return Cut(f"{request.shown} ended the connection{'' if received else ' without a word'}.")


def _refusal(request: Request, code: int | None, reason: str | None) -> CallFailed:
    detail = f"{request.shown} ended the connection with {code}: {reason or 'no reason given'}"
    return CallFailed("communication", without(request.secrets, detail))
