"""A NATS connection for much traffic: bytes go out in whole pieces, what comes in goes straight to a plain function.

Guarantee: what is under way when the connection breaks fails at once; the connection is tried again for ever.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import nats.errors
import orjson
import structlog
from nats.aio.client import Client
from nats.aio.transport import Transport

from infra.adapters.event_stream import ConsumerGone, StreamGone, StreamRefused, StreamUnavailable
from infra.adapters.nats_frames import publish
from infra.cancellation import end

log = structlog.get_logger()

REPLY_S_MAX = 5.0
_CONNECT_S_MAX = 2
_RECONNECT_S = 0.25
_PING_S = 2
_PINGS_MAX = 2
_STREAM_NOT_FOUND, _CONSUMER_NOT_FOUND = 10059, 10014
_STREAM_NOT_CREATED = 10049
_CREATE_S_MAX = 5.0
_CREATE_AGAIN_S = 0.05
_NO_RESPONDERS = b"NATS/1.0 503"

Sink = Callable[[bytes, bytes, bytes, bytes], None]
"""Takes subject, reply subject, payload and raw headers of each message, in order of arrival."""


class StreamClient(Client):
    """nats-py's client with a short cut in both directions around its per-message work."""

    def __init__(self, on_change: Callable[[str], None]) -> None:
        super().__init__()
        self._on_change = on_change
        self._sinks: dict[int, Sink] = {}
        self._asked: dict[bytes, asyncio.Future[bytes]] = {}
        self._tokens = itertools.count(1)
        self._inbox = b""
        self.last_trouble: Exception | None = None

    async def open(self, url: str, name: str) -> None:
        """Connect, however long it takes."""
        await self.connect(
            url.split(","),
            name=name,
            error_cb=self._trouble,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            closed_cb=self._closed,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_S,  # type: ignore[arg-type]  # it sleeps this long, fractions included
            connect_timeout=_CONNECT_S_MAX,
            ping_interval=_PING_S,
            max_outstanding_pings=_PINGS_MAX,
        )
        inbox = self.new_inbox()
        self._inbox = inbox.encode() + b"."
        await self.attach(f"{inbox}.*", self._answered)

    async def close(self) -> None:
        """Also ends the attempt to reconnect for certain: nats-py cancels it once, which can get lost, and it would go on for ever."""
        await super().close()
        attempt = self._reconnection_task
        if attempt is not None and attempt is not asyncio.current_task():
            await end(attempt)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        sink = self._sinks.get(sid)
        if sink is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        try:
            sink(subject, reply, data, headers)
        except Exception:  # an exception here would end nats-py's read loop in silence
            log.exception("message not taken", subject=subject.decode(errors="replace"))

    async def _process_op_err(self, e: Exception) -> None:
        """Give the broken connection up at once: nats-py would first wait until a server that stands still took the rest."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
        await super()._process_op_err(e)

    async def attach(self, subject: str, sink: Sink) -> int:
        """Give what arrives on a subject to `sink`; the number ends it again."""
        try:
            subscription = await self.subscribe(subject)
        except nats.errors.Error as broken:
            raise StreamUnavailable from broken
        self._sinks[subscription._id] = sink
        self._write_pending()
        return subscription._id

    async def detach(self, number: int) -> None:
        """Nothing more is given to that sink, and what is sent next finds the server without the subscription."""
        self._sinks.pop(number, None)
        subscription = self._subs.get(number)
        if subscription is None or self.is_closed:
            return
        await subscription.unsubscribe()
        self._write_pending()

    def _write_pending(self) -> None:
        """Write what nats-py would write soon: `send` must not overtake it. Its own flush swallows a cancellation."""
        if self.is_connected and self._transport is not None:
            self._transport.writelines(self._pending)
            self._pending = []
            self._pending_data_size = 0

    def send(self, frames: bytes) -> None:
        """Write frames to the socket now."""
        self._live_transport().write(frames)

    async def drain(self) -> None:
        """Wait until the socket takes more."""
        try:
            async with asyncio.timeout(REPLY_S_MAX):
                await self._live_transport().drain()  # type: ignore[no-untyped-call]  # nats-py leaves it so
        except (OSError, TimeoutError) as broken:
            raise StreamUnavailable from broken

    def _live_transport(self) -> Transport:
        if not self.is_connected or self._transport is None:
            raise StreamUnavailable(f"NATS is not connected: {self.last_trouble!r}")
        return self._transport

    def expect(self) -> "tuple[bytes, asyncio.Future[bytes]]":
        """A reply subject, and what comes on it: StreamGone if nobody listened, StreamUnavailable if nothing comes."""
        self._live_transport()
        loop = asyncio.get_running_loop()
        subject = self._inbox + b"%d" % next(self._tokens)
        future: asyncio.Future[bytes] = loop.create_future()
        timer = loop.call_later(REPLY_S_MAX, self._give_up, subject)
        self._asked[subject] = future

        def over(_: object) -> None:
            timer.cancel()
            self._asked.pop(subject, None)

        future.add_done_callback(over)
        return subject, future

    async def api(self, verb: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask the JetStream API, for example `STREAM.INFO.EVENTS_0`."""
        reply, answer = self.expect()
        self.send(publish(b"$JS.API." + verb.encode(), reply, orjson.dumps(request or {})))
        try:
            found: dict[str, Any] = orjson.loads(await answer)
        except StreamGone as nobody:
            raise StreamUnavailable("This NATS server has no JetStream, or is older than 2.14.") from nobody
        raise_for(found.get("error"))
        return found

    async def create_stream(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Create a stream, or find it as it is; gives its StreamInfo.

        The server takes the folders of a deleted stream away after it has answered (nats-server 2.15, server/stream.go):
        what is created meanwhile may be refused, and is asked for again.
        """
        again_until = asyncio.get_running_loop().time() + _CREATE_S_MAX
        while True:
            try:
                return await self.api(f"STREAM.CREATE.{config['name']}", config)
            except StreamRefused as refused:
                if refused.err_code != _STREAM_NOT_CREATED or asyncio.get_running_loop().time() > again_until:
                    raise
            await asyncio.sleep(_CREATE_AGAIN_S)

    async def replace_stream(self, config: Mapping[str, Any]) -> None:
        """Delete a stream if there is one and create an empty one of its name.

        A stream that is deleted while the files of one deleted before are still there keeps its own
        (server/filestore.go), and the next of its name has its messages again: that one is deleted too.
        """
        again_until = asyncio.get_running_loop().time() + _CREATE_S_MAX
        while True:
            with contextlib.suppress(StreamGone):
                await self.api(f"STREAM.DELETE.{config['name']}")
            made = await self.create_stream(config)
            if not made["state"]["messages"]:
                return
            if asyncio.get_running_loop().time() > again_until:
                raise StreamRefused(f"The messages of stream {config['name']} come back each time that it is deleted.")
            await asyncio.sleep(_CREATE_AGAIN_S)

    def _answered(self, subject: bytes, _: bytes, data: bytes, headers: bytes) -> None:
        future = self._asked.get(subject)
        if future is None or future.done():
            return
        if headers and headers.startswith(_NO_RESPONDERS):
            future.set_exception(StreamGone())
        else:
            future.set_result(data)

    def _give_up(self, subject: bytes) -> None:
        future = self._asked.get(subject)
        if future is not None and not future.done():
            future.set_exception(StreamUnavailable(f"NATS did not answer within {REPLY_S_MAX:g} s."))

    async def _trouble(self, trouble: Exception) -> None:
        self.last_trouble = trouble

    async def _disconnected(self) -> None:
        for future in list(self._asked.values()):
            if not future.done():
                future.set_exception(StreamUnavailable("The connection to NATS was lost."))
        self._on_change("disconnected")

    async def _reconnected(self) -> None:
        self._on_change("connected")

    async def _closed(self) -> None:
        self._on_change("closed")


def outlive_messages(client: Client) -> None:
    """Let no message end the read loop of a plain client: nats-py does so, in silence, where a subject or a header is not UTF-8.

    Such a subject is given with U+FFFD in it; what cannot be read even so is dropped.
    """
    process = client._process_msg

    async def process_or_drop(sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        try:
            await process(sid, subject.decode(errors="replace").encode(), reply, data, headers)
        except Exception as unreadable:
            log.warning("message not taken", cause=type(unreadable).__name__)

    client._process_msg = process_or_drop  # type: ignore[method-assign]  # its parser asks the instance


def raise_for(error: Mapping[str, Any] | None) -> None:
    """Raise what an error of the JetStream API means; nothing for None."""
    if error is None:
        return
    description = f"{error.get('description')} ({error.get('err_code')})"
    if error.get("err_code") == _STREAM_NOT_FOUND:
        raise StreamGone(description)
    if error.get("err_code") == _CONSUMER_NOT_FOUND:
        raise ConsumerGone(description)
    raise StreamRefused(description, error.get("err_code"))
