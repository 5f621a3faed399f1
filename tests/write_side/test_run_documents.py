"""Documents that a run fetches: functions that call others, bounds, and what an operator does meanwhile."""

from collections.abc import Sequence
from typing import Any

import pytest

from events.event import Event
from events.run import RunTaskStarted
from events.run_parts import DocumentsAwaited, RunError
from infra.patterns.decider import HISTORY
from tests.write_side.driven import RUN_ID, Driven
from tests.write_side.dsl_case import Case, definition
from tests.write_side.dsl_run import Play
from tests.write_side.running import WAITING, Running, run, workflow
from write_side.interpreter.bounds import CALLS_DEEP_MAX, DOCUMENTS_BYTES_MAX, DOCUMENTS_MAX
from write_side.interpreter.errors import Raised
from write_side.interpreter.plan import plan_of, with_functions
from write_side.interpreter.scope import Run
from write_side.interpreter.sealing import documents_asked_for, unsealed
from write_side.run import RUN, UNKNOWN
from write_side.run_commands import AdvanceRun, AnswerRunTask, CancelRun, ForkRun, RetryRun, RunTaskNotCompleted

ADDRESS = "https://tests/function.yaml"
DOUBLE = {"set": {"twice": "${ .n * 2 }"}}


def answering(documents: dict[str, Any]) -> Any:
    def answer(awaited: Any, _: Running) -> Any:
        assert isinstance(awaited, DocumentsAwaited), awaited
        return {address: documents[address] for address in awaited.addresses}

    return answer


def fetched(found: Any) -> int:
    return sum(isinstance(event, RunTaskStarted) and event.kind == "document" for event in found.events)


class TestAFunctionThatCallsOthers:
    def test_has_them_fetched_too(self) -> None:
        outer = {"do": [{"in": {"call": "https://tests/inner", "with": {"n": "${ .n + 1 }"}}}]}
        found = run([{"c": {"call": ADDRESS}}], {"n": 4}, answering({ADDRESS: outer, "https://tests/inner": DOUBLE}))
        assert (found.status, found.output, fetched(found)) == ("completed", {"twice": 10}, 2)

    def test_and_itself_ends_with_an_error(self) -> None:
        found = run([{"c": {"call": ADDRESS}}], {}, answering({ADDRESS: {"call": ADDRESS}}))
        assert (found.status, fetched(found)) == ("faulted", 1)
        assert f"more than {CALLS_DEEP_MAX} deep" in found.error["detail"]

    def test_may_call_itself_while_there_is_something_to_do(self) -> None:
        countdown = {
            "do": [
                {"done": {"switch": [{"yes": {"when": ".n < 1", "then": "end"}}]}},
                {"more": {"call": ADDRESS, "with": {"n": "${ .n - 1 }"}}},
            ]
        }
        found = run([{"c": {"call": ADDRESS, "with": {"n": 3}}}], {}, answering({ADDRESS: countdown}))
        assert (found.status, found.output) == ("completed", {"n": 0})


class TestTheDocumentsOfARun:
    def test_are_bounded_in_number(self) -> None:
        calls = [{f"c{n}": {"call": f"https://tests/{n}"}} for n in range(DOCUMENTS_MAX + 1)]
        found = run(
            calls, {"n": 1}, answering({f"https://tests/{n}": {"set": {"n": n}} for n in range(DOCUMENTS_MAX + 1)})
        )
        assert found.status == "faulted"
        assert f"at most {DOCUMENTS_MAX} documents" in found.error["detail"]

    def test_are_bounded_in_size(self) -> None:
        large = {"set": {"a": "x" * DOCUMENTS_BYTES_MAX}}
        found = run([{"c": {"call": ADDRESS}}], {}, answering({ADDRESS: large}))
        assert found.status == "faulted"
        assert f"at most {DOCUMENTS_BYTES_MAX} bytes" in found.error["detail"]

    def test_that_were_not_given_are_an_error(self) -> None:
        found = run([{"c": {"call": ADDRESS}}], {}, lambda *_: "nothing")
        assert (found.status, found.error["instance"]) == ("faulted", "/do/0/c")

    def test_hold_a_function_with_a_bounded_number_of_expressions(self) -> None:
        many = {"set": {f"a{n}": f"${{ .n + {n} }}" for n in range(101)}}
        found = run([{"c": {"call": ADDRESS}}], {}, answering({ADDRESS: many}))
        assert "at most 100 different expressions" in found.error["detail"]


class TestTwoBranchesThatFetchTheSame:
    def test_go_on_with_what_came_first(self) -> None:
        called = {"call": ADDRESS, "with": {"n": 4}}
        both = workflow([{"f": {"fork": {"branches": [{"a": called}, {"b": called}]}}}])
        slow = {"do": [{"wait": {"call": "job", "with": {"kind": "x"}}}, {"then": {"set": {"first": True}}}]}
        found = Running(both, lambda *_: WAITING).start()
        fetching = [node.task for node in found.state.nodes.values() if node.kind == "document"]
        for task, document in zip(fetching, [slow, DOUBLE], strict=True):
            found.follow(found.send(AnswerRunTask(run_id="r1", task=task, answer={ADDRESS: document}, at=found.now)))
        for task in [node.task for node in found.state.nodes.values() if node.phase == "awaiting"]:
            found.follow(found.send(AnswerRunTask(run_id="r1", task=task, answer=1, at=found.now)))
        assert (found.status, found.output) == ("completed", [{"first": True}] * 2)


