"""Places queued jobs on nodes: reserves room on the node, assigns the job, and undoes the first when the second fails.

An attempt goes ReserveNode -> node.reserved -> AssignJob -> job.assigned -> (it ends) -> ReleaseNode. What the saga
knows of a job or a node is exact as of the event it sees, since it sees all of them; only its own commands may still be
under way, and each ReserveNode and AssignJob is answered by an event. So whatever came in between is found out at the
answer: room reserved for what is no longer wanted is released, an attempt assigned to a node that has lost it is queued
again.
"""

from events.envelope import Envelope
from events.job import (
    JobAssigned,
    JobAssignmentRefused,
    JobAttemptFailed,
    JobCancelled,
    JobCompleted,
    JobEvent,
    JobFailed,
    JobQueued,
    JobRequeued,
    JobSubmitted,
)
from events.node import (
    NodeDrained,
    NodeEvent,
    NodeRegistered,
    NodeReleased,
    NodeReservationRefused,
    NodeReserved,
    NodeRetired,
    NodeWentOffline,
    NodeWentOnline,
)
from infra.patterns.decider import Command
from infra.patterns.saga import Saga
from sagas.node_room import NodeRoom
from sagas.placement import Placement, Placements, Turn, dequeue, enqueue, let_go, settle, tell_apart
from write_side.job import AssignJob, RequeueJob
from write_side.node import ReleaseNode


def react(envelope: Envelope[JobEvent | NodeEvent], state: Placements) -> list[Command]:
    turn = Turn()
    match envelope.event:
        case (
            NodeRegistered()
            | NodeWentOnline()
            | NodeWentOffline()
            | NodeDrained()
            | NodeRetired()
            | NodeReserved()
            | NodeReservationRefused()
            | NodeReleased()
        ) as event:
            _react_to_node(event, envelope.entity_id, state, turn)
        case JobSubmitted() as event:
            job = Placement(kind=event.kind, need=event.requirements, priority=event.priority, age=envelope.position)
            state.jobs[envelope.entity_id] = job
            if not event.waits_for:
                enqueue(state, turn, envelope.entity_id, job)
        case event:
            _react_to_job(event, envelope.entity_id, state, turn)
    settle(state, turn)
    return turn.commands


def _react_to_job(event: JobEvent, job_id: str, state: Placements, turn: Turn) -> None:
    if isinstance(event, JobAssignmentRefused):
        _release(state, turn, event.node_id, job_id, event.attempt)
    job = state.jobs.get(job_id)
    if job is None:
        return
    match event:
        case JobQueued(attempt=attempt) if job.status == "waiting":
            job.attempt = attempt
            enqueue(state, turn, job_id, job)
        case JobAssigned():
            _on_assigned(event, job_id, job, state, turn)
        case JobAssignmentRefused(node_id=node_id, attempt=attempt):
            if (job.status, job.node_id, job.attempt) == ("reserved", node_id, attempt):
                enqueue(state, turn, job_id, job)
        case JobAttemptFailed():
            _give_up(state, turn, job_id, job)
            job.status, job.node_id = "waiting", None
        case JobRequeued(attempt=attempt):
            _give_up(state, turn, job_id, job)
            job.attempt = attempt + 1
            enqueue(state, turn, job_id, job)
        case JobCompleted() | JobFailed() | JobCancelled():
            _give_up(state, turn, job_id, job)
            del state.jobs[job_id]
        case _:
            pass


def _on_assigned(event: JobAssigned, job_id: str, job: Placement, state: Placements, turn: Turn) -> None:
    """The node may have gone while the assignment was under way; then it holds the room no longer."""
    job.status, job.node_id, job.attempt = "assigned", event.node_id, event.attempt
    room = state.nodes.get(event.node_id)
    claim = room.claim_of(job_id, event.attempt) if room else None
    if claim is None or claim.status != "held":
        turn.commands.append(_requeue(job_id, event.attempt, event.node_id))


def _give_up(state: Placements, turn: Turn, job_id: str, job: Placement) -> None:
    """Leave the queue, or give back what the node holds; what is only asked for is given back when it is answered."""
    if job.status == "queued":
        dequeue(state, turn, job_id, job)
    elif job.node_id is not None:
        _release(state, turn, job.node_id, job_id, job.attempt)


def _release(state: Placements, turn: Turn, node_id: str, job_id: str, attempt: int) -> None:
    room = state.nodes.get(node_id)
    claim = room.claim_of(job_id, attempt) if room else None
    if claim is not None and claim.status == "held":
        claim.status = "releasing"
        turn.commands.append(ReleaseNode(node_id=node_id, job_id=job_id, attempt=attempt))


