"""AsyncAPI over NATS: a channel is a subject; its binding may name the queue group that shares the messages.

Guarantee: a message is published at least once, with the call's key as its `Nats-Msg-Id`; while subscribed, messages come at most once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client, Srv
from nats.protocol.parser import Parser

from infra.calls.addresses import certificates, in_turn
from infra.calls.asyncapi_document import Channel
from infra.calls.asyncapi_protocol import Cut, Message, Protocol, Receive
from infra.calls.authentication import authorize
from infra.calls.contract import Arguments, CallContext, CallFailed, CallSettings, map_of, plain

_MESSAGE_ID = "Nats-Msg-Id"
_PORT = 4222
_LINE_END = b"\r\n"
_FORBIDDEN = "permissions violation"
_OBJECT_BYTES = 300
"""What Python needs for a message beside its bytes, and for each of its headers."""
_BROKEN = (nats.errors.Error, OSError, ValueError)


async def _publish(channel: Channel, message: Message, policy: Arguments, context: CallContext) -> None:
    async with _connected(channel, policy, context) as client:
        await context.confirm()
        try:
            await client.publish(
                channel.address, message.data, headers={_MESSAGE_ID: context.key} | dict(message.headers)
            )
            await client.arrived(context)
        except (nats.errors.BadSubjectError, nats.errors.MaxPayloadError, ValueError) as refused:
            raise CallFailed("configuration", f"The message cannot be published: {refused}") from refused
        except _BROKEN as broken:
            raise _failure(channel, broken, sent=True) from broken


@asynccontextmanager
async def _listen(channel: Channel, policy: Arguments, context: CallContext) -> AsyncIterator[Receive]:
    settings = context.settings
    async with _connected(channel, policy, context) as client:
        try:
            subscription = await client.subscribe(
                channel.address,
                queue=plain(channel.binding.get("queue")),
                pending_bytes_limit=settings.pending_bytes_max,
            )
            await client.arrived(context)
        except (nats.errors.BadSubjectError, ValueError) as refused:
            raise CallFailed("configuration", f"The subject cannot be listened to: {refused}") from refused
        except _BROKEN as broken:
            raise _failure(channel, broken) from broken

        async def receive() -> Message:
            try:
                received = await subscription.next_msg(timeout=None)
                client.taken()
            except _BROKEN as broken:
                raise Cut(_failure(channel, broken).detail) from broken
            return Message(received.data, received.headers or {})

        yield receive


NATS = Protocol(_publish, _listen)


class _BoundedParser(Parser):
    """Keeps no more of a message, or of a line, than a call can take: the library's own waits until all of it is there."""

    def __init__(self, client: Client, bytes_max: int) -> None:
        super().__init__(client)
        self._bytes_max = bytes_max

    async def parse(self, data: bytes = b"") -> None:
        """Raises ProtocolError beyond the bound, which ends the connection."""
        await super().parse(data)
        if max(self.needed, len(self.buf) - len(_LINE_END)) > self._bytes_max:
            raise nats.errors.ProtocolError("the server sends more than a call can take")


