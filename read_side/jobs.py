"""The jobs of a tenant, as the job board has them."""

from infra.errors import NotFound
from projections.job_board import JOB_BOARD
from read_side.listing import Listing


class JobUnknown(NotFound):
    """There is no such job."""


JOBS = Listing("jobs", JOB_BOARD, JobUnknown, filters=("status", "kind", "priority", "node_id"))
