"""Takes a node offline whose heartbeats have ceased; the watch for silence is infra/engines/liveness.py."""

from datetime import datetime

from events.node import NodeWentOnline
from write_side.node import TakeNodeOffline

ARRIVALS = "take_nodes_offline_on_silence", frozenset({NodeWentOnline.type})
"""The name of the consumer, and what is a sign of life in the log: the heartbeat may have been lost with the process that took it."""


def take_node_offline(stream_id: str, seen_at: datetime) -> TakeNodeOffline:
    return TakeNodeOffline(node_id=stream_id.removeprefix("node-"), last_seen_at=seen_at)
