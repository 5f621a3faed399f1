"""Work that workers outside take: which events begin and end a piece of it, and what a worker is told. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from events.envelope import Envelope
from events.event import Event


@dataclass(frozen=True, slots=True)
class Offer:
    """A piece of work for one queue: `worker` names who may take it, `content` is what it needs to know, as JSON.

    Once it is `begun`, somebody has it: it is offered again only if the queue was lost.
    """

    worker: str
    content: Mapping[str, Any]
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of work; each piece of it is a stream.

    At every event of `begins` the stream is read and `offer(history)` says what is to be offered, None if the work has ended since. The
    history holds the stream's events of `begins`, `ends` and `tells`. At an event of `ends` for which `leaves_offer(envelope)`, nobody
    who took the offer ended the work, so the offer is withdrawn.
    """

    name: str
    version: int
    begins: tuple[type[Event], ...]
    ends: tuple[type[Event], ...]
    tells: tuple[type[Event], ...]
    offer: Callable[[Sequence[Envelope[Any]]], Offer | None]
    leaves_offer: Callable[[Envelope[Any]], bool]
