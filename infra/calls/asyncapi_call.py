"""`call: asyncapi` over NATS: publish one message, or collect messages for a while.

Guarantee: a message is published at least once, with the call's key as its `Nats-Msg-Id`; while subscribed, messages come at most once.
"""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import JsonValue

from infra.calls.asyncapi_document import Channel, find_channel
from infra.calls.authentication import authorize
from infra.calls.contract import Arguments, CallContext, CallFailed, map_of, plain, seconds_of
from infra.calls.documents import fetch_document

_MESSAGE_ID = "Nats-Msg-Id"
_CORRELATION_HEADERS = {"correlationid", "correlation-id"}
_BROKEN = (nats.errors.Error, OSError, ValueError)


async def asyncapi_call(arguments: Arguments, context: CallContext) -> JsonValue:
    """Carry out `call: asyncapi`.

    With `message` the output is the message as it was published. With `subscription` it is the list of messages that came and that
    `context.keep` accepts, `{"payload", "headers"}` and `correlationId` if there is one, until `amount` of them are there, `for` is over or
    `context.go_on` says no (asked before the first and after each). With `context.take` each message is handed to that, and the output is
    empty. What `keep`, `go_on` and `take` raise goes through.

    CallFailed: authorization if the server may not be reached, authentication if it refuses, communication if it fails, configuration
    for a document that does not describe this over NATS.
    """
    publishes, subscribes = arguments.get("message") is not None, arguments.get("subscription") is not None
    if publishes == subscribes:
        raise CallFailed("configuration", "Exactly one of 'message' and 'subscription' is needed.")
    found = await fetch_document(map_of(arguments, "document"), context)
    document: Mapping[str, JsonValue] = found  # type: ignore[assignment]  # it was read from JSON
    channel = find_channel(document, arguments)
    async with _connected(channel, map_of(arguments, "authentication"), context) as client:
        if publishes:
            return await _publish(client, channel, map_of(arguments, "message"), context)
        return await _subscribe(client, channel, map_of(arguments, "subscription"), context)


async def _publish(client: Client, channel: Channel, message: Arguments, context: CallContext) -> JsonValue:
    headers = {name: plain(value) for name, value in map_of(message, "headers").items()}
    payload = orjson.dumps(message.get("payload"))
    if len(payload) > context.settings.request_bytes_max:
        raise CallFailed(
            "configuration", f"The message has more than {context.settings.request_bytes_max} bytes.", status=413
        )
    try:
        await client.publish(channel.subject, payload, headers={_MESSAGE_ID: context.key} | headers)
        await client.flush(max(1, int(context.settings.connect_s_max)))
    except (nats.errors.BadSubjectError, nats.errors.MaxPayloadError, ValueError) as refused:
        raise CallFailed("configuration", f"The message cannot be published: {refused}") from refused
    except _BROKEN as broken:
        raise _failure(channel, broken) from broken
    shown: dict[str, JsonValue] = dict(headers)
    return {"payload": message.get("payload"), "headers": shown}


async def _subscribe(client: Client, channel: Channel, subscription: Arguments, context: CallContext) -> JsonValue:
    consume, settings = map_of(subscription, "consume"), context.settings
    amount = consume.get("amount")
    if amount is not None and (not isinstance(amount, int) or not 1 <= amount <= settings.messages_max):
        raise CallFailed("configuration", f"The amount of messages is none from 1 to {settings.messages_max}.")
    if amount is None and context.go_on is None and context.take is None and consume.get("for") is None:
        raise CallFailed("configuration", "The subscription does not say when it is over.")
    duration_s = max(seconds_of(consume["for"]) - context.passed_s, 0) if consume.get("for") is not None else None
    messages: list[JsonValue] = []
    try:
        async with asyncio.timeout(duration_s):
            await _collect(client, channel, messages, amount, context)
    except TimeoutError:
        pass
    except _BROKEN as broken:
        raise _failure(channel, broken) from broken
    return messages


