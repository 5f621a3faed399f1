"""The approvals of a tenant, as the approval board has them."""

from infra.errors import NotFound
from projections.approval_board import APPROVAL_BOARD
from read_side.listing import Listing


class ApprovalUnknown(NotFound):
    """There is no such approval."""


APPROVALS = Listing(
    "approvals",
    APPROVAL_BOARD,
    ApprovalUnknown,
    filters=("status",),
    holding={"person": "people", "group": "groups"},
)
