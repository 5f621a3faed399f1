"""Events that come to runs: sent to one of them, or published and delivered to the tasks that listen."""

from events.run import RunEventConsumed, RunEventReceived
from tests.write_side.running import WAITING, run
from write_side.run import INBOX_MAX, RUN
from write_side.run_commands import AnswerRunTask, DeliverRunEvent, InboxFull, SendRunEvent

CALL = {"call": "job", "with": {"kind": "x", "payload": "x"}}


def waiting(*_):
    return WAITING


class TestAnEvent:
    LISTEN = {"listen": {"to": {"one": {"with": {"type": "x"}}}}}

    def test_that_is_sent_waits_until_a_task_listens_and_is_taken_once(self):
        found = run([{"a": CALL}, {"b": self.LISTEN}, {"c": self.LISTEN}], answer=waiting)
        for number, type_ in enumerate(("y", "x")):
            found.tell(SendRunEvent(run_id="r1", event={"type": type_, "id": str(number), "data": number}))
        assert sum(isinstance(e, RunEventReceived) for e in found.events) == 2
        found.send(AnswerRunTask(run_id="r1", task=1, answer=1))
        taken = [(e.task, e.item) for e in found.events if isinstance(e, RunEventConsumed)]
        assert (found.status, taken) == ("running", [(2, 1)])
        assert [event["type"] for event in found.state.inbox] == ["y"]

    def test_is_refused_if_too_many_wait(self, given):
        past = run([{"a": CALL}], answer=waiting).events
        sent = [RunEventReceived(event={"type": "x"})] * INBOX_MAX
        given(RUN, *past, *sent).when(SendRunEvent(run_id="r1", event={"type": "x"})).then_refused(InboxFull)

    def test_that_is_delivered_has_to_pass_the_filter(self):
        wanted = {"type": "x", "source": "https://.*\\.example", "data": "${ .n > 1 }"}
        found = run([{"a": {"listen": {"to": {"one": {"with": wanted}}}}}])
        event = {"type": "x", "source": "https://a.example", "id": "1", "data": {"n": 2}}
        for other in ({"type": "y"}, {"source": "https://a.test"}, {"data": {"n": 1}}):
            assert found.send(DeliverRunEvent(run_id="r1", event=event | other)) == []
        found.send(DeliverRunEvent(run_id="r1", event=event))
        assert (found.status, found.output) == ("completed", [{"n": 2}])

    def test_has_to_have_the_value_that_ties_it_to_those_before(self):
        room = {"room": {"from": ".data.room"}}
        filters = [{"with": {"type": type_}, "correlate": room} for type_ in ("x", "y")]
        found = run([{"a": {"listen": {"to": {"all": filters}}}}])
        for type_, number in (("x", 1), ("y", 2), ("y", 1)):
            found.send(DeliverRunEvent(run_id="r1", event={"type": type_, "id": type_, "data": {"room": number}}))
        assert (found.status, found.output) == ("completed", [{"room": 1}, {"room": 1}])

    def test_changes_nothing_where_nobody_listens(self):
        assert run([{"a": CALL}], answer=waiting).send(DeliverRunEvent(run_id="r1", event={"type": "x"})) == []
