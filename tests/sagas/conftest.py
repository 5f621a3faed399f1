"""Given events, then commands; and a small world in which a saga's commands meet the real deciders, late and in any order."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import orjson
import pytest

from events.envelope import Envelope, Origin
from events.event import Event
from infra.errors import Rejection
from infra.patterns.decider import Command
from infra.patterns.saga import Ask, Reaction, Saga, Schedule
from projections.node_board import NODE_BOARD, NodeRow
from tests.sizes import is_fast
from write_side.catalog import CATALOG

START = datetime(2026, 1, 1, tzinfo=UTC)
RESTARTS_ALWAYS = 20
"""After each of so many events a saga goes on from a snapshot; in the small size from then on only after one of ten."""


def from_snapshot(state: Any) -> Any:
    """The state as a snapshot gives it back: equal, but Postgres's jsonb keeps no order of keys."""

    def reordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reordered(value[key]) for key in sorted(value, key=lambda key: (-len(key), key))}
        return [reordered(item) for item in value] if isinstance(value, list) else value

    again = type(state).model_validate_json(orjson.dumps(reordered(orjson.loads(state.model_dump_json()))))
    assert again == state
    return again


def timeless(reaction: Reaction) -> Reaction:
    """Without the time at which a command was made."""
    if isinstance(reaction, Schedule):
        return Schedule(reaction.at, _timeless(reaction.command))
    if isinstance(reaction, Ask):
        return Ask(_timeless(reaction.command), reaction.refused)
    return _timeless(reaction)


def _timeless(command: Command) -> Command:
    return command.model_copy(update={"at": START}) if "at" in type(command).model_fields else command


def as_kept(timer: Schedule) -> Command:
    """The command of a timer as the database gives it back: the fields that the saga gave, from JSON."""
    command = timer.command
    return type(command).model_validate(json.loads(command.model_dump_json(exclude_unset=True)))


def sent_by(actor: str) -> bytes:
    """The metadata of an event of a command of this actor."""
    return orjson.dumps(Origin("acme", actor, "c1", "c1", "c1").metadata())


class Story:
    """The log of one tenant and a saga that follows it: each `given` is an event and what the saga asked for after it."""

    def __init__(self, saga: Saga[Any]) -> None:
        self._saga = saga
        self._versions: dict[str, int] = {}
        self._position = 0
        self.state = saga.state()
        self.asked: list[Reaction] = []

    def given(self, stream_id: str, *events: Event, actor: str = "user:alice", at: datetime | None = None) -> "Story":
        for event in events:
            self._position += 1
            self._versions[stream_id] = self._versions.get(stream_id, 0) + 1
            when = at or START + timedelta(seconds=self._position)
            version, number = self._versions[stream_id], self._position
            envelope = Envelope(number, f"e{number}", "acme", stream_id, version, when, event, sent_by(actor))
            assert isinstance(event, self._saga.handles)
            self.asked = list(self._saga.react(envelope, self.state))
            if self._position <= RESTARTS_ALWAYS or not is_fast() or self._position % 10 == 0:
                self.state = from_snapshot(self.state)
        return self

    def then(self, *reactions: Reaction) -> "Story":
        """Exactly these were asked for after the last event."""
        assert [timeless(reaction) for reaction in self.asked] == [timeless(reaction) for reaction in reactions]
        return self

    def then_nothing(self) -> "Story":
        return self.then()


