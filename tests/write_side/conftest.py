"""Given events, when a command comes, then events or a rejection: the sentences in which deciders are tested."""

from collections.abc import Callable
from typing import Any

import pytest

from events.event import Event
from infra.errors import Rejection
from infra.patterns.decider import Command, Decider
from write_side.catalog import CATALOG


class Scenario:
    """The past of one stream, and of the streams that it consults."""

    def __init__(self, decider: Decider, *past: Event) -> None:
        self._decider = decider
        self._state = decider.fold(past)
        self._others: dict[str, Any] = {}
        self._outcome: list[Event] | Rejection = []

    def beside(self, stream_id: str, *past: Event) -> "Scenario":
        """What has happened in another stream."""
        self._others[stream_id] = CATALOG.of_stream(stream_id).fold(past)
        return self

    def when(self, command: Command) -> "Scenario":
        others = {
            stream_id: self._others.get(stream_id, CATALOG.of_stream(stream_id).initial)
            for stream_id in self._decider.consults(command, self._state)
        }
        try:
            events = list(self._decider.decide_all(command, self._state, others))
        except Rejection as rejection:
            self._outcome = rejection
            return self
        for event in events:
            self._state = self._decider.evolve(self._state, event)
        self._outcome = events
        return self

    def then(self, *expected: Event) -> "Scenario":
        assert self._outcome == list(expected)
        return self

    def then_nothing(self) -> "Scenario":
        return self.then()

    def then_refused(self, rejection: type[Rejection], status: int = 409) -> "Scenario":
        assert type(self._outcome) is rejection
        assert rejection.status == status
        return self

    @property
    def state(self) -> Any:
        return self._state

    @property
    def rejection(self) -> Rejection:
        assert isinstance(self._outcome, Rejection)
        return self._outcome

    @property
    def events(self) -> list[Event]:
        assert isinstance(self._outcome, list)
        return self._outcome


Given = Callable[..., Scenario]


@pytest.fixture
def given() -> Given:
    return Scenario