async def _collect(
    client: Client, channel: Channel, messages: list[JsonValue], amount: int | None, context: CallContext
) -> None:
    settings, size = context.settings, 0
    subscription = await client.subscribe(channel.subject, queue=channel.queue)
    await client.flush(max(1, int(settings.connect_s_max)))
    while (amount is None or len(messages) < amount) and (context.go_on is None or context.go_on(messages)):
        received = await subscription.next_msg(timeout=None)
        message = _message(received)
        if context.take is not None:
            if not await context.take(message):
                return
            continue
        if context.keep is not None and not context.keep(message):
            continue
        size += len(received.data)
        if size > settings.response_bytes_max or len(messages) == settings.messages_max:
            raise CallFailed("communication", "The messages are more than a call can take.")
        messages.append(message)


def _message(received: Msg) -> JsonValue:
    headers: dict[str, JsonValue] = dict(received.headers or {})
    message: dict[str, JsonValue] = {"payload": _payload(received.data), "headers": headers}
    correlation = next((value for name, value in headers.items() if name.lower() in _CORRELATION_HEADERS), None)
    return message if correlation is None else message | {"correlationId": correlation}


def _payload(data: bytes) -> JsonValue:
    """JSON as its value, else text, else base64; None if there is nothing."""
    if not data:
        return None
    try:
        found: JsonValue = orjson.loads(data)
        return found
    except orjson.JSONDecodeError:
        pass
    try:
        return data.decode()
    except UnicodeDecodeError:
        return b64encode(data).decode()


class _OneServer(Client):
    """A client that stays with the server whose address was checked, whatever others that one speaks of."""

    needs_tls = False

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self.needs_tls and not info.get("tls_required"):
            raise nats.errors.SecureConnRequiredError
        await super()._process_info({**info, "connect_urls": []}, initial_connection)


@asynccontextmanager
async def _connected(channel: Channel, policy: Arguments, context: CallContext) -> AsyncIterator[Client]:
    settings = context.settings
    host, port, address = await _checked(channel, context)
    options = await _credentials(policy, context)
    client = _OneServer()
    client.needs_tls = channel.tls
    place = f"[{address}]" if ":" in address else address
    if channel.tls:
        options |= {"tls": ssl.create_default_context(), "tls_hostname": host}
    try:
        async with asyncio.timeout(settings.connect_s_max):
            await client.connect(
                [f"nats://{place}:{port}"],
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=max(1, int(settings.connect_s_max)),
                error_cb=_pass_over,
                **options,
            )
    except (*_BROKEN, TimeoutError) as broken:
        raise _failure(channel, broken) from broken
    try:
        yield client
    finally:
        await client.close()


async def _checked(channel: Channel, context: CallContext) -> tuple[str, int, str]:
    """Host, port and address to connect to: where the operator sends what is meant for this server, or an address that is allowed."""
    for old, new in context.settings.origins.items():
        meant, target = urlsplit(old), urlsplit(new)
        if meant.scheme in {"nats", "tls"} and (meant.hostname, meant.port or 4222) == (channel.host, channel.port):
            return channel.host, target.port or 4222, str(target.hostname)
    addresses = await context.resources.addresses.allowed(channel.host, channel.port)
    return channel.host, channel.port, addresses[0]


async def _credentials(policy: Arguments, context: CallContext) -> dict[str, Any]:
    if "basic" in policy:
        basic = map_of(policy, "basic")
        return {"user": plain(basic.get("username")), "password": plain(basic.get("password"))}
    if "digest" in policy:
        raise CallFailed("configuration", "NATS does not know the authentication 'digest'.")
    authorization = await authorize(policy, context)
    return {"token": authorization.parameter} if authorization else {}


async def _pass_over(error: Exception) -> None:
    """What breaks is raised where it is waited for."""


def _failure(channel: Channel, broken: Exception) -> CallFailed:
    where = f"The NATS server {channel.host[:200]}:{channel.port}"
    if isinstance(broken, nats.errors.AuthorizationError) or "uthorization" in str(broken):
        return CallFailed("authentication", f"{where} refused the credentials.")
    if isinstance(broken, TimeoutError):
        return CallFailed("timeout", f"{where} did not answer in time.")
    return CallFailed("communication", f"{where} failed: {type(broken).__name__}.")