class World:
    """Streams, sagas that follow the log at their own pace, and their commands under way, which may arrive in any order."""

    def __init__(self, *sagas: Saga[Any]) -> None:
        self.log: list[Envelope[Any]] = []
        self.states: dict[str, Any] = {}
        self.nodes: dict[tuple[Any, ...], NodeRow] = {}
        self.under_way: list[Command | Ask] = []
        self.timers: list[Schedule] = []
        self.rejections: list[Rejection] = []
        self._sagas = sagas
        self.memory = {saga.name: saga.state() for saga in sagas}
        self._seen = {saga.name: 0 for saga in sagas}
        self._versions: dict[str, int] = {}

    def state_of(self, stream_id: str) -> Any:
        return self.states.get(stream_id, CATALOG.of_stream(stream_id).initial)

    def send(self, command: Command) -> list[Event]:
        """Decide and append the command with its companions; a rejection leaves no trace but in `rejections`."""
        decider = CATALOG.of(type(command))
        stream_id = decider.stream_of(command)
        state = self.state_of(stream_id)
        others = {other: self.state_of(other) for other in decider.consults(command, self.state_of(stream_id))}
        try:
            events = decider.decide_all(command, state, others)
        except Rejection as rejection:
            self.rejections.append(rejection)
            return []
        if events:
            for companion in decider.companions(command, state):
                self.send(companion)
        for event in events:
            self.append(stream_id, event)
        return events

    def append(self, stream_id: str, event: Event) -> None:
        decider = CATALOG.of_stream(stream_id)
        self.states[stream_id] = decider.evolve(self.state_of(stream_id), event)
        self._versions[stream_id] = self._versions.get(stream_id, 0) + 1
        position = len(self.log) + 1
        at = START + timedelta(seconds=position)
        version = self._versions[stream_id]
        envelope = Envelope(position, f"e{position}", "acme", stream_id, version, at, event, sent_by("user:alice"))
        self.log.append(envelope)
        if isinstance(event, NODE_BOARD.handles):
            key = NODE_BOARD.locate(envelope)
            row = NODE_BOARD.project(envelope, self.nodes.get(key))
            assert row is not None
            assert not row.over_capacity
            self.nodes[key] = row

    def follow(self, random: Random) -> bool:
        """Let one saga see its next event, and now and then another that has just been restarted from a snapshot."""
        behind = [saga for saga in self._sagas if self._seen[saga.name] < len(self.log)]
        if not behind:
            return False
        saga = random.choice(behind)
        envelope = self.log[self._seen[saga.name]]
        self._seen[saga.name] += 1
        if not isinstance(envelope.event, saga.handles):
            return True
        memory = self.memory[saga.name]
        restarted = from_snapshot(memory) if random.random() < 0.1 else None
        reactions = saga.react(envelope, memory)
        if restarted is not None:
            again = saga.react(envelope, restarted)
            assert [timeless(reaction) for reaction in again] == [timeless(reaction) for reaction in reactions]
            assert restarted == memory
        for reaction in reactions:
            if isinstance(reaction, Schedule):
                self.timers.append(reaction)
            else:
                self.put(saga.name, reaction)
        return True

    def put(self, saga: str, asked: Command | Ask) -> None:
        """Have a saga's command under way."""
        self.under_way.append(asked)

    def arrive(self, random: Random) -> bool:
        """Let one of the commands under way arrive, any of them."""
        if not self.under_way:
            return False
        self.carry_out(self.under_way.pop(random.randrange(len(self.under_way))))
        return True

    def carry_out(self, asked: Command | Ask) -> None:
        """Send a command, and what its refusal leads to."""
        refused = len(self.rejections)
        self.send(asked.command if isinstance(asked, Ask) else asked)
        if isinstance(asked, Ask) and len(self.rejections) > refused:
            self.send(asked.refused(self.rejections[-1].code, str(self.rejections[-1])))

    def ring(self, random: Random) -> bool:
        """Let one timer be due."""
        if not self.timers:
            return False
        self.send(as_kept(self.timers.pop(random.randrange(len(self.timers)))))
        return True

    def come_to_rest(self, random: Random) -> None:
        """Until every saga has seen everything, and every command and timer has arrived."""
        while any([self.follow(random), self.arrive(random), self.ring(random)]):
            pass

    def streams(self, category: str) -> Sequence[str]:
        return [stream_id.partition("-")[2] for stream_id in self.states if stream_id.startswith(f"{category}-")]


class OrderedWorld(World):
    """The commands of one saga arrive in the order in which it sent them, as the runner has it; those of several in any."""

    def __init__(self, *sagas: Saga[Any]) -> None:
        super().__init__(*sagas)
        self.queues: dict[str, list[Command | Ask]] = {}

    def put(self, saga: str, asked: Command | Ask) -> None:
        self.queues.setdefault(saga, []).append(asked)

    def arrive(self, random: Random) -> bool:
        waiting = [queue for queue in self.queues.values() if queue]
        if not waiting:
            return False
        self.carry_out(random.choice(waiting).pop(0))
        return True


@pytest.fixture(scope="session")
def story() -> type[Story]:
    return Story


@pytest.fixture(scope="session")
def world() -> type[World]:
    return World


@pytest.fixture(scope="session")
def ordered_world() -> type[OrderedWorld]:
    return OrderedWorld
