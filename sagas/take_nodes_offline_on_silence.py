"""Takes a node offline whose heartbeats have ceased; the watch for silence is infra/engines/liveness.py."""

from datetime import datetime

from write_side.node import TakeNodeOffline


def take_node_offline(stream_id: str, seen_at: datetime) -> TakeNodeOffline:
    return TakeNodeOffline(node_id=stream_id.removeprefix("node-"), last_seen_at=seen_at)