def _requeue(job_id: str, attempt: int, node_id: str) -> RequeueJob:
    return RequeueJob(job_id=job_id, attempt=attempt, reason=f"node {node_id} went offline")


def _react_to_node(event: NodeEvent, node_id: str, state: Placements, turn: Turn) -> None:
    if isinstance(event, NodeRegistered):
        state.nodes[node_id] = NodeRoom.empty(event)
        tell_apart(state, event.kinds or ())
        return
    room = state.nodes.get(node_id)
    if room is None:
        return
    match event:
        case NodeReserved():
            if room.hold(event):
                turn.gained.append(node_id)
            _on_reserved(event, node_id, state, turn)
        case NodeReleased(job_id=job_id, attempt=attempt):
            room.drop(job_id, attempt)
            turn.review, room.closed = room.closed, False
            turn.gained.append(node_id)
        case NodeReservationRefused():
            _on_refused(event, node_id, room, state, turn)
        case NodeWentOnline():
            room.online, room.closed = True, False
            turn.gained.append(node_id)
            turn.review = True
        case NodeWentOffline():
            room.online = False
            _abandon(node_id, room, state, turn)
            _close(node_id, state, turn)
        case NodeDrained():
            room.draining = True
            _close(node_id, state, turn)
        case NodeRetired():
            _on_retired(node_id, room, state, turn)
        case _:
            pass


def _on_reserved(event: NodeReserved, node_id: str, state: Placements, turn: Turn) -> None:
    job_id, attempt = event.job_id, event.attempt
    job = _asked(state, node_id, job_id, attempt)
    if job is not None:
        job.status, job.overtaken = "reserved", 0
        turn.commands.append(AssignJob(job_id=job_id, attempt=attempt, node_id=node_id, gpus=event.gpus))
    else:
        _release(state, turn, node_id, job_id, attempt)


def _on_refused(event: NodeReservationRefused, node_id: str, room: NodeRoom, state: Placements, turn: Turn) -> None:
    """Back into the queue; a node that refuses what seems to fit has a reason of its own and is left alone."""
    job_id, attempt = event.job_id, event.attempt
    room.drop(job_id, attempt)
    turn.gained.append(node_id)
    job = _asked(state, node_id, job_id, attempt)
    if job is not None:
        if room.fits(job.kind, job.need):
            room.closed = True
            _close(node_id, state, turn)
        enqueue(state, turn, job_id, job)


def _on_retired(node_id: str, room: NodeRoom, state: Placements, turn: Turn) -> None:
    """It has no reservations then, and whatever is still asked of it will be refused."""
    del state.nodes[node_id]
    _close(node_id, state, turn)
    for _, claim in sorted(room.claims.items()):
        job = _asked(state, node_id, claim.job_id, claim.attempt)
        if job is not None:
            enqueue(state, turn, claim.job_id, job)


def _asked(state: Placements, node_id: str, job_id: str, attempt: int) -> Placement | None:
    """The job, if this node was asked for room for this attempt and the job still wants it."""
    job = state.jobs.get(job_id)
    wanted = job is not None and (job.status, job.node_id, job.attempt) == ("asked", node_id, attempt)
    return job if wanted else None


def _abandon(node_id: str, room: NodeRoom, state: Placements, turn: Turn) -> None:
    """Queue again what ran on a lost node. An assignment that is still under way is dealt with when it is answered."""
    for _, claim in sorted(room.claims.items()):
        job = state.jobs.get(claim.job_id)
        assigned = job is not None and (job.status, job.node_id, job.attempt) == ("assigned", node_id, claim.attempt)
        if claim.status == "held" and assigned:
            turn.commands.append(_requeue(claim.job_id, claim.attempt, node_id))
        _release(state, turn, node_id, claim.job_id, claim.attempt)


def _close(node_id: str, state: Placements, turn: Turn) -> None:
    """A node that takes no jobs cannot be held back for one."""
    if state.held_back is not None and state.held_back.node_id == node_id:
        let_go(state, turn)


PLACE_JOBS_ON_NODES = Saga(
    name="place_jobs_on_nodes",
    version=2,
    state=Placements,
    handles=(
        NodeRegistered,
        NodeWentOnline,
        NodeWentOffline,
        NodeDrained,
        NodeRetired,
        NodeReserved,
        NodeReservationRefused,
        NodeReleased,
        JobSubmitted,
        JobQueued,
        JobAssigned,
        JobAssignmentRefused,
        JobAttemptFailed,
        JobRequeued,
        JobCompleted,
        JobFailed,
        JobCancelled,
    ),
    react=react,
)
