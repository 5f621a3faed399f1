"""The projection: how events become the rows of one read model. Pure; the engine loads and stores the rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from events.envelope import Envelope
from events.event import Event


class Row(BaseModel):
    """A row of a read model: frozen; its fields are the columns of the table.

    str, int, bool, float, datetime and their optional forms become plain columns; everything else is stored as jsonb.
    """

    model_config = ConfigDict(frozen=True)


R = TypeVar("R", bound=Row)
Key = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Projection(Generic[R]):
    """A read model: its table, and the pure functions that keep it.

    `name` is stored for ever; raise `version` when the rows change shape or meaning, and the model is rebuilt. `key` names the key
    columns, `tenant_id` first. `locate(envelope)` is the key of the one row that an event touches, in that order.
    `project(envelope, row)` gives the new row, None to delete it; with `one_row_per_event` each event has a row of its own, and none is
    read before it is written. Events of other types than `handles` are not decoded.
    """

    name: str
    version: int
    row: type[R]
    key: tuple[str, ...]
    handles: tuple[type[Event], ...]
    locate: Callable[[Envelope[Any]], Key]
    project: Callable[[Envelope[Any], R | None], R | None]
    indexes: tuple[tuple[str, ...], ...] = ()
    one_row_per_event: bool = False
