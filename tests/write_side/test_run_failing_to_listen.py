"""A listening task that cannot make anything of a further event ends with all that was being done with those before it."""

from typing import Any

from events.run import RunTaskCancelled
from tests.write_side.running import WAITING, Running, run
from tests.write_side.test_run_in_doubt import Outside, call, undone
from tests.write_side.test_run_subscribing import deliver, subscribing
from write_side.interpreter.bounds import EVENT_BYTES_MAX
from write_side.run_commands import DeliverRunEvent

FAILS_AT_THE_SECOND = '${ if length > 1 then error("no") else false end }'


def listening(*do: dict[str, Any]) -> dict[str, Any]:
    consumed = {"any": [{"with": {"type": "x"}}], "until": FAILS_AT_THE_SECOND}
    return {"hear": {"listen": {"to": consumed}, "foreach": {"do": [*do]}}}


def hear(running: Running) -> None:
    event: dict[str, Any] = {"id": "1", "source": "/s", "type": "x"}
    running.follow(running.send(DeliverRunEvent(run_id="r1", event=event, at=running.now)))


def given_up(running: Running) -> list[int]:
    return [event.task for event in running.events if isinstance(event, RunTaskCancelled)]


class TestAListeningTaskThatFails:
    def test_has_a_call_undone_that_may_have_taken_effect(self) -> None:
        found = run([listening(call("a"))], answer=Outside(doa=WAITING))
        hear(found)
        hear(found)
        assert (found.status, undone(found)) == ("compensated", [("a", None)])

    def test_gives_up_what_others_do_for_it(self) -> None:
        asked = {"ask": {"call": "agent", "with": {"capability": "think", "title": "Think"}}}
        found = run([listening(asked)], answer=lambda *_: WAITING)
        hear(found)
        hear(found)
        assert (found.status, given_up(found)) == ("faulted", [2])

    def test_takes_tasks_with_it_that_listen_for_the_same_event(self) -> None:
        inner = {"too": {"listen": {"to": {"one": {"with": {"type": "x"}}}}}}
        found = run([listening(inner)])
        hear(found)
        hear(found)
        assert (found.status, given_up(found)) == ("faulted", [2])


class TestATaskThatSubscribes:
    def test_gives_up_what_it_was_doing_when_a_message_is_too_large(self) -> None:
        found = deliver(subscribing("amount: 9", "{w: {wait: PT1S}}"), "x", "x" * EVENT_BYTES_MAX)
        assert (found.status, given_up(found)) == ("faulted", [2])
