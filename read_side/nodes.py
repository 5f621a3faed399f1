"""The nodes of a tenant, as the node board has them."""

from infra.errors import NotFound
from projections.node_board import NODE_BOARD
from read_side.listing import Listing


class NodeUnknown(NotFound):
    """There is no such node."""


NODES = Listing("nodes", NODE_BOARD, NodeUnknown, filters=("status", "gpu_model", "name", "draining", "over_capacity"))
