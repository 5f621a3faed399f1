"""What is carried out for runs, and when a run is told to go on."""

from datetime import UTC, datetime
from typing import Any

import pytest

from events.envelope import Envelope
from events.event import Event
from events.run import RunAdvanced, RunResumed, RunStarted, RunTaskCancelled, RunTaskCompleted, RunTaskStarted
from events.run_parts import Awaited, CallAwaited, EventsAwaited, ProcessAwaited, TimerAwaited
from infra.patterns.activity import Activity, Over
from sagas.carry_out_calls_on_run_task import key_of, react
from write_side.run_commands import AdvanceRun

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WORKFLOW: dict[str, Any] = {"workflow_id": "test.w", "workflow_version": "1.0.0", "digest": "sha256:" + "0" * 64}


def reaction(event: Event) -> list[Any]:
    envelope: Envelope[Any] = Envelope(1, "e1", "acme", "run-r1", 1, NOON, event)
    return list(react(envelope))


def started(awaits: Awaited | None) -> RunTaskStarted:
    return RunTaskStarted(task=3, reference="/do/0/a", name="a", kind="call", awaits=awaits, started_at=NOON)


class TestARun:
    @pytest.mark.parametrize("event", [RunStarted(**WORKFLOW, started_at=NOON), RunAdvanced(), RunResumed()])
    def test_that_can_go_on_is_told_to(self, event: Event) -> None:
        (told,) = reaction(event)
        assert isinstance(told, AdvanceRun)
        assert told.run_id == "r1"

    def test_that_is_going_is_not_told_again(self) -> None:
        assert reaction(RunStarted(**WORKFLOW, started_at=NOON, going=True)) == []


class TestATask:
    @pytest.mark.parametrize("awaits", [CallAwaited(function="http", arguments={}), ProcessAwaited(arguments={})])
    def test_that_waits_for_a_call_or_a_process_has_it_carried_out(self, awaits: Awaited) -> None:
        assert reaction(started(awaits)) == [Activity(key_of("r1", 3))]

    @pytest.mark.parametrize("awaits", [None, EventsAwaited(), TimerAwaited(until=NOON)])
    def test_that_waits_for_anything_else_does_not(self, awaits: Awaited | None) -> None:
        assert reaction(started(awaits)) == []

    @pytest.mark.parametrize("event", [RunTaskCompleted(task=3), RunTaskCancelled(task=3)])
    def test_that_has_ended_needs_it_no_more(self, event: Event) -> None:
        assert reaction(event) == [Over(key_of("r1", 3))]
