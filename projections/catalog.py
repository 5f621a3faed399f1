"""The table of contents: every read model, in the order in which they are listed."""

from infra.patterns.projection import Projection
from projections.agent_directory import AGENT_DIRECTORY, AgentRow
from projections.job_board import JOB_BOARD, JobRow
from projections.node_board import NODE_BOARD, NodeRow
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
)

CATALOG: tuple[AnyProjection, ...] = (
    AGENT_DIRECTORY,
    TASK_BOARD,
    TASK_TIMELINE,
    NODE_BOARD,
    JOB_BOARD,
    WORKFLOW_DIRECTORY,
    WORKFLOW_DEFINITIONS,
)
