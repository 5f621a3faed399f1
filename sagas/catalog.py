"""The table of contents: every saga."""

from infra.patterns.saga import Saga
from sagas.assign_tasks_on_request import ASSIGN_TASKS_ON_REQUEST, Assignments
from sagas.place_jobs_on_nodes import PLACE_JOBS_ON_NODES
from sagas.placement import Placements
from sagas.queue_jobs_on_dependencies import QUEUE_JOBS_ON_DEPENDENCIES, Dependencies
from sagas.time_out_tasks_on_deadline import TIME_OUT_TASKS_ON_DEADLINE, Nothing

AnySaga = Saga[Placements] | Saga[Dependencies] | Saga[Assignments] | Saga[Nothing]

CATALOG: tuple[AnySaga, ...] = (
    PLACE_JOBS_ON_NODES,
    QUEUE_JOBS_ON_DEPENDENCIES,
    ASSIGN_TASKS_ON_REQUEST,
    TIME_OUT_TASKS_ON_DEADLINE,
)
