"""A task that does something with each message of a subscription: one after the other, until that is enough."""

from typing import Any

from pydantic import JsonValue

from events.run import RunEventConsumed, RunEventEmitted
from events.run_parts import CallAwaited, RunError
from tests.write_side.dsl_case import definition
from tests.write_side.running import WAITING, Running
from write_side.interpreter.forking import forked, state_after
from write_side.interpreter.state import ROOT
from write_side.run_commands import (
    AnswerRunTask,
    DeliverRunMessage,
    FailRunTask,
    FireRunTimer,
    ResumeRun,
    SuspendRun,
    TimeOutRunTask,
)

SAW = "{saw: {emit: {event: {with: {type: saw, data: '${ $item.payload }'}}}}}"
BROKEN = RunError(type="https://tests/broken", status=500)
SUBSCRIBES = 1
"""The number of the task that subscribes."""


def subscribing(consume: str, do: str = SAW, more: str = "", behind: str = "") -> Running:
    """A run whose first task has subscribed; timers do not fire by themselves."""
    subscription = f"consume: {{{consume}}}, foreach: {{do: [{do}]{more}}}"
    with_ = f"document: {{endpoint: 'https://tests'}}, operation: o, subscription: {{{subscription}}}"
    text = f"do: [{{s: {{call: asyncapi, with: {{{with_}}}{behind}}}}}]"
    return Running(definition(text), answer=lambda *_: WAITING).start({"n": 2})


def message(value: JsonValue) -> JsonValue:
    return {"payload": value, "headers": {}}


def deliver(run: Running, *values: JsonValue) -> Running:
    for value in values:
        place = len(run.state.nodes[SUBSCRIBES].consumed)
        run.send(DeliverRunMessage(run_id=run.run_id, task=SUBSCRIBES, place=place, message=message(value), at=run.now))
    return run


def emitted(run: Running) -> list[Any]:
    return [each.event["data"] for each in run.events if isinstance(each, RunEventEmitted)]


def taken(run: Running) -> int:
    return sum(isinstance(each, RunEventConsumed) and not each.closing for each in run.events)


class TestASubscription:
    def test_asks_for_messages_but_not_for_what_is_done_with_them(self) -> None:
        [asked] = subscribing("amount: 2").asked
        assert isinstance(asked, CallAwaited)
        assert asked.arguments["subscription"] == {"consume": {"amount": 2}}

    def test_does_its_tasks_with_each_message_and_yields_what_they_yield(self) -> None:
        run = deliver(subscribing("amount: 2", "{a: {set: {of: '${ $item.payload }', at: '${ $index }'}}}"), "x", "y")
        assert (run.status, run.output) == ("completed", [{"of": "x", "at": 0}, {"of": "y", "at": 1}])

    def test_is_done_with_one_before_the_next(self) -> None:
        run = deliver(subscribing("amount: 2", f"{SAW}, {{w: {{wait: PT1S}}}}"), "x", "y")
        assert (emitted(run), taken(run)) == (["x"], 2)
        for waiting in (3, 5):
            due_at = run.state.nodes[waiting].awaits.until
            run.send(FireRunTimer(run_id=run.run_id, task=waiting, due_at=due_at, at=due_at))
        assert (run.status, emitted(run)) == ("completed", ["x", "y"])

    def test_forms_each_message_and_exports_to_the_context(self) -> None:
        more = ", output: {as: '.payload'}, export: {as: '{n: ($context.n + 1)}'}"
        run = deliver(subscribing("until: '${ $context.n > 3 }'", "", more), 7, 8)
        assert (run.status, run.output) == ("completed", [7, 8])

    def test_goes_on_while_its_condition_holds(self) -> None:
        run = deliver(subscribing("while: '${ length < 2 }'"), "x")
        assert run.status == "running"
        assert deliver(run, "y").status == "completed"

    def test_ends_when_there_are_no_more(self) -> None:
        run = deliver(subscribing("amount: 9, for: PT1S"), "x")
        run.send(AnswerRunTask(run_id=run.run_id, task=SUBSCRIBES, answer=[], at=run.now))
        assert (run.status, len(run.output), emitted(run)) == ("completed", 1, ["x"])

    def test_is_done_with_what_it_has_once_there_are_no_more(self) -> None:
        run = deliver(subscribing("amount: 9, for: PT1S", f"{SAW}, {{w: {{wait: PT1S}}}}"), "x")
        run.send(AnswerRunTask(run_id=run.run_id, task=SUBSCRIBES, answer=[], at=run.now))
        assert run.status == "running"
        due_at = run.state.nodes[3].awaits.until
        run.send(FireRunTimer(run_id=run.run_id, task=3, due_at=due_at, at=due_at))
        assert run.status == "completed"

    def test_takes_a_message_once(self) -> None:
        run = deliver(subscribing("amount: 2"), "x")
        assert (
            run.send(DeliverRunMessage(run_id="r1", task=SUBSCRIBES, place=0, message=message("x"), at=run.now)) == []
        )

    def test_takes_nothing_once_it_has_enough(self) -> None:
        run = deliver(subscribing("amount: 1", "{w: {wait: PT1S}}"), "x")
        assert (
            run.send(DeliverRunMessage(run_id="r1", task=SUBSCRIBES, place=1, message=message("y"), at=run.now)) == []
        )

    def test_keeps_what_comes_while_its_run_is_suspended(self) -> None:
        run = subscribing("amount: 1")
        run.send(SuspendRun(run_id="r1"))
        deliver(run, "x")
        assert (taken(run), emitted(run)) == (1, [])
        assert run.tell(ResumeRun(run_id="r1")).status == "completed"

    def test_fails_if_the_messages_cannot_be_had_any_more(self) -> None:
        run = deliver(subscribing("amount: 9", f"{SAW}, {{w: {{wait: PT1S}}}}"), "x")
        run.send(FailRunTask(run_id="r1", task=SUBSCRIBES, error=BROKEN, at=run.now))
        assert (run.status, run.error["instance"]) == ("faulted", "/do/0/s")
        assert not run.state.below(SUBSCRIBES)

    def test_fails_if_what_is_done_with_a_message_does(self) -> None:
        raises = "{r: {raise: {error: {type: 'https://tests/no', status: 403}}}}"
        run = deliver(subscribing("amount: 9", raises), "x")
        assert (run.status, run.error["instance"]) == ("faulted", "/do/0/s/with/subscription/foreach/do/0/r")

    def test_may_take_too_long(self) -> None:
        run = deliver(subscribing("amount: 9", behind=", timeout: {after: PT1S}"), "x")
        due_at = run.now
        run.send(TimeOutRunTask(run_id="r1", task=SUBSCRIBES, due_at=due_at, at=due_at))
        assert (run.status, run.error["status"]) == ("faulted", 408)

    def test_begins_anew_in_a_run_that_is_forked_from_what_it_does(self) -> None:
        run = deliver(subscribing("amount: 2", f"{SAW}, {{w: {{wait: PT1S}}}}"), "x")
        before = state_after(run.events, 2)
        assert before is not None
        begun = forked(before, None, 2, SUBSCRIBES)
        assert [node.task for node in begun.nodes.values()] == [ROOT]
        assert begun.ready == (ROOT,)
