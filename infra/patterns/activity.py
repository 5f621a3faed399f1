"""The activity: something slow that is done outside the log, such as a call, and ends in a command. Pure; the performer does it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from events.envelope import Envelope
from events.event import Event
from infra.patterns.decider import Command


@dataclass(frozen=True, slots=True)
class Activity:
    """Something to do, until it is done: the state of its stream says what. `key` tells it from all others of its tenant, for ever."""

    key: str


@dataclass(frozen=True, slots=True)
class IfAlone:
    """An attempt that reached nobody: it ended in `command`, or in `otherwise` if another performer may have made one that did."""

    command: Command
    otherwise: Command


@dataclass(frozen=True, slots=True)
class Over:
    """The activity of this key is done, or not wanted any more."""

    key: str


Doing = Command | Activity | Over


@dataclass(frozen=True, slots=True)
class Performance:
    """What follows at once from events of one kind of stream: commands for that stream, activities that begin and that are over.

    `react(envelope)` depends on nothing but the event. It may see an event as soon as it is written, before the log brings it,
    and then is not asked again for it.
    """

    name: str
    version: int
    handles: tuple[type[Event], ...]
    react: Callable[[Envelope[Any]], Sequence[Doing]]
