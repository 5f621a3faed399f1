"""`call: asyncapi`, over NATS or WebSocket: publish one message, or collect messages for a while.

Guarantee: a message is published at least once, with the call's key beside it; while subscribed, messages come at most once. A subscription
whose connection is cut connects again: what was said meanwhile is lost.
"""

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType

import orjson
from pydantic import JsonValue

from infra.calls.asyncapi_document import Channel, find_channel
from infra.calls.asyncapi_over_nats import NATS
from infra.calls.asyncapi_over_websocket import WEBSOCKET
from infra.calls.asyncapi_protocol import Cut, Message, Protocol
from infra.calls.contract import Arguments, CallContext, CallFailed, map_of, plain, seconds_of
from infra.calls.document_nodes import pointed_at
from infra.calls.documents import fetch_document
from infra.calls.exchange import veiled

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({"nats": NATS, "ws": WEBSOCKET})
_CORRELATION_HEADERS = {"correlationid", "correlation-id"}
_RECONNECT_S_MIN = 0.1


async def asyncapi_call(arguments: Arguments, context: CallContext) -> JsonValue:
    """Carry out `call: asyncapi`.

    With `message` the output is the message as it was published. With `subscription` it is the list of messages that came and that
    `context.keep` accepts, `{"payload", "headers"}` and `correlationId` if there is one, until `amount` of them are there, `for` is over or
    `context.go_on` says no (asked before the first and after each). With `context.take` each message is handed to that, and the output is
    empty. What `keep`, `go_on` and `take` raise goes through. `for` begins once it listens for the first time, and goes on while it
    connects again, which it tries `reconnects_max` times in a row: a connection that held for `reconnect_s_max`, or brought a message
    that counts, ends the row.

    CallFailed: authorization if the server may not be reached or does not permit it, authentication if it refuses, communication if it
    fails, timeout if it does not answer, configuration for a document that does not describe this over a protocol that is spoken here.
    """
    publishes, subscribes = arguments.get("message") is not None, arguments.get("subscription") is not None
    if publishes == subscribes:
        raise CallFailed("configuration", "Exactly one of 'message' and 'subscription' is needed.")
    found = await fetch_document(map_of(arguments, "document"), context)
    document: Mapping[str, JsonValue] = found  # type: ignore[assignment]  # it was read from JSON
    channel, policy = find_channel(document, arguments), map_of(arguments, "authentication")
    if publishes:
        return await _publish(channel, policy, map_of(arguments, "message"), context)
    return await _subscribe(channel, policy, map_of(arguments, "subscription"), context)


async def _publish(channel: Channel, policy: Arguments, message: Arguments, context: CallContext) -> JsonValue:
    headers = {name: plain(value) for name, value in map_of(message, "headers").items()}
    data = orjson.dumps(message.get("payload"))
    if len(data) > context.settings.request_bytes_max:
        raise CallFailed(
            "configuration", f"The message has more than {context.settings.request_bytes_max} bytes.", status=413
        )
    await PROTOCOLS[channel.protocol].publish(channel, Message(data, headers), policy, context)
    shown: dict[str, JsonValue] = dict(headers)
    return veiled(context.secrets, {"payload": message.get("payload"), "headers": shown})


async def _subscribe(channel: Channel, policy: Arguments, subscription: Arguments, context: CallContext) -> JsonValue:
    consume, settings = map_of(subscription, "consume"), context.settings
    amount = consume.get("amount")
    if amount is not None and (not isinstance(amount, int) or not 1 <= amount <= settings.messages_max):
        raise CallFailed("configuration", f"The amount of messages is none from 1 to {settings.messages_max}.")
    if amount is None and context.go_on is None and context.take is None and consume.get("for") is None:
        raise CallFailed("configuration", "The subscription does not say when it is over.")
    duration_s = seconds_of(consume["for"]) - context.passed_s if consume.get("for") is not None else None
    collection = _Collection(channel, amount, context)
    if duration_s is not None and duration_s <= 0:
        return []
    try:
        async with asyncio.timeout(None) as timer:
            await _collect(channel, policy, collection, timer, duration_s, context)
    except TimeoutError:
        if not timer.expired():
            raise
    return collection.messages


async def _collect(
    channel: Channel,
    policy: Arguments,
    collection: "_Collection",
    timer: asyncio.Timeout,
    duration_s: float | None,
    context: CallContext,
) -> None:
    """Listen until there is enough, over as many connections as it takes."""
    settings, loop, cuts = context.settings, asyncio.get_running_loop(), 0
    while True:
        opened_at, before = None, len(collection.messages)
        try:
            async with PROTOCOLS[channel.protocol].listen(channel, policy, context) as receive:
                opened_at = loop.time()
                if duration_s is not None and timer.when() is None:
                    timer.reschedule(opened_at + duration_s)
                while collection.wants_more():
                    if not await collection.add(await receive()):
                        return
                return
        except CallFailed as failed:
            # Who was reached before and is away now may only be starting again.
            is_away = opened_at is None and cuts and failed.type in ("communication", "timeout")
            held = opened_at is not None and loop.time() - opened_at >= settings.reconnect_s_max
            if held or len(collection.messages) > before:
                cuts = 0
            if not (isinstance(failed, Cut) or is_away) or cuts == settings.reconnects_max:
                raise
            cuts += 1
        await asyncio.sleep(min(_RECONNECT_S_MIN * 2 ** (cuts - 1), settings.reconnect_s_max))


class _Collection:
    """The messages of a subscription so far, within the bounds of a call; none of them is here if each is handed over."""

    def __init__(self, channel: Channel, amount: int | None, context: CallContext) -> None:
        self.messages: list[JsonValue] = []
        self._correlations = channel.correlations
        self._amount = amount
        self._context = context
        self._size = 0

    def wants_more(self) -> bool:
        go_on = self._context.go_on
        return (self._amount is None or len(self.messages) < self._amount) and (go_on is None or go_on(self.messages))

    async def add(self, received: Message) -> bool:
        """Hand over or keep a message, if it counts; says whether it may go on."""
        context = self._context
        message = _shown(received, self._correlations)
        if context.take is not None:
            return await context.take(message)
        if context.keep is not None and not context.keep(message):
            return True
        self._size += len(received.data)
        if self._size > context.settings.response_bytes_max or len(self.messages) == context.settings.messages_max:
            raise CallFailed("communication", "The messages are more than a call can take.")
        self.messages.append(message)
        return True


def _shown(received: Message, correlations: tuple[str, ...]) -> JsonValue:
    headers: dict[str, JsonValue] = dict(received.headers)
    message: dict[str, JsonValue] = {"payload": _payload(received.data), "headers": headers}
    correlation = _correlation(message, correlations)
    return message if correlation is None else message | {"correlationId": correlation}


def _correlation(message: Mapping[str, JsonValue], locations: tuple[str, ...]) -> str | None:
    """A message's correlation id: where the document says that it is, or else in the header that is commonly named so."""
    for location in locations:
        part, _, pointer = location.partition("#")
        name = {"$message.payload": "payload", "$message.header": "headers"}.get(part)
        found = pointed_at(message[name], pointer) if name else None
        if isinstance(found, str | int | float):
            return plain(found)
    headers = message["headers"]
    assert isinstance(headers, dict)
    return next((plain(value) for name, value in headers.items() if name.lower() in _CORRELATION_HEADERS), None)


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
