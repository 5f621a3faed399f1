"""The saga: how events lead to further commands. Pure; the runner sends, remembers and schedules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from events.envelope import Envelope
from events.event import Event
from infra.patterns.decider import Command

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Send `command` once `at` (UTC) has come. A timer is never cancelled: the decider sees whether it still matters."""

    at: datetime
    command: Command


@dataclass(frozen=True, slots=True)
class Ask:
    """Send `command`; if it is rejected send `refused(code, message)` instead, so that whoever waits for it learns so.

    Only one of the two takes effect, also where a crash has both sent again: once a refusal has taken effect `command` is not sent
    any more, even if it would be accepted now, and once `command` was accepted its id gives that answer again. A refusal that had no
    effect leaves nothing to hold to: then `command` is decided anew. `refused` must be pure; what it returns is itself dropped if it
    is rejected.
    """

    command: Command
    refused: Callable[[str, str], Command]


Reaction = Command | Schedule | Ask


@dataclass(frozen=True, slots=True)
class Saga(Generic[S]):
    """A process over many streams, one state per tenant.

    `react(envelope, state)` brings the state up to date in place and returns what is to be done. It sees every event of `handles` once
    and in log order, and must depend on nothing else, so that a second run over the same events gives the same commands with the
    same derived ids. A command that a decider rejects is dropped, but for an Ask: what a saga must know about is an event.
    Reacting to an event of `slow` may have to wait for a guarded child: a thread does so, and the process goes on with all else.
    """

    name: str
    version: int
    state: type[S]
    handles: tuple[type[Event], ...]
    react: Callable[[Envelope[Any], S], Sequence[Reaction]]
    slow: tuple[type[Event], ...] = ()
