"""The table of contents: every read model, in the order in which they are listed."""

from infra.patterns.projection import Projection
from projections.agent_directory import AGENT_DIRECTORY, AgentRow
from projections.approval_board import APPROVAL_BOARD, ApprovalRow
from projections.job_board import JOB_BOARD, JobRow
from projections.node_board import NODE_BOARD, NodeRow
from projections.run_directory import RUN_DIRECTORY, RunRow
from projections.run_tasks import RUN_TASKS, RunTaskRow
from projections.task_board import TASK_BOARD, TaskRow
from projections.task_timeline import TASK_TIMELINE, TimelineRow
from projections.workflow_definitions import WORKFLOW_DEFINITIONS, DefinitionRow
from projections.workflow_directory import WORKFLOW_DIRECTORY, WorkflowRow

AnyProjection = (
    Projection[AgentRow]
    | Projection[TaskRow]
    | Projection[TimelineRow]
    | Projection[NodeRow]
    | Projection[JobRow]
    | Projection[WorkflowRow]
    | Projection[DefinitionRow]
    | Projection[ApprovalRow]
    | Projection[RunRow]
    | Projection[RunTaskRow]
)

CATALOG: tuple[AnyProjection, ...] = (
    AGENT_DIRECTORY,
    TASK_BOARD,
    TASK_TIMELINE,
    NODE_BOARD,
    JOB_BOARD,
    WORKFLOW_DIRECTORY,
    WORKFLOW_DEFINITIONS,
    APPROVAL_BOARD,
    RUN_DIRECTORY,
    RUN_TASKS,
)