class TestARunThatFetches:
    DEFINITION = workflow([{"a": {"set": {"n": 4}}}, {"c": {"call": ADDRESS}}])

    def fetching(self) -> Driven:
        started = Driven(self.DEFINITION).start()
        started.advance()
        assert [node.kind for node in started.state.nodes.values()] == ["run", "call", "document"]
        return started

    def test_can_be_cancelled(self) -> None:
        found = self.fetching()
        found.send(CancelRun(run_id=RUN_ID))
        assert found.rest().state.status == "cancelled"

    def test_has_its_task_begun_anew_by_an_operators_retry(self) -> None:
        definition_ = definition(
            f"do: [{{a: {{set: {{n: 4}}, then: c}}}}, {{b: {{set: {{n: 9}}, then: end}}}}, {{c: {{call: '{ADDRESS}'}}}}]"
        )
        answers: list[Any] = [RunError(type="https://tests/no", status=503), {ADDRESS: DOUBLE}]
        found = Play(definition_, answers={"c": answers}).play(Case("", "", ""))
        assert found.status == "faulted"
        found.tell(RetryRun(run_id=found.run_id))
        assert (found.status, found.output) == ("completed", {"twice": 8})

    def test_hands_what_it_got_to_a_run_that_is_forked_from_it(self) -> None:
        calls = [{"c": {"call": ADDRESS, "with": {"n": 4}}}, {"d": {"call": ADDRESS, "with": {"n": 5}}}]
        first = Running(workflow(calls), answering({ADDRESS: DOUBLE})).start()
        [task] = [each.task for each in first.events if isinstance(each, RunTaskStarted) and each.kind == "call"][:1]
        second = Running(workflow(calls), run_id="r2")
        second.state = RUN.fold(fork(first.events, task))
        second.follow(second.send(AdvanceRun(run_id="r2", at=second.now)))
        assert (second.status, second.output, fetched(second)) == ("completed", {"twice": 10}, 0)

    def test_cannot_be_forked_from_the_fetching(self) -> None:
        found = run([{"c": {"call": ADDRESS, "with": {"n": 4}}}], {}, answering({ADDRESS: DOUBLE}))
        fetching = next(
            each.task for each in found.events if isinstance(each, RunTaskStarted) and each.kind == "document"
        )
        with pytest.raises(RunTaskNotCompleted):
            fork(found.events, fetching)


def fork(history: Sequence[Event], task: int) -> Sequence[Event]:
    return RUN.decide_all(ForkRun(run_id="r1", new_run_id="r2", task=task), UNKNOWN, {HISTORY: history})


def waiting(definition_: dict[str, Any], answer: Any) -> Run:
    """The run as it is where its last task waits, for whom carries out what it asks."""
    found = Running(definition_, lambda awaited, running: answer(awaited)).start({"n": 4})
    return Run("r1", found.state, with_functions(plan_of(found.state.digest, definition_), found.state), found.now)


class TestASecret:
    POLICY = {"basic": {"username": "ann", "password": "${ $secrets.password }"}}
    CATALOG = {"endpoint": {"uri": "https://tests/", "authentication": {"use": "staff"}}}
    USE = {"secrets": ["password"], "authentications": {"staff": POLICY}, "catalogs": {"ours": CATALOG}}
    CALL = [{"c": {"call": "double:1.0.0@ours"}}]

    def test_is_told_to_whom_a_catalog_is_asked_of_and_is_in_no_event(self) -> None:
        run_ = waiting(workflow(self.CALL, use=self.USE), lambda _: WAITING)
        [asked] = documents_asked_for(run_, run_.state.begun, {"password": "s3cret"}).values()
        assert asked == {
            "endpoint": {
                "uri": "https://tests/functions/double/1.0.0/function.yaml",
                "authentication": {"basic": {"username": "ann", "password": "s3cret"}},
            }
        }

    def test_that_is_not_there_is_an_error_of_authorization(self) -> None:
        run_ = waiting(workflow(self.CALL, use=self.USE), lambda _: WAITING)
        with pytest.raises(Raised) as raised:
            documents_asked_for(run_, run_.state.begun, {})
        assert raised.value.error.status == 403

    def test_is_never_told_to_what_others_wrote(self) -> None:
        given = {"method": "post", "endpoint": "https://tests/", "body": "${ $secrets | tostring }"}
        use = {"secrets": ["password"]}
        run_ = waiting(
            workflow([{"c": {"call": ADDRESS}}], use=use),
            lambda awaited: {ADDRESS: {"call": "http", "with": given}} if awaited.kind == "documents" else WAITING,
        )
        assert unsealed(run_, run_.state.begun, {"password": "s3cret"}).arguments["body"] == "{}"


class TestTheDefinitionOfARun:
    def test_is_shown_as_its_author_wrote_it(self) -> None:
        shown = {"set": "${ $workflow.definition }"}
        found = run([{"c": {"call": ADDRESS}}], {}, answering({ADDRESS: shown}))
        assert found.output == found.definition
