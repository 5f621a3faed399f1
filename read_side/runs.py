"""The runs of a tenant, as the run directory has them, and the tasks of each of them."""

from operator import attrgetter

from infra.errors import NotFound
from projections.run_directory import RUN_DIRECTORY, RunRow
from projections.run_tasks import RUN_TASKS as TASKS_MODEL
from projections.run_tasks import RunTaskRow
from read_side.listing import Listing, Whole

ENDED = frozenset({"completed", "faulted", "cancelled", "compensated"})
OPEN = frozenset({"running", "waiting"})


class RunUnknown(NotFound):
    """There is no such run."""


def as_shown(task: RunTaskRow, run: RunRow) -> RunTaskRow:
    """A task as a reader sees it: interrupted if it was open when its run ended, or when the run began to undo what it had done."""
    if task.status not in OPEN or task.position > run.position:
        return task
    undoing_since = run.compensation_position
    left_open = undoing_since is not None and task.started_position < undoing_since
    return task.model_copy(update={"status": "interrupted"}) if left_open or run.status in ENDED else task


RUNS = Listing(
    "runs",
    RUN_DIRECTORY,
    RunUnknown,
    filters=("status", "workflow_id", "parent_run_id"),
    newest_first_by="started_position",
    labelled=True,
)
RUN_TASKS = Listing(
    "runs", TASKS_MODEL, RunUnknown, below="tasks", whole=Whole(RUN_DIRECTORY, as_shown, attrgetter("position"))
)
