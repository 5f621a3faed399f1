"""Offers an assigned task to the workers of its agent, and takes the offer back when the task ends without them.

A worker takes the offer, does the task and ends it with a command whose id is `<task_id>/end`; the offer is gone once it says so to the
queue. What a task is about is told with the offer, so that a worker asks nobody.
"""

from collections.abc import Sequence
from typing import Any

from events.envelope import Envelope
from events.task import (
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskEvent,
    TaskFailed,
    TaskHandedOver,
    TaskRequested,
    TaskStarted,
    TaskTimedOut,
)
from infra.patterns.work import Offer, Work


def offer(history: Sequence[Envelope[TaskEvent]]) -> Offer | None:
    content: dict[str, Any] = {}
    agent_id, begun = "", False
    for envelope in history:
        match envelope.event:
            case TaskRequested() as requested:
                origin = envelope.origin
                content = {
                    "task_id": envelope.entity_id,
                    "tenant_id": envelope.tenant_id,
                    "title": requested.title,
                    "capability": requested.capability,
                    "input": requested.input,
                    "requested_at": envelope.occurred_at,
                    "deadline_at": requested.deadline_at,
                    "correlation_id": origin.correlation_id,
                    "traceparent": origin.traceparent,
                }
            case TaskAssigned() as assigned:
                agent_id = assigned.agent_id
            case TaskStarted():
                begun = True
            case TaskCompleted() | TaskFailed() | TaskCancelled() | TaskTimedOut() | TaskHandedOver():
                return None
            case _:
                pass
    return Offer(agent_id, {**content, "agent_id": agent_id}, begun)


def leaves_offer(envelope: Envelope[TaskEvent]) -> bool:
    """Whether somebody else than a worker ended the task."""
    return envelope.origin.command_id != f"{envelope.entity_id}/end"


OFFER_TASKS_ON_ASSIGNMENT = Work(
    name="offer_tasks_on_assignment",
    version=1,
    begins=(TaskAssigned,),
    ends=(TaskCompleted, TaskFailed, TaskCancelled, TaskTimedOut, TaskHandedOver),
    tells=(TaskRequested, TaskStarted),
    offer=offer,
    leaves_offer=leaves_offer,
)
