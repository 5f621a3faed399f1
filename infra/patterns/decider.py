"""The decider: how one kind of stream turns commands into events. Pure; after Jérémie Chassaing's functional decider."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, TypeAdapter

from events.event import Event, MatchedClass
from infra.errors import Rejection


class Command(BaseModel, metaclass=MatchedClass):
    """What is asked for: imperative, frozen.

    `creates` marks the command that begins a stream (`POST /v1/agents`); `public` is False for commands that only sagas and
    companions send; `is_default` marks the one command of a stream whose route also goes without its verb
    (`POST /v1/approvals/{approval_id}`); `heartbeat` marks a sign of life, whose time is noted beside the log; `whole_body` names the
    field that the body of the command's own route is, where that is a document with a form of its own, and `whole_body_types` the
    media types that it may have beside JSON. `stream_field` names the field with the id of the command's stream, if
    that is not the one in its route.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    creates: ClassVar[bool] = False
    public: ClassVar[bool] = True
    is_default: ClassVar[bool] = False
    heartbeat: ClassVar[bool] = False
    whole_body: ClassVar[str | None] = None
    stream_field: ClassVar[str | None] = None
    whole_body_types: ClassVar[tuple[str, ...]] = ()


class Decided(list[Any]):
    """Events with `after`, the state that they lead to, for a decider that has worked it out on its way to the last of them."""

    __slots__ = ("after",)

    def __init__(self, events: Iterable[Event], after: Any) -> None:
        super().__init__(events)
        self.after = after


Others = Mapping[str, Any]
"""States of the streams that a command consults, by stream id; a stream that does not exist has its decider's initial state."""


def no_companions(command: Any, state: Any) -> Sequence[Command]:
    return ()


def _no_streams(command: Any, state: Any) -> Sequence[str]:
    return ()


def no_history(command: Any) -> str | None:
    return None


HISTORY = "history"
"""Where `decide` finds, among the others, the events of the stream that a command recalls."""


@dataclass(frozen=True, slots=True)
class StateForm:
    """How states are kept as JSON. `number` changes with the shape or the meaning of the state: older ones are then not used."""

    number: int
    adapter: TypeAdapter[Any]


@dataclass(frozen=True, slots=True)
class Decider:
    """One kind of stream: its commands, and the pure functions that decide and evolve it.

    `decide(command, state)` returns the events (as Decided if it has the state after them, too), none if there is nothing to do, or raises
    a Rejection. When `consults` is given, `decide(command, state, others)` also sees the states of the streams that
    `consults(command, state)` names, and the append checks that none of them has moved.
    `companions(command, state)` are commands for other streams that are decided and appended with this one, all or nothing.
    `recalls(command)` names a stream all of whose events `decide` needs, as they were at some moment, in `others[HISTORY]`.
    With `snapshots` states of long streams are kept, so that they are not folded from the first event each time.
    The command's field `<category>_id` names its stream, unless it says otherwise.
    """

    category: str
    commands: tuple[type[Command], ...]
    initial: Any
    decide: Callable[..., Sequence[Event]]
    evolve: Callable[[Any, Any], Any]
    companions: Callable[[Any, Any], Sequence[Command]] = field(default=no_companions)
    consults: Callable[[Any, Any], Sequence[str]] = field(default=_no_streams)
    recalls: Callable[[Any], str | None] = field(default=no_history)
    snapshots: StateForm | None = None

    def stream_of(self, command: Command) -> str:
        """The stream that a command is for, for example `agent-0192...`."""
        return f"{self.category}-{getattr(command, command.stream_field or self.category + '_id')}"

    def fold(self, events: Sequence[Event]) -> Any:
        """The state after these events."""
        state = self.initial
        for event in events:
            state = self.evolve(state, event)
        return state

    def after(self, state: Any, events: Sequence[Event]) -> Any:
        """The state that events which were decided on this one lead to."""
        if isinstance(events, Decided):
            return events.after
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
        self.of: Callable[[type[Command]], Decider] = self._by_command.__getitem__

    def of_stream(self, stream_id: str) -> Decider:
        return self._by_category[stream_id.partition("-")[0]]


__all__ = ["Command", "Decided", "Decider", "DeciderCatalog", "Others", "Rejection"]
