"""A person whom runs ask for approval: says yes to everything, once."""

from typing import Literal

from pydantic import BaseModel

from read_side.demo.client import CommandSender, command
from read_side.demo.queries import QueryClient


class DecisionSeen(BaseModel):
    actor: str
    decision: Literal["approve", "reject"]


class ApprovalSeen(BaseModel):
    """An approval as the query API gives it."""

    approval_id: str
    status: str
    decisions: list[DecisionSeen]


async def approve_all(person: str, sender: CommandSender, queries: QueryClient, after: int) -> None:
    """Approve what this person is asked after a position, for ever; the sender must be the person's own."""
    async for event in queries.live("approval.requested", after):
        people = event.data.get("people")
        if isinstance(people, list) and person in people:
            approval_id = event.entity_id
            fields = {"approval_id": approval_id, "decision": "approve"}
            await sender.send_accepted(command("DecideApproval", f"{approval_id}-decide", **fields))
