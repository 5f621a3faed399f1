"""How a run looks on a terminal."""

import io
from datetime import timedelta

import pytest
from rich.console import Console

from events.envelope import Envelope
from events.event import Event
from events.run import (
    RunCancelled,
    RunErrorCaught,
    RunEventConsumed,
    RunFaulted,
    RunForked,
    RunIterationStarted,
    RunSuspended,
    RunTaskAnswered,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskRetried,
    RunTaskSkipped,
)
from events.run_compensation import (
    RunCompensated,
    RunCompensationFailed,
    RunCompensationStarted,
    RunParked,
    RunTaskCompensated,
    RunTaskCompensating,
)
from events.run_parts import (
    AgentTaskAwaited,
    ApprovalAwaited,
    EventsAwaited,
    Origin,
    ParentTask,
    RunError,
    TimerAwaited,
)
from infra.patterns.projection import Key
from projections.run_directory import RUN_DIRECTORY, RunRow
from projections.run_tasks import RUN_TASKS, RunTaskRow
from read_side.cli.run_tree import CHILDREN_MAX, picture_of, span
from read_side.runs import as_shown
from tests.read_side.cli.local_api import START, started, task

NO_CAR = RunError(type="https://example.com/no-car", status=409, title="No car", detail="All are out.")
NOW = START + timedelta(minutes=2)


def rows(*events: Event) -> tuple[RunRow, list[RunTaskRow]]:
    """The run and its tasks after these events, as the read models have them."""
    run: RunRow | None = None
    tasks: dict[Key, RunTaskRow] = {}
    for position, event in enumerate(events, 1):
        at = START + timedelta(seconds=position)
        envelope = Envelope(position, f"e{position}", "default", "run-r1", position, at, event)
        run = RUN_DIRECTORY.project(envelope, run)
        if isinstance(event, RUN_TASKS.handles):
            key = RUN_TASKS.locate(envelope)
            row = RUN_TASKS.project(envelope, tasks.get(key))
            if row is not None:
                tasks[key] = row
    assert run is not None
    return run, [as_shown(tasks[key], run) for key in sorted(tasks)]


def drawn(*events: Event, lines_max: int | None = None) -> list[str]:
    run, tasks = rows(*events)
    output = io.StringIO()
    Console(file=output, width=200).print(picture_of(run, tasks, NOW, lines_max))
    return [line.rstrip() for line in output.getvalue().splitlines()]


class TestTheTitle:
    def test_says_what_it_is_and_how_long_it_has_been_at_it(self) -> None:
        assert drawn(started()) == ["r1  travel.book 1.0.0  running  2m 00s"]

    def test_says_what_belongs_to_it(self) -> None:
        run = started(labels={"team": "north"}, parent=ParentTask(run_id="r0", task=7))
        assert drawn(run)[0].endswith("part of r0, task 7  team=north")

    def test_says_what_it_was_forked_from(self) -> None:
        begun = started().model_dump(include={"workflow_id", "workflow_version", "digest", "started_at"})
        forked = RunForked(**begun, forked_from=Origin(run_id="r0", task=3), state={})
        lines = drawn(forked, task(8, "bookCar", parent=2), RunTaskCompleted(task=2))
        assert lines[0].endswith("forked from r0 after task 3")
        assert lines[1].startswith("└── 8 bookCar")

    def test_says_why_it_ended_or_stands_still_and_how_to_go_on(self) -> None:
        assert drawn(started(), RunFaulted(error=NO_CAR))[1:] == [
            "No car (409): All are out.",
            "Go on from what failed: foldwork runs retry r1",
        ]
        assert drawn(started(), RunSuspended(reason="lunch"))[1:] == ["lunch", "Go on: foldwork runs resume r1"]
        assert drawn(started(), RunCancelled(reason="rain"))[1:] == ["rain"]


