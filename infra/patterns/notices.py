"""Notices: what others are told, in their words, of the events of one kind of stream. Pure; the publisher reads the log and sends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from events.envelope import Envelope
from events.event import Event

S = TypeVar("S")


class Told(NamedTuple):
    """One thing to tell: `kind` is dotted, for those who listen to some kinds only; `data` is JSON text."""

    kind: str
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Notices(Generic[S]):
    """One state for each stream, made by `begin`.

    `tell(state, envelope)` brings the state up to date in place and gives what is told of the event. It sees the stream's events of
    `handles` in order, and must depend on nothing else: the same events tell the same, whoever tells. Once it `is_over` the state is not
    worth keeping.
    """

    name: str
    version: int
    handles: tuple[type[Event], ...]
    begin: Callable[[], S]
    tell: Callable[[S, Envelope[Any]], Sequence[Told]]
    is_over: Callable[[S], bool]