class _OneServer(Client):
    """A client that stays with the server whose address was checked, whatever others that one speaks of."""

    needs_tls = False
    until: float | None = None
    forbidden: Exception | None = None

    def __init__(self, settings: CallSettings) -> None:
        super().__init__()
        self._ps = _BoundedParser(self, settings.response_bytes_max)
        self._pending_bytes_max = settings.pending_bytes_max
        self._waiting: deque[int] = deque()
        self._waiting_bytes = 0

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """Lose what is beyond the bound: the library bounds what waits by its payloads alone."""
        head = headers or b""
        size = len(data) + len(head) + _OBJECT_BYTES * (1 + head.count(b"\n"))
        is_too_much = self._waiting and self._waiting_bytes + size > self._pending_bytes_max
        if is_too_much or sid not in self._subs:
            return
        self._waiting.append(size)
        self._waiting_bytes += size
        await super()._process_msg(sid, subject, reply, data, headers)

    def taken(self) -> None:
        """The message that has waited longest waits no more."""
        self._waiting_bytes -= self._waiting.popleft()

    async def arrived(self, context: CallContext) -> None:
        """Wait until the server has had all that was sent; raises what it said against it."""
        await self.flush(max(1, int(context.settings.connect_s_max)))
        if self.forbidden:
            raise self.forbidden

    async def note(self, error: Exception) -> None:
        """What breaks is raised where it is waited for, but for what a server says in passing."""
        if _FORBIDDEN in str(error):
            self.forbidden = error

    def abort(self) -> None:
        """Let go of the connection at once, however far it has come: the library closes only what it has connected."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    async def _connect_to_server(self, s: Srv) -> None:
        async with asyncio.timeout_at(self.until):
            await super()._connect_to_server(s)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self.needs_tls and not info.get("tls_required"):
            raise nats.errors.SecureConnRequiredError
        await super()._process_info({**info, "connect_urls": []}, initial_connection)


@asynccontextmanager
async def _connected(channel: Channel, policy: Arguments, context: CallContext) -> AsyncIterator[_OneServer]:
    options, forget = await _credentials(policy, context)
    try:
        async with asyncio.timeout(context.settings.connect_s_max):
            client = await _connect(channel, options, context)
    except (*_BROKEN, TimeoutError) as broken:
        failure = _failure(channel, broken)
        if forget and failure.type == "authentication":
            forget()
        raise failure from broken
    try:
        yield client
    finally:
        try:
            await client.close()
        finally:
            client.abort()


async def _connect(channel: Channel, options: dict[str, Any], context: CallContext) -> _OneServer:
    host, port, tls, addresses = await _places(channel, context)
    if tls:
        options = options | {"tls": certificates(), "tls_hostname": host.strip("[]")}
    for address, until in in_turn(addresses, context.settings.connect_s_max):
        client = _OneServer(context.settings)
        client.needs_tls, client.until = tls, until
        try:
            await _connect_to(client, address, port, options, context)
            return client
        except BaseException as broken:
            client.abort()
            if until is None or not isinstance(broken, OSError | nats.errors.NoServersError):
                raise
    raise AssertionError


async def _connect_to(
    client: _OneServer, address: str, port: int, options: dict[str, Any], context: CallContext
) -> None:
    place = f"[{address}]" if ":" in address else address
    await client.connect(
        [f"nats://{place}:{port}"],
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        connect_timeout=max(1, int(context.settings.connect_s_max)),
        error_cb=client.note,
        **options,
    )


async def _places(channel: Channel, context: CallContext) -> tuple[str, int, bool, list[str]]:
    """Host, port, whether it is TLS, and the addresses to connect to: where the operator sends what is meant for this server, or
    those that are allowed.
    """
    for old, new in context.settings.origins.items():
        meant, target = urlsplit(old), urlsplit(new)
        if meant.scheme in {"nats", "tls"} and (meant.hostname, meant.port or _PORT) == (channel.host, channel.port):
            host = str(target.hostname)
            return host, target.port or _PORT, target.scheme == "tls", [host]
    addresses = await context.resources.addresses.allowed(channel.host, channel.port)
    return channel.host, channel.port, channel.tls, addresses


async def _credentials(policy: Arguments, context: CallContext) -> tuple[dict[str, Any], Callable[[], None] | None]:
    """What the library is told of who connects, and what drops the token in it once that was refused."""
    if "basic" in policy:
        basic = map_of(policy, "basic")
        return {"user": plain(basic.get("username")), "password": plain(basic.get("password"))}, None
    if "digest" in policy:
        raise CallFailed("configuration", "NATS does not know the authentication 'digest'.")
    authorization = await authorize(policy, context)
    return ({"token": authorization.parameter}, authorization.forget) if authorization else ({}, None)


def _failure(channel: Channel, broken: Exception, *, sent: bool = False) -> CallFailed:
    where = f"The NATS server {channel.host[:200]}:{channel.port}"
    if _FORBIDDEN in str(broken):
        return CallFailed("authorization", f"{where} does not permit this.")
    if isinstance(broken, nats.errors.AuthorizationError) or "uthorization" in str(broken):
        return CallFailed("authentication", f"{where} refused the credentials.")
    if isinstance(broken, TimeoutError):
        return CallFailed("timeout", f"{where} did not answer in time.", in_doubt=sent)
    return CallFailed("communication", f"{where} failed: {type(broken).__name__}.", in_doubt=sent)
