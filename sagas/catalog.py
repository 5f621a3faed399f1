"""The table of contents: every saga."""

from infra.patterns.saga import Saga
from sagas.ask_agents_on_run_task import ASK_AGENTS_ON_RUN_TASK, AskedAgents
from sagas.ask_people_on_run_task import ASK_PEOPLE_ON_RUN_TASK, AskedPeople
from sagas.assign_tasks_on_request import ASSIGN_TASKS_ON_REQUEST, Assignments
from sagas.deliver_events_to_runs import DELIVER_EVENTS_TO_RUNS, Listeners
from sagas.place_jobs_on_nodes import PLACE_JOBS_ON_NODES
from sagas.placement import Placements
from sagas.queue_jobs_on_dependencies import QUEUE_JOBS_ON_DEPENDENCIES, Dependencies
from sagas.start_child_runs_on_task import START_CHILD_RUNS_ON_TASK, ChildRuns
from sagas.start_runs_on_schedule import START_RUNS_ON_SCHEDULE, RunSchedules
from sagas.submit_jobs_on_run_task import SUBMIT_JOBS_ON_RUN_TASK, SubmittedJobs
from sagas.time_out_approvals_on_deadline import TIME_OUT_APPROVALS_ON_DEADLINE
from sagas.time_out_tasks_on_deadline import TIME_OUT_TASKS_ON_DEADLINE, Nothing
from sagas.time_runs_on_task import TIME_RUNS_ON_TASK

AnySaga = (
    Saga[Placements]
    | Saga[Dependencies]
    | Saga[Assignments]
    | Saga[AskedAgents]
    | Saga[AskedPeople]
    | Saga[ChildRuns]
    | Saga[Listeners]
    | Saga[RunSchedules]
    | Saga[SubmittedJobs]
    | Saga[Nothing]
)

CATALOG: tuple[AnySaga, ...] = (
    PLACE_JOBS_ON_NODES,
    QUEUE_JOBS_ON_DEPENDENCIES,
    ASSIGN_TASKS_ON_REQUEST,
    TIME_OUT_TASKS_ON_DEADLINE,
    TIME_OUT_APPROVALS_ON_DEADLINE,
    TIME_RUNS_ON_TASK,
    START_CHILD_RUNS_ON_TASK,
    ASK_AGENTS_ON_RUN_TASK,
    SUBMIT_JOBS_ON_RUN_TASK,
    ASK_PEOPLE_ON_RUN_TASK,
    DELIVER_EVENTS_TO_RUNS,
    START_RUNS_ON_SCHEDULE,
)
