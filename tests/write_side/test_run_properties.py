"""Whatever the definition: a run comes to rest, always in the same way, also if it is cut, paused, cancelled or told things twice."""

from contextlib import suppress

from hypothesis import HealthCheck, Phase, settings
from hypothesis import given as for_any
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from events.catalog import CATALOG
from events.event import JsonObject
from events.run import RunTaskCompleted
from events.run_compensation import RunCompensationSkipped, RunCompensationStarted, RunTaskCompensated
from infra.patterns.decider import HISTORY
from tests.sizes import examples
from tests.write_side.driven import RUN_ID, Driven
from tests.write_side.random_definitions import definitions
from write_side.interpreter.evolve import SNAPSHOT
from write_side.run import RUN, UNKNOWN
from write_side.run_commands import (
    AnswerRunTask,
    CancelRun,
    FailRunTask,
    FireRunTimer,
    ForkRun,
    ResumeRun,
    RetryRun,
    RunTaskNotCompleted,
    SkipRunCompensation,
    SuspendRun,
    TimeOutRunTask,
)

EVENTS_MAX = 3_000
REST = {"running", "completed", "faulted", "compensated", "failing", "compensating", "parked"}
BOUNDED = settings(
    deadline=None,
    max_examples=examples(60),
    # The same definitions each time, and as they were found: from a seed nothing smaller can be made.
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
STORED: TypeAdapter[object] = TypeAdapter(JsonObject)


def can_be_stored(definition: object) -> bool:
    """Whether a definition is nested no deeper than an event may be."""
    try:
        STORED.validate_python(definition)
    except ValidationError:
        return False
    return True


RUNS = st.builds(
    lambda definition, sends: Driven(definition, sends).start({"n": 2}),
    definitions().filter(can_be_stored),
    st.booleans(),
)
TOLD = AnswerRunTask | FailRunTask | FireRunTimer | TimeOutRunTask
CUT = st.floats(0, 1, exclude_max=True)


def place(run: Driven, share: float) -> int:
    """A place among the events of a run, behind the first at least."""
    return 1 + int(share * len(run.events))


class TestARun:
    @BOUNDED
    @for_any(RUNS)
    def test_comes_to_rest(self, run: Driven) -> None:
        run.rest()
        assert run.state.status in REST
        assert len(run.events) < EVENTS_MAX

    @BOUNDED
    @for_any(RUNS)
    def test_is_the_same_from_its_stream(self, run: Driven) -> None:
        run.rest()
        assert RUN.fold(run.events) == run.state
        again = Driven(run.definition, run.sends).start({"n": 2}).rest()
        assert again.events == run.events

    @BOUNDED
    @for_any(RUNS, CUT)
    def test_is_the_same_from_its_snapshot(self, run: Driven, share: float) -> None:
        run.rest()
        for state in (run.state, run.cut(place(run, share)).state):
            stored = SNAPSHOT.dump_python(state, mode="json")
            assert SNAPSHOT.validate_python(stored) == state

    @BOUNDED
    @for_any(RUNS)
    def test_has_events_that_can_be_stored(self, run: Driven) -> None:
        for event in run.rest().events:
            assert CATALOG.decode(event.type, event.version, CATALOG.encode(event)) == event

    @BOUNDED
    @for_any(RUNS, CUT)
    def test_ends_the_same_if_it_is_cut_after_any_event(self, run: Driven, share: float) -> None:
        run.rest()
        cut = run.cut(place(run, share)).rest()
        assert cut.outcome == run.outcome
        assert cut.events == run.events

    @BOUNDED
    @for_any(RUNS)
    def test_changes_nothing_if_told_again(self, run: Driven) -> None:
        for _ in range(60):
            before = len(run.commands)
            run.rest(1)
            run.advance()
            for command in run.commands[before:]:
                if isinstance(command, TOLD) and not waits(run, command.task):
                    assert run.cut(len(run.events)).send(command) == []

    @BOUNDED
    @for_any(RUNS, CUT)
    def test_ends_the_same_if_it_pauses_after_any_event(self, run: Driven, share: float) -> None:
        run.rest()
        paused = run.cut(place(run, share))
        if paused.tells(SuspendRun(run_id=RUN_ID)):
            assert not paused.advance() or paused.state.status == "cancelling"
            paused.send(ResumeRun(run_id=RUN_ID))
        assert paused.rest().outcome == run.outcome

    @BOUNDED
    @for_any(RUNS, CUT, st.booleans())
    def test_ends_if_it_is_cancelled_after_any_event(self, run: Driven, share: float, compensate: bool) -> None:
        run.rest()
        cancelled = run.cut(place(run, share))
        if not cancelled.tells(CancelRun(run_id=RUN_ID, compensate=compensate)):
            return
        cancelled.rest()
        while cancelled.state.status == "parked":
            cancelled.send(SkipRunCompensation(run_id=RUN_ID))
            cancelled.rest()
        done = to_undo(cancelled)
        if cancelled.state.status in ("cancelling", "compensating"):
            assert compensate  # what can be undone, or undoes, waits for something that never comes
            assert undone(cancelled) == done[: len(undone(cancelled))]
            return
        assert cancelled.state.status == ("compensated" if done else "cancelled")
        assert undone(cancelled) == done

    @BOUNDED
    @for_any(RUNS)
    def test_comes_to_rest_again_if_it_is_retried(self, run: Driven) -> None:
        run.rest()
        if run.tells(RetryRun(run_id=RUN_ID)):
            run.rest()
            assert run.state.status in REST
            assert RUN.fold(run.events) == run.state

    @BOUNDED
    @for_any(RUNS, CUT)
    def test_comes_to_rest_in_a_run_that_is_forked_from_it(self, run: Driven, share: float) -> None:
        run.rest()
        ended = [event.task for event in run.events if isinstance(event, RunTaskCompleted)] or [0]
        fork = ForkRun(run_id=RUN_ID, new_run_id="r2", task=ended[int(share * len(ended))])
        with suppress(RunTaskNotCompleted):
            begun = RUN.decide_all(fork, UNKNOWN, {HISTORY: run.events})
            forked = Driven(run.definition, run.sends, list(begun), [run.now]).rest()
            assert forked.state.status in REST

    @BOUNDED
    @for_any(RUNS)
    def test_undoes_each_task_once_and_the_last_one_first(self, run: Driven) -> None:
        run.rest()
        done, found = to_undo(run), undone(run)
        assert found == done[: len(found)]
        if run.state.status == "compensated":
            assert found == done


def waits(run: Driven, task: int) -> bool:
    """Whether a task still has something to be told."""
    node = run.state.nodes.get(task)
    return node is not None and node.phase in ("awaiting", "delayed")


def undone(run: Driven) -> list[int]:
    return [event.of for event in run.events if isinstance(event, RunTaskCompensated | RunCompensationSkipped)]


def to_undo(run: Driven) -> list[int]:
    """The tasks that were completed and can be undone when the undoing began, the last one first."""
    at = next((at for at, event in enumerate(run.events) if isinstance(event, RunCompensationStarted)), 0)
    done = [entry.task for entry in RUN.fold(run.events[:at]).done][::-1]
    compensable = {event.task for event in run.events[:at] if isinstance(event, RunTaskCompleted) and event.compensable}
    assert compensable <= set(done)
    return done
