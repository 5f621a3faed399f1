"""Given events, then commands; and a small world in which a saga's commands meet the real deciders, late and in any order."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from events.envelope import Envelope
from events.event import Event
from infra.errors import Rejection
from infra.patterns.decider import Command
from infra.patterns.saga import Reaction, Saga, Schedule
from projections.node_board import NODE_BOARD, NodeRow
from write_side.catalog import CATALOG

START = datetime(2026, 1, 1, tzinfo=UTC)


def from_snapshot(state: Any) -> Any:
    """The state as a snapshot gives it back: equal, but Postgres's jsonb keeps no order of keys."""

    def reordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reordered(value[key]) for key in sorted(value, key=lambda key: (-len(key), key))}
        return [reordered(item) for item in value] if isinstance(value, list) else value

    again = type(state).model_validate_json(json.dumps(reordered(json.loads(state.model_dump_json()))))
    assert again == state
    return again


class Story:
    """The log of one tenant and a saga that follows it: each `given` is an event and what the saga asked for after it."""

    def __init__(self, saga: Saga[Any]) -> None:
        self._saga = saga
        self._versions: dict[str, int] = {}
        self._position = 0
        self.state = saga.state()
        self.asked: list[Reaction] = []

    def given(self, stream_id: str, *events: Event) -> "Story":
        for event in events:
            self._position += 1
            self._versions[stream_id] = self._versions.get(stream_id, 0) + 1
            at = START + timedelta(seconds=self._position)
            version = self._versions[stream_id]
            envelope = Envelope(self._position, f"e{self._position}", "acme", stream_id, version, at, event)
            assert isinstance(event, self._saga.handles)
            self.asked = list(self._saga.react(envelope, self.state))
            self.state = from_snapshot(self.state)
        return self

    def then(self, *reactions: Reaction) -> "Story":
        """Exactly these were asked for after the last event."""
        assert self.asked == list(reactions)
        return self

    def then_nothing(self) -> "Story":
        return self.then()


class World:
    """Streams, sagas that follow the log at their own pace, and their commands under way, which may arrive in any order."""

    def __init__(self, *sagas: Saga[Any]) -> None:
        self.log: list[Envelope[Any]] = []
        self.states: dict[str, Any] = {}
        self.nodes: dict[tuple[Any, ...], NodeRow] = {}
        self.under_way: list[Command] = []
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
        others = {other: self.state_of(other) for other in decider.consults(command)}
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
        envelope = Envelope(position, f"e{position}", "acme", stream_id, self._versions[stream_id], at, event)
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
            assert saga.react(envelope, restarted) == reactions
            assert restarted == memory
        for reaction in reactions:
            if isinstance(reaction, Schedule):
                self.timers.append(reaction)
            else:
                self.under_way.append(reaction)
        return True

    def arrive(self, random: Random) -> bool:
        """Let one of the commands under way arrive, any of them."""
        if not self.under_way:
            return False
        self.send(self.under_way.pop(random.randrange(len(self.under_way))))
        return True

    def ring(self, random: Random) -> bool:
        """Let one timer be due."""
        if not self.timers:
            return False
        self.send(self.timers.pop(random.randrange(len(self.timers))).command)
        return True

    def come_to_rest(self, random: Random) -> None:
        """Until every saga has seen everything, and every command and timer has arrived."""
        while any([self.follow(random), self.arrive(random), self.ring(random)]):
            pass

    def streams(self, category: str) -> Sequence[str]:
        return [stream_id.partition("-")[2] for stream_id in self.states if stream_id.startswith(f"{category}-")]


@pytest.fixture(scope="session")
def story() -> type[Story]:
    return Story


@pytest.fixture(scope="session")
def world() -> type[World]:
    return World
