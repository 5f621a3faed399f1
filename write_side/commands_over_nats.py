"""Commands as NATS requests: `cmd.<tenant>.<command>` is answered exactly as the command's HTTP route is.

Guarantee: as over HTTP; a request that was not answered may have been carried out and is safe to repeat with the same Idempotency-Key. The
processes of the write side share the requests (a queue group). Whatever is sent is answered, as long as its headers are UTF-8 and its reply
subject is not one of ours.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from infra.adapters.nats_client import outlive_messages
from infra.adapters.nats_docs import asyncapi_document, asyncapi_page
from infra.adapters.problem import Malformed
from infra.adapters.web import Route, refusal
from infra.adapters.web_request import JSON, Answer, Request
from infra.errors import Rejection
from infra.settings import Settings
from write_side.api import CommandEdge
from write_side.command_docs import BATCH, DESCRIPTION, TITLE

if TYPE_CHECKING:
    from faststream.nats import NatsMessage

log = structlog.get_logger()

PREFIX = "cmd"
QUEUE = "commands"
STOP_S_MAX = 10.0
WATCH_S = 1.0
RECONNECT_S = 0.5
ANSWER_HEADER_BYTES_MAX = 4_096
_OURS = re.compile(r"\$|(cmd|evt|work|live|lifecycle|seen)(-\d+)?(\.|$)")
"""Reply subjects on which an answer would be taken for a request, an event or an order to JetStream, with our permissions."""


class UnknownSubject(Malformed):
    """A command is sent to `cmd.<tenant>.<command>`."""


class AnswerTooLarge(Rejection):
    """The commands were carried out, but the answer is larger than the NATS server takes: send fewer at once."""

    status = 413


class CommandsOverNats:
    """Run it as a task of its own; while NATS is away it waits for it."""

    def __init__(self, edge: CommandEdge, url: str, settings: Settings) -> None:
        self._edge = edge
        self._url = url
        self._settings = settings

    async def run(self) -> None:
        """Serve for ever. nats-py connects again by itself; it gives up only when the server refuses us, and then we begin anew."""
        while True:
            try:
                async with self._serving() as client:
                    while not client.is_closed:
                        await asyncio.sleep(WATCH_S)
            except (NatsError, OSError) as away:
                log.warning("commands over NATS begin again", cause=repr(away))
            await asyncio.sleep(RECONNECT_S)

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[Client]:
        # It takes half a second to import: a process that starts again serves HTTP meanwhile.
        await asyncio.to_thread(import_module, "faststream.nats")
        from faststream.nats import NatsBroker, NatsMessage, NatsResponse

        broker = NatsBroker(
            self._url.split(","),
            name="write_side commands",
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_S,  # type: ignore[arg-type]  # it sleeps this long, fractions included
            graceful_timeout=STOP_S_MAX,
            apply_types=False,
            logger=None,
        )
        subscriber = broker.subscriber(
            f"{PREFIX}.>",
            queue=QUEUE,
            max_workers=self._settings.nats_requests_in_flight_max,
            decoder=_as_it_is,
        )

        @subscriber
        async def take(message: NatsMessage) -> NatsResponse:
            if _OURS.match(message.reply_to):
                log.info("a request with a reply subject of ours is dropped")
                message.reply_to = ""
                return NatsResponse(b"")
            answer = await self.answer(message.raw_message.subject, message.headers, message.body)
            if len(answer.body) + ANSWER_HEADER_BYTES_MAX > client.max_payload:
                answer = refusal(AnswerTooLarge(), {"path": message.raw_message.subject})
            return NatsResponse(answer.body, headers=_headers_of(answer))

        try:
            client = await broker.connect()
            outlive_messages(client)
            await broker.start()
            yield client
        finally:
            await broker.stop()

    async def answer(self, subject: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What a request is answered; never raises for what was sent."""
        scope: MutableMapping[str, Any] = {"path": subject, "query_string": b"", "source": "nats"}
        try:
            prefix, *rest = subject.split(".")
            if prefix != PREFIX or len(rest) != 2:
                raise UnknownSubject
            tenant_id, name = rest
            scope["headers"] = list(_headers_for(tenant_id, headers).items())
            return await self._edge.answer(name, Request(scope, _Body(body), ""))
        except Exception as error:
            return refusal(error, scope)

    def routes(self) -> list[Route]:
        """The AsyncAPI document and the page that shows it, on the command API."""

        @cache
        def describe() -> bytes:
            names = {route.name for route in self._edge.commands} | {BATCH}
            found = [route.operation for route in self._edge.routes() if route.operation is not None]
            operations = [operation for operation in found if operation.id in names]
            schemas = self._edge.schemas(id_in_body=True)
            return asyncapi_document(TITLE, DESCRIPTION, PREFIX, operations, schemas)

        async def asyncapi(_: Request) -> Answer:
            return Answer(200, await asyncio.to_thread(describe))

        async def page(_: Request) -> Answer:
            html = await asyncio.to_thread(lambda: asyncapi_page(TITLE, describe()))
            return Answer(200, html, (), b"text/html; charset=utf-8")

        return [Route("GET", "/asyncapi.json", asyncapi), Route("GET", "/asyncapi", page)]


class _Body:
    """Gives a body that is there already the way an ASGI server does."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __call__(self) -> MutableMapping[str, Any]:
        body, self._body = self._body, b""
        return {"type": "http.request", "body": body}


async def _as_it_is(message: "NatsMessage") -> "NatsMessage":
    """The edge reads the body itself: FastStream would parse it first, and drop what it cannot read."""
    return message


def _headers_for(tenant_id: str, headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """As over HTTP; the tenant is that of the subject, and what is not said to be anything else is JSON."""
    found = {name.lower().encode(): value.encode(errors="replace") for name, value in headers.items()}
    found.pop(b"content-length", None)
    found.setdefault(b"content-type", JSON)
    found[b"foldwork-tenant"] = tenant_id.encode()
    return found


def _headers_of(answer: Answer) -> dict[str, str]:
    headers = {b"-".join(part.capitalize() for part in name.split(b"-")): value for name, value in answer.headers}
    return {
        "Foldwork-Status": str(answer.status),
        "Content-Type": answer.content_type.decode(),
        **{name.decode(): value.decode() for name, value in headers.items()},
    }
