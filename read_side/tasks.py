"""The tasks of a tenant, as the task board has them, and what happened in each of them."""

from infra.errors import NotFound
from projections.task_board import TASK_BOARD
from projections.task_timeline import TASK_TIMELINE
from read_side.listing import Listing


class TaskUnknown(NotFound):
    """There is no such task."""


TASKS = Listing("tasks", TASK_BOARD, TaskUnknown, filters=("status", "agent_id", "capability"))
TIMELINE = Listing("tasks", TASK_TIMELINE, TaskUnknown, below="timeline")
