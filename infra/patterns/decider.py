"""The decider: how one kind of stream turns commands into events. Pure; after Jérémie Chassaing's functional decider."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from events.event import Event, MatchedClass
from infra.errors import Rejection


class Command(BaseModel, metaclass=MatchedClass):
    """What is asked for: imperative, frozen.

    `creates` marks the command that begins a stream (`POST /v1/agents`); `public` is False for commands that only sagas and
    companions send; `heartbeat` marks a sign of life, whose time is noted beside the log; `whole_body` names the field that the
    body of the command's own route is, as JSON or YAML, where that is a document with a form of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    creates: ClassVar[bool] = False
    public: ClassVar[bool] = True
    heartbeat: ClassVar[bool] = False
    whole_body: ClassVar[str | None] = None


Others = Mapping[str, Any]
"""States of the streams that a command consults, by stream id; a stream that does not exist has its decider's initial state."""


def _no_companions(command: Any, state: Any) -> Sequence[Command]:
    return ()


def _no_streams(command: Any) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Decider:
    """One kind of stream: its commands, and the pure functions that decide and evolve it.

    `decide(command, state)` returns the events, none if there is nothing to do, or raises a Rejection. When `consults` is given,
    `decide(command, state, others)` also sees the states of those streams, and the append checks that none of them has moved.
    `companions(command, state)` are commands for other streams that are decided and appended with this one, all or nothing.
    The command's field `<category>_id` names its stream.
    """

    category: str
    commands: tuple[type[Command], ...]
    initial: Any
    decide: Callable[..., Sequence[Event]]
    evolve: Callable[[Any, Any], Any]
    companions: Callable[[Any, Any], Sequence[Command]] = field(default=_no_companions)
    consults: Callable[[Any], Sequence[str]] = field(default=_no_streams)

    def stream_of(self, command: Command) -> str:
        """The stream that a command is for, for example `agent-0192...`."""
        return f"{self.category}-{getattr(command, self.category + '_id')}"

    def fold(self, events: Sequence[Event]) -> Any:
        """The state after these events."""
        state = self.initial
        for event in events:
            state = self.evolve(state, event)
        return state

    def decide_all(self, command: Command, state: Any, others: Others) -> Sequence[Event]:
        """Decide, with the consulted states where this decider asks for them."""
        if self.consults is _no_streams:
            return self.decide(command, state)
        return self.decide(command, state, others)


class DeciderCatalog:
    """Which decider answers for a command class, a command name or a stream."""

    def __init__(self, *deciders: Decider) -> None:
        self.deciders = deciders
        self._by_command = {command: decider for decider in deciders for command in decider.commands}
        self._by_category = {decider.category: decider for decider in deciders}
        self.commands = {command.__name__: command for command in self._by_command}

    def of(self, command: type[Command]) -> Decider:
        return self._by_command[command]

    def of_stream(self, stream_id: str) -> Decider:
        return self._by_category[stream_id.partition("-")[0]]


__all__ = ["Command", "Decider", "DeciderCatalog", "Others", "Rejection"]
