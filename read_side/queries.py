"""What every query is asked with: the tenant, the page, and the position that the read model must have seen."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from infra.adapters.event_store import EventStore
from infra.adapters.read_store import NotYetVisible, ReadStore
from infra.adapters.web_docs import Reply, Schema
from infra.adapters.web_parameters import POSITION_MAX, TENANT, Parameter, position
from infra.adapters.web_request import Answer, Header, Request
from infra.errors import Rejection, StoreUnavailable
from infra.settings import Settings

T = TypeVar("T")

MIN_POSITION = position(
    "Foldwork-Min-Position",
    "header",
    "Answer once the read model has seen this position, for example that of a command's answer.",
)
DOUBT_S = 0.1
LOSSES_MAX = 5
QUERY_PARAMETERS = (TENANT, MIN_POSITION)
POSITION: Schema = {"type": "integer", "minimum": 0, "maximum": POSITION_MAX}


class PositionNotReached(Rejection):
    """The log has not come to this position: no answer of a command has named it."""


@dataclass(frozen=True, slots=True)
class Queries:
    """What queries are answered from: the read models, and the log itself."""

    models: ReadStore
    log: EventStore
    settings: Settings

    @property
    def limit(self) -> Parameter:
        settings = self.settings
        bounds = {
            "type": "integer",
            "minimum": 1,
            "maximum": settings.page_size_max,
            "default": settings.page_size_default,
        }
        return Parameter("limit", "query", bounds, "How many to give at most.")

    async def seen(self, models: Sequence[str], request: Request) -> int:
        """How far these read models have come, once they are where the request wants them.

        Raises PositionNotReached, NotYetVisible when they do not get there in time, and InvalidFields.
        """
        wanted = min_position_of(request)
        reached = min([await self.models.position(model) for model in models])
        if wanted > reached:
            await self._wait(models, wanted)
        return max(wanted, reached)

    async def read(self, models: Sequence[str], request: Request, ask: Callable[[], Awaitable[T]]) -> tuple[T, int]:
        """What is asked of these read models, as of the position that the request wants, or later; and that position.

        Asked anew if Postgres was lost meanwhile: it may have come back without the last of what had been announced. Raises what `seen` and
        `ask` raise, and StoreUnavailable if it is lost again and again.
        """
        for _ in range(LOSSES_MAX):
            losses = self.models.losses
            reached = await self.seen(models, request)
            found = await ask()
            if self.models.losses == losses:
                return found, reached
        raise StoreUnavailable("The read models cannot be reached.")

    async def is_there(self, model: str, position: int) -> bool:
        """Whether a read model has come to a position that another one has seen; it is given a moment."""
        try:
            await self.models.wait_for(model, position, DOUBT_S)
        except NotYetVisible:
            return False
        return True

    async def _wait(self, models: Sequence[str], wanted: int) -> None:
        """Mostly it is a matter of milliseconds; whether the log has that position at all is asked only after that."""
        try:
            for model in models:
                await self.models.wait_for(model, wanted, DOUBT_S)
        except NotYetVisible:
            if wanted > (head := await self.log.head()):
                raise PositionNotReached(
                    f"The log is at position {head}, not at {wanted} yet.", position=head
                ) from None
            for model in models:
                await self.models.wait_for(model, wanted, self.settings.wait_for_position_s_max)


def min_position_of(request: Request) -> int:
    """The position that the request wants seen, 0 if any will do. Raises InvalidFields."""
    text = request.header(b"foldwork-min-position")
    return 0 if text is None else int(MIN_POSITION.read(text))


def answer(body: bytes, seen: int) -> Answer:
    """An answer with the position that it reflects."""
    header: Header = (b"foldwork-position", b"%d" % seen)
    return Answer(200, body, (header,))


def found(description: str, schema: Schema) -> dict[int, Reply]:
    """The documented form of such an answer."""
    return {200: Reply(description, schema, headers={"Foldwork-Position": POSITION})}


def page_schema(row: Any) -> Schema:
    """The form of a page of rows."""
    return {
        "type": "object",
        "required": ["data", "next_cursor"],
        "additionalProperties": False,
        "properties": {"data": {"type": "array", "items": row}, "next_cursor": {"type": ["string", "null"]}},
    }
