"""The workflows of a tenant with their versions, and the definition of each version."""

from infra.errors import NotFound
from projections.workflow_definitions import WORKFLOW_DEFINITIONS
from projections.workflow_directory import WORKFLOW_DIRECTORY
from read_side.listing import Listing


class WorkflowUnknown(NotFound):
    """There is no such workflow."""


WORKFLOWS = Listing("workflows", WORKFLOW_DIRECTORY, WorkflowUnknown, filters=("namespace", "name"))
DEFINITIONS = Listing(
    "workflows", WORKFLOW_DEFINITIONS, WorkflowUnknown, below="definitions", oldest_first_by="position"
)
