"""The demo's workflows do what they are there to show; each kind of fault shows in one comparison."""

import io
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from infra.adapters.document_text import parse_document
from read_side.demo.content import ARTICLE, CONTENT_FILE
from read_side.demo.trips import MADE, TRIP_FILE, UNDONE
from read_side.demo.workflows import check_workflows, definition
from tests.read_side.demo.workflow_world import WorkflowWorld
from tests.write_side.definition.official import Official

README = Path(__file__).parents[3] / "README.md"


@pytest.fixture(scope="module")
def faultless_world() -> WorkflowWorld:
    return WorkflowWorld()


@pytest.fixture
def world(faultless_world: WorkflowWorld) -> WorkflowWorld:
    """A copy, for each test to change."""
    return deepcopy(faultless_world)


def differing(world: WorkflowWorld) -> set[str]:
    return {check.name for check in check_workflows(world.seen, world.bookings) if not check.ok}


class TestTheWorkflows:
    def test_pass_every_comparison(self, world: WorkflowWorld) -> None:
        assert differing(world) == set()

    @pytest.mark.data
    @pytest.mark.parametrize("file", [TRIP_FILE, CONTENT_FILE])
    def test_are_valid_by_the_schema(self, recorded_folder: Path, file: str) -> None:
        if not (recorded_folder / "open-workflow").is_dir():
            pytest.skip("the Open Workflow Specification is not here: set FOLDWORK_DATA")
        assert Official(recorded_folder / "open-workflow").usual.is_valid(definition(file))


class TestATripWithoutACar:
    def test_is_undone_last_booking_first(self, world: WorkflowWorld) -> None:
        assert world.seen.runs[UNDONE].run.status == "compensated"
        assert world.bookings.cancelled == ["hotel-lisbon", "airline-lisbon"]

    def test_is_drawn_with_what_was_undone(self, world: WorkflowWorld) -> None:
        undone = {task.name for task in world.seen.runs[UNDONE].tasks if task.status == "compensated"}
        assert undone == {"bookFlight", "bookHotel"}


class TestTheReadme:
    def section(self) -> str:
        return README.read_text().split("## A workflow with compensation")[1].split("\n## ")[0]

    def test_shows_the_trip_that_the_demo_runs(self) -> None:
        (shown,) = re.findall(r"^```yaml\n(.*?)^```", self.section(), flags=re.MULTILINE | re.DOTALL)
        assert parse_document(shown.encode(), "application/yaml") == definition(TRIP_FILE)

    def test_shows_what_is_printed_of_it_but_for_the_times(self, world: WorkflowWorld) -> None:
        (shown,) = re.findall(r"^```text\n(.*?)^```", self.section(), flags=re.MULTILINE | re.DOTALL)
        printed = io.StringIO()
        Console(file=printed, width=120).print(world.seen.runs[UNDONE].picture())
        assert _timeless(printed.getvalue()) == _timeless(shown)


def _timeless(text: str) -> list[str]:
    return [re.sub(r"  [0-9.]+(ms|s)(?=  |$)", "  1s", line.rstrip()) for line in text.strip().splitlines()]


class TestAFault:
    def test_shows_when_a_run_is_missing(self, world: WorkflowWorld) -> None:
        del world.seen.runs[MADE]
        assert "runs of workflows" in differing(world)

    def test_shows_when_something_is_booked_twice(self, world: WorkflowWorld) -> None:
        world.bookings.made.append(world.bookings.made[0])
        assert differing(world) == {"bookings of both, each once"}

    def test_shows_when_something_is_cancelled_twice(self, world: WorkflowWorld) -> None:
        world.bookings.cancelled.append(world.bookings.cancelled[0])
        assert differing(world) == {"cancellations of both, each once"}

    def test_shows_when_the_first_booking_is_undone_first(self, world: WorkflowWorld) -> None:
        seen = world.seen.runs[UNDONE]
        undone, others = list(seen.events_of("run.task_compensated")), list(seen.events)
        reversed_events = [event for event in others if event not in undone] + undone[::-1]
        world.seen.runs[UNDONE] = replace(seen, events=reversed_events)
        assert differing(world) == {"its bookings undone, the last one first"}

    def test_shows_when_the_original_error_is_lost(self, world: WorkflowWorld) -> None:
        seen = world.seen.runs[UNDONE]
        world.seen.runs[UNDONE] = replace(seen, run=seen.run.model_copy(update={"error": None}))
        assert differing(world) == {"its original error"}

    def test_shows_when_nobody_approved(self, world: WorkflowWorld) -> None:
        world.seen.approvals[0] = world.seen.approvals[0].model_copy(update={"status": "timed_out"})
        assert differing(world) == {"trips that a person approved"}

    def test_shows_when_a_task_is_missing(self, world: WorkflowWorld) -> None:
        seen = world.seen.runs[ARTICLE]
        world.seen.runs[ARTICLE] = replace(seen, tasks=seen.tasks[1:])
        assert differing(world) == {"tasks of runs, each once"}

    def test_shows_when_a_task_stays_open(self, world: WorkflowWorld) -> None:
        seen = world.seen.runs[ARTICLE]
        left_open = seen.tasks[-1].model_copy(update={"status": "waiting", "ended_at": None})
        world.seen.runs[ARTICLE] = replace(seen, tasks=[*seen.tasks[:-1], left_open])
        assert differing(world) == {"tasks of runs left open"}

    def test_shows_when_the_content_is_refined_once_more(self, world: WorkflowWorld) -> None:
        seen = world.seen.runs[ARTICLE]
        again = next(task for task in seen.tasks if task.name == "refineContent").model_copy(update={"task": 99})
        world.seen.runs[ARTICLE] = replace(seen, tasks=[*seen.tasks, again])
        assert differing(world) == {"times it was refined", "tasks of runs, each once"}

    def test_shows_when_an_agent_is_asked_twice(self, world: WorkflowWorld) -> None:
        world.seen.agent_tasks.append(world.seen.agent_tasks[0])
        assert differing(world) == {"tasks that runs asked of agents"}

    def test_shows_when_a_task_is_assigned_twice(self, world: WorkflowWorld) -> None:
        world.seen.log.types["task.assigned"] += 1
        assert differing(world) == {"assignments of them, each once"}

    def test_shows_when_an_event_is_projected_twice(self, world: WorkflowWorld) -> None:
        seen = world.seen.runs[MADE]
        world.seen.runs[MADE] = replace(seen, run=seen.run.model_copy(update={"version": seen.run.version + 1}))
        assert differing(world) == {"run events, each once"}
