"""The text of a task as its worker writes it, as server-sent events: it comes over NATS and was never stored.

Guarantee: none but that it ends when the task does. What comes while nobody listens is lost, and so is what a slow listener leaves behind.
"""

import asyncio
from collections.abc import AsyncGenerator

from infra.adapters.nats_client import StreamClient
from infra.adapters.nats_frames import token
from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.web import Route
from infra.adapters.web_docs import Operation, Reply, Schema, problems
from infra.adapters.web_origin import tenant_of
from infra.adapters.web_parameters import QueryReader
from infra.adapters.web_request import Request, Stream
from projections.task_board import TASK_BOARD
from read_side.live import TooManyListeners
from read_side.queries import QUERY_PARAMETERS, Queries
from read_side.tasks import TASKS, TaskUnknown

PIECES_KEPT_MAX = 200
PIECE_BYTES_MAX = 65_536
LOOK_S = 1.0
RECONNECT_MS = 1_000
ENDED = frozenset({"completed", "failed", "cancelled", "timed_out"})
_HEADERS = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))
_SENT: Schema = {
    "type": "object",
    "properties": {
        "event": {"enum": ["text", "ended"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}


class TaskTexts:
    """Serves `/v1/tasks/{task_id}/live`."""

    def __init__(self, queries: Queries, stream: NatsEventStream) -> None:
        self._queries = queries
        self._stream = stream
        self._nothing = QueryReader(())
        self.listeners = 0

    def routes(self) -> list[Route]:
        operation = Operation(
            "follow_task_text",
            "tasks",
            "The text of a task as its worker writes it, as server-sent events",
            {200: Reply("Pieces of text, until the task ends.", _SENT, "text/event-stream")}
            | problems(400, 404, 409, 422, 500, 503, 504),
            (TASKS.id_parameter, *QUERY_PARAMETERS),
            description=(
                "The data of a `text` event is what the worker sent: `task_id`, `attempt`, `number` (from 1 in each attempt) and `text`. "
                "It is shown once and never stored. `ended` comes last, with the task's `status`."
            ),
        )
        return [Route("GET", "/v1/tasks/{task_id}/live", self._follow, operation)]

    async def _follow(self, request: Request) -> Stream:
        """Begins before it answers, so that what cannot begin is refused with a status."""
        tenant_id, task_id = tenant_of(request), str(TASKS.id_parameter.read(request.parameter))
        self._nothing.read(request.query)
        status, _ = await self._queries.read([TASK_BOARD.name], request, lambda: self._status(tenant_id, task_id))
        if status is None:
            raise TaskUnknown(f"There is no task {task_id}.")
        if self.listeners >= self._queries.settings.live_clients_max:
            raise TooManyListeners
        parts = self._parts(tenant_id, task_id)
        return Stream(await anext(parts), parts, b"text/event-stream", _HEADERS)

    async def _status(self, tenant_id: str, task_id: str) -> str | None:
        row = await self._queries.models.get(TASK_BOARD, (tenant_id, task_id))
        return None if row is None else row.status

    async def _parts(self, tenant_id: str, task_id: str) -> AsyncGenerator[bytes, None]:
        pieces: asyncio.Queue[bytes] = asyncio.Queue(PIECES_KEPT_MAX)

        def take(_subject: bytes, _reply: bytes, data: bytes, _headers: bytes) -> None:
            if len(data) <= PIECE_BYTES_MAX:
                if pieces.full():
                    pieces.get_nowait()
                pieces.put_nowait(data)

        self.listeners += 1
        subscription: tuple[StreamClient, int] | None = None
        try:
            client = await self._stream.client()
            subscription = client, await client.attach(f"live.{token(tenant_id)}.task.{token(task_id)}", take)
            yield b"retry: %d\n: listening\n\n" % RECONNECT_MS
            async for part in self._until_ended(tenant_id, task_id, pieces):
                yield part
        finally:
            self.listeners -= 1
            if subscription is not None:
                await subscription[0].detach(subscription[1])

    async def _until_ended(
        self, tenant_id: str, task_id: str, pieces: "asyncio.Queue[bytes]"
    ) -> AsyncGenerator[bytes, None]:
        """Looks at the task every LOOK_S. What is on its way when it ends is still shown, but nobody writes on for ever."""
        clock = asyncio.get_running_loop().time
        look_at, silent, was_over = clock() + LOOK_S, True, False
        while True:
            try:
                async with asyncio.timeout_at(look_at):
                    piece = await pieces.get()
            except TimeoutError:
                pass
            else:
                silent = False
                yield b"event: text\ndata: %b\n\n" % piece.replace(b"\r", b" ").replace(b"\n", b" ")
            if clock() < look_at:
                continue
            status = await self._status(tenant_id, task_id) or "unknown"
            if status in ENDED and (silent or was_over):
                yield b'event: ended\ndata: {"status":"%b"}\n\n' % status.encode()
                return
            if silent:
                yield b": still listening\n\n"
            look_at, silent, was_over = clock() + LOOK_S, True, status in ENDED
