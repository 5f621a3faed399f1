"""A read model of boxes, and a saga that empties a box when it is full; both may find events that they cannot handle."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from events.envelope import Envelope
from infra.patterns.projection import Key, Projection, Row
from infra.patterns.saga import Reaction, Saga, Schedule
from tests.infra.boxes import BoxEmptied, BoxFilled, BoxMade, EmptyBox, FillBox


class BoxRow(Row):
    tenant_id: str
    box_id: str
    size: int
    label: str = ""
    content: int = 0
    fills: tuple[int, ...] = ()
    version: int = 0
    position: int = 0


def locate(envelope: Envelope[Any]) -> Key:
    return envelope.tenant_id, envelope.entity_id


def project(envelope: Envelope[Any], row: BoxRow | None) -> BoxRow | None:
    """A box of label `secret` is shown to nobody: its row is deleted when it is emptied."""
    at = {"version": envelope.stream_version, "position": envelope.position}
    match envelope.event:
        case BoxMade(size=size, label=label):
            return BoxRow(tenant_id=envelope.tenant_id, box_id=envelope.entity_id, size=size, label=label, **at)
        case BoxFilled(amount=amount) if row is not None:
            return row.model_copy(update={"content": row.content + amount, "fills": (*row.fills, amount), **at})
        case BoxEmptied() if row is not None:
            return None if row.label == "secret" else row.model_copy(update={"content": 0, **at})
        case _:
            raise ValueError(f"nothing is known of {envelope.entity_id}")


BOX_BOARD = Projection(
    "box_board", 1, BoxRow, ("tenant_id", "box_id"), (BoxMade, BoxFilled, BoxEmptied), locate, project, (("size",),)
)


class Contents(BaseModel):
    """In the order in which the boxes were made, which is not that of their names."""

    sizes: dict[str, int] = {}
    contents: dict[str, int] = {}
    seen: list[int] = []


def react(envelope: Envelope[Any], state: Contents) -> Sequence[Reaction]:
    """Empty a box when it is full; fill one of label `later` with 1 a minute after it was made."""
    state.seen.append(envelope.position)
    box_id = envelope.entity_id
    match envelope.event:
        case BoxMade(size=size, label=label):
            state.sizes[box_id], state.contents[box_id] = size, 0
            if label == "later":
                return [Schedule(envelope.occurred_at + timedelta(minutes=1), FillBox(box_id=box_id))]
        case BoxFilled(amount=amount):
            state.contents[box_id] += amount
            if state.contents[box_id] >= state.sizes[box_id]:
                return [EmptyBox(box_id=box_id)]
        case BoxEmptied():
            state.contents[box_id] = 0
    return []


EMPTY_BOXES = Saga("empty_boxes_when_full", 1, Contents, (BoxMade, BoxFilled, BoxEmptied), react)


class Cause:
    """Why events at some positions cannot be handled, while it lasts."""

    def __init__(self, *positions: int) -> None:
        self.positions = set(positions)

    def in_projection(self) -> Projection[BoxRow]:
        def broken(envelope: Envelope[Any], row: BoxRow | None) -> BoxRow | None:
            if envelope.position in self.positions:
                raise ValueError(f"poison at {envelope.position}")
            return project(envelope, row)

        return replace(BOX_BOARD, project=broken)

    def in_saga(self, version: int = 1) -> Saga[Contents]:
        """It breaks down when the state has changed already."""

        def broken(envelope: Envelope[Any], state: Contents) -> Sequence[Reaction]:
            reactions = react(envelope, state)
            if envelope.position in self.positions:
                raise ValueError(f"poison at {envelope.position}")
            return reactions

        return replace(EMPTY_BOXES, react=broken, version=version)
