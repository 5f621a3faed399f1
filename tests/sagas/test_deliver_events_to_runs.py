"""Events for runs that listen, told as stories."""

from time import perf_counter

import pytest

from events.envelope import Envelope
from events.event import JSON_DEPTH_MAX
from events.message import MessagePublished
from events.run import (
    RunCancelled,
    RunCompleted,
    RunEventConsumed,
    RunEventEmitted,
    RunFaulted,
    RunRetried,
    RunTaskCompleted,
)
from events.run_compensation import RunCompensated
from events.run_parts import EventsAwaited, TimerAwaited
from sagas.deliver_events_to_runs import DELIVER_EVENTS_TO_RUNS, Listeners, react
from tests.sagas.run_stories import NOON, cancelled, error, faulted, forked, nested, node, prepared, task
from tests.sizes import examples
from write_side.run_commands import DeliverRunEvent

SHIPPED = MessagePublished(event_id="1", source="/shop", event_type="order.shipped", data={"order": 7})
EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.shipped", "data": {"order": 7}}
FAULT = RunFaulted(error=error("runtime", 500))


def listening(number, *types):
    return task(number, EventsAwaited(types=types))


def consumed(number, closed):
    return RunEventConsumed(task=number, event_id="1", closed=closed)


def to(*run_ids, event=EVENT):
    return [DeliverRunEvent(run_id=run_id, event=event) for run_id in run_ids]


@pytest.fixture
def runs(story):
    return story(DELIVER_EVENTS_TO_RUNS)


@pytest.fixture
def listener(runs):
    return runs.given("run-r1", listening(3, "order.shipped"))


class TestAPublishedEvent:
    def test_goes_to_runs_that_listen_for_its_type_or_for_any(self, runs):
        runs.given("run-z", listening(1, "order.shipped", "order.lost")).given("run-a", listening(1))
        runs.given("run-m", listening(1, "order.lost")).given("run-b", listening(1, "order.shipped"))
        runs.given("message-1", SHIPPED).then(*to("z", "a", "b"))

    def test_goes_once_to_a_run_in_which_several_tasks_listen(self, listener):
        listener.given("run-r1", listening(4, "order.shipped")).given("run-r1", listening(5))
        listener.given("message-1", SHIPPED).then(*to("r1"))

    def test_goes_there_as_it_came_in(self, runs):
        whole = MessagePublished(
            event_id="2",
            source="/shop",
            event_type="t",
            subject="s",
            time="2026-01-01T00:00:00.123456789+01:00",
            datacontenttype="text/plain",
            dataschema="urn:x",
            data_base64="aGk=",
            extensions={"traceid": "t1", "hops": 3},
        )
        event = {
            "specversion": "1.0",
            "id": "2",
            "source": "/shop",
            "type": "t",
            "subject": "s",
            "time": "2026-01-01T00:00:00.123456789+01:00",
            "datacontenttype": "text/plain",
            "dataschema": "urn:x",
            "data_base64": "aGk=",
            "traceid": "t1",
            "hops": 3,
        }
        runs.given("run-r1", listening(1)).given("message-2", whole).then(*to("r1", event=event))

    def test_goes_nowhere_if_it_is_nested_deeper_than_a_run_can_take(self, listener):
        """As messages could be once: what cannot be delivered is in nobody's way."""
        deep = SHIPPED.model_copy(update={"data": nested(JSON_DEPTH_MAX)})
        listener.given("message-1", deep).then_nothing()
        listener.given("message-1", SHIPPED).then(*to("r1"))

    def test_goes_nowhere_if_nobody_listens(self, runs):
        runs.given("run-r1", task(1, TimerAwaited(until=NOON))).given("message-1", SHIPPED).then_nothing()

    def test_goes_to_a_run_that_was_forked_while_a_task_listened(self, runs):
        awaits = EventsAwaited(types=("order.shipped",))
        ended = node(4, EventsAwaited(), phase="blocked", closed=True)
        runs.given("run-r2", forked(node(3, awaits, closed=False), ended)).given("message-1", SHIPPED).then(*to("r2"))
        runs.given("run-r2", RunTaskCompleted(task=3))
        assert runs.state == Listeners()

    def test_goes_to_a_run_whose_extension_is_done(self, runs):
        runs.given("run-r1", task(3, prepared=False)).given("message-1", SHIPPED).then_nothing()
        runs.given("run-r1", prepared(3, EventsAwaited())).given("message-1", SHIPPED).then(*to("r1"))


class TestAnEmittedEvent:
    def test_goes_to_all_that_listen_also_to_the_run_itself(self, listener):
        listener.given("run-r2", listening(1))
        listener.given("run-r1", RunEventEmitted(task=4, event=EVENT)).then(*to("r1", "r2"))

    def test_goes_only_to_those_that_listen_for_any_if_its_type_is_no_text(self, listener):
        event = {"id": "1", "type": 5}
        listener.given("run-r2", listening(1)).given("run-r3", RunEventEmitted(task=1, event=event))
        listener.then(*to("r2", event=event))


class TestATask:
    @pytest.mark.parametrize("end", [RunTaskCompleted(task=3), faulted(3, "timeout"), cancelled(3), consumed(3, True)])
    def test_listens_until_its_end(self, listener, end):
        listener.given("run-r1", end).given("message-1", SHIPPED).then_nothing()
        assert listener.state == Listeners()

    def test_goes_on_listening_after_an_event_that_is_not_enough(self, listener):
        listener.given("run-r1", consumed(3, False)).given("message-1", SHIPPED).then(*to("r1"))

    def test_leaves_the_others_of_its_run_listening(self, listener):
        listener.given("run-r1", listening(4, "order.shipped")).given("run-r1", cancelled(3))
        listener.given("message-1", SHIPPED).then(*to("r1"))


class TestARun:
    @pytest.mark.parametrize("end", [RunCompleted(), RunCancelled(), RunCompensated()])
    def test_listens_until_its_end(self, listener, end):
        listener.given("run-r1", listening(4)).given("run-r1", end).given("message-1", SHIPPED).then_nothing()
        assert listener.state == Listeners()

    def test_that_failed_listens_again_when_it_goes_on(self, listener):
        listener.given("run-r1", FAULT).given("message-1", SHIPPED).then_nothing()
        listener.given("run-r1", RunRetried()).given("message-1", SHIPPED).then(*to("r1"))
        listener.given("run-r1", cancelled(3))
        assert listener.state == Listeners()

    def test_that_failed_is_forgotten_when_it_is_cancelled(self, listener):
        listener.given("run-r1", FAULT).given("run-r1", cancelled(3)).given("run-r1", RunCancelled())
        assert listener.state == Listeners()


def test_ten_thousand_listening_runs_cost_nothing_to_those_that_are_not_meant():
    state, runs = Listeners(), examples(10_000)
    for number in range(runs):
        event = listening(1, f"type.{number % (runs // 2)}")
        react(Envelope(number, "e", "acme", f"run-r{number:05}", 1, NOON, event), state)
    message = SHIPPED.model_copy(update={"event_type": "type.7"})
    before = perf_counter()
    for _ in range(100):
        delivered = react(Envelope(1, "e", "acme", "message-1", 1, NOON, message), state)
    assert [command.run_id for command in delivered] == ["r00007", f"r{runs // 2 + 7:05}"]
    assert perf_counter() - before < 0.5