class TestATask:
    def test_stands_below_the_one_that_it_is_part_of(self) -> None:
        lines = drawn(started(), task(1, "trip", kind="do"), task(2, "a", 1), task(3, "b"), task(4, "c", 1))
        assert [line.partition("  call")[0].partition("  do")[0] for line in lines[1:]] == [
            "├── 1 trip",
            "│   ├── 2 a",
            "│   └── 4 c",
            "└── 3 b",
        ]

    @pytest.mark.parametrize(
        ("awaits", "said"),
        [
            (AgentTaskAwaited(task_id="t1", title="Think"), "waits for agent task t1"),
            (ApprovalAwaited(approval_id="p1"), "waits for approval p1"),
            (EventsAwaited(types=("order.paid", "order.lost")), "waits for events order.paid, order.lost"),
            (EventsAwaited(), "waits for any event"),
            (TimerAwaited(until=NOW + timedelta(hours=1)), "waits for 2026-01-01 13:02:00 UTC, in 1h 00m"),
            (TimerAwaited(until=NOW), "waits for 2026-01-01 12:02:00 UTC"),
        ],
    )
    def test_says_what_it_waits_for(self, awaits: object, said: str) -> None:
        assert drawn(started(), task(1, "x", awaits=awaits))[1] == f"└── 1 x  call  waiting  1m 59s  {said}"

    def test_no_longer_says_what_it_waits_for_when_that_has_come(self) -> None:
        lines = drawn(started(), task(1, "x", awaits=EventsAwaited()), RunTaskAnswered(task=1))
        assert lines[1] == "└── 1 x  call  running  1m 59s"

    def test_says_how_often_it_tried_and_what_it_caught(self) -> None:
        caught = RunErrorCaught(task=1, error=NO_CAR, attempt=1)
        again = RunErrorCaught(task=1, error=NO_CAR, attempt=2, retry_at=NOW + timedelta(seconds=3))
        lines = drawn(started(), task(1, "x", kind="try"), caught, RunTaskRetried(task=1, attempt=2), again)
        assert lines[1].endswith("running  1m 59s  2 attempts  2 errors caught  tries again in 3.0s")
        assert lines[2].strip() == "caught: No car (409): All are out."

    def test_says_how_far_a_loop_is_and_how_many_events_came(self) -> None:
        loop = task(1, "x", kind="for", items=[1, 2, 3])
        assert drawn(started(), loop, RunIterationStarted(task=1, index=0))[1].endswith("round 1 of 3")
        listening = task(1, "x", awaits=EventsAwaited())
        assert drawn(started(), listening, RunEventConsumed(task=1, event_id="e"))[1].endswith("1 events")

    def test_says_how_many_branches_a_fork_has(self) -> None:
        assert drawn(started(), task(1, "x", kind="fork", items=["a", "b"]))[1].endswith("  2 branches")

    def test_that_was_skipped_took_no_time(self) -> None:
        assert drawn(started(), RunTaskSkipped(task=1, reference="/do/0/x", name="x"))[1] == "└── 1 x  skipped"

    def test_cannot_command_the_terminal_by_its_name(self) -> None:
        assert drawn(started(), task(1, "a\x1b[31m[b]\nc"))[1].startswith("└── 1 a [31m[b] c  call")


class TestARunThatUndoesItsWork:
    BEGUN = (started(), task(2, "bookHotel"), RunTaskCompleted(task=2), task(3, "bookCar"))
    UNDOING = (
        *BEGUN,
        RunTaskFaulted(task=3, error=NO_CAR),
        RunCompensationStarted(error=NO_CAR),
        RunTaskCompensating(task=4, of=2, started_at=START),
        task(4, "bookHotel", kind="compensate"),
    )

    def test_marks_what_is_undone_and_by_which_task(self) -> None:
        lines = drawn(*self.UNDOING)
        assert lines[2] == "├── 2 bookHotel  call  compensating  1.0s  being undone by 4"
        assert lines[5] == "└── 4 bookHotel  compensate  running  1m 56s  undoes 2 bookHotel"
        done = (RunTaskCompleted(task=4), RunTaskCompensated(task=4, of=2), RunCompensated(error=NO_CAR))
        assert drawn(*self.UNDOING, *done)[2] == "├── 2 bookHotel  call  compensated  1.0s  undone by 4"

    def test_strikes_out_what_is_undone(self) -> None:
        run, tasks = rows(*self.UNDOING, RunTaskCompensated(task=4, of=2))
        output = io.StringIO()
        Console(file=output, width=200, force_terminal=True, color_system="standard").print(picture_of(run, tasks, NOW))
        assert "\x1b[2;9mbookHotel" in output.getvalue()

    def test_says_what_an_operator_can_do_when_it_is_parked(self) -> None:
        failed = RunCompensationFailed(task=4, of=2, attempt=1, error=NO_CAR)
        lines = drawn(*self.UNDOING, failed, RunParked(of=2, error=NO_CAR))
        assert lines[2].startswith("├── 2 bookHotel  call  stuck")
        assert lines[3] == "│   cannot be undone: No car (409): All are out."
        assert lines[-2].endswith("foldwork runs retry-compensation r1")
        assert lines[-1].endswith("foldwork runs skip-compensation r1")


class TestALargeRun:
    MANY = (started(), task(1, "loop", kind="for"), *(task(2 + number, "step", 1) for number in range(1_000)))

    def test_is_drawn_with_the_first_and_the_last_parts_of_each_task(self) -> None:
        lines = drawn(*self.MANY)
        assert len(lines) == 2 + CHILDREN_MAX + 1
        assert lines[4] == "    ├── … 800 more"
        assert "1001 step" in lines[-1]

    def test_is_drawn_so_that_it_fits(self) -> None:
        lines = drawn(*self.MANY, lines_max=20)
        assert len(lines) <= 21
        assert "1001 step" in lines[-1]


class TestAText:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (-1, "0ms"),
            (0.1234, "123ms"),
            (1.26, "1.3s"),
            (61, "1m 01s"),
            (3_600, "1h 00m"),
            (90_000, "1d 01h"),
        ],
    )
    def test_of_a_time_is_short(self, seconds: float, text: str) -> None:
        assert span(seconds) == text
