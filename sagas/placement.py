"""Which waiting job goes to which node next: pure, and between two events no waiting job fits where it may go.

Every change that gives a node room puts it on the turn's list; `settle` then fills those nodes and only those, so that
the work for an event does not grow with the length of the queue, only with the number of different shapes in it.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Literal

from pydantic import BaseModel, Field

from events.job import Requirements
from infra.patterns.decider import Command
from sagas.job_queue import JobQueue, Rank
from sagas.node_room import NodeRoom
from write_side.node import ReserveNode

OVERTAKEN_MAX = 100


class Placement(BaseModel):
    """A job that has not ended.

    `waiting` for its dependencies or its next attempt, `queued`, `asked` of a node, `reserved` there, or `assigned`.
    `age` is the position of its submission. `overtaken` counts the later jobs that were placed while it was the first
    of its shape in the queue.
    """

    kind: str
    need: Requirements
    priority: int
    age: int
    attempt: int = 1
    status: Literal["waiting", "queued", "asked", "reserved", "assigned"] = "waiting"
    node_id: str | None = None
    overtaken: int = 0


class HeldBack(BaseModel):
    """A node that takes no other job until this one fits, because too many have overtaken it."""

    job_id: str
    node_id: str


class Placements(BaseModel):
    """What placement knows of a tenant: its nodes, its jobs that have not ended, and those of them that are queued."""

    nodes: dict[str, NodeRoom] = {}
    jobs: dict[str, Placement] = {}
    queue: JobQueue = Field(default_factory=JobQueue)
    held_back: HeldBack | None = None


@dataclass(slots=True)
class Turn:
    """One reaction: its commands, and what is to be settled before it ends.

    `gained` are nodes with new room, `arrived` shapes for which no node was tested yet; `review` asks whether a node
    should be held back.
    """

    commands: list[Command] = field(default_factory=list)
    gained: list[str] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)
    review: bool = False


def rank_of(job_id: str, job: Placement) -> Rank:
    return -job.priority, job.age, job_id


def enqueue(state: Placements, turn: Turn, job_id: str, job: Placement) -> None:
    """Let a job be placed. Where another of its shape waits no node need be tested: that one fits nowhere either."""
    job.status, job.node_id = "queued", None
    turn.review = turn.review or job.overtaken > OVERTAKEN_MAX
    if state.queue.add(job.kind, job.need, rank_of(job_id, job)):
        turn.arrived.append(state.queue.key_of(job.kind, job.need))


def dequeue(state: Placements, turn: Turn, job_id: str, job: Placement) -> None:
    """Take a queued job out, and let go of the node that was held back for it."""
    state.queue.remove(job.kind, job.need, rank_of(job_id, job))
    if state.held_back is not None and state.held_back.job_id == job_id:
        let_go(state, turn)


def tell_apart(state: Placements, kinds: Iterable[str]) -> None:
    """Keep waiting jobs of these kinds in shapes of their own from now on, since a node does them and not all others."""
    named = state.queue.kinds_named.union(kinds)
    if named == state.queue.kinds_named:
        return
    before, state.queue = state.queue.shapes, JobQueue(kinds_named=named)
    for shape in before.values():
        for rank in shape.ranks:
            state.queue.add(state.jobs[rank[2]].kind, shape.need, rank)


def let_go(state: Placements, turn: Turn) -> None:
    """Hold no node back any more; it gains what the others may now use."""
    if state.held_back is not None:
        turn.gained.append(state.held_back.node_id)
        turn.review = True
        state.held_back = None


def settle(state: Placements, turn: Turn) -> None:
    """Place until nothing more fits; nodes with new room first, so that an arrival takes its turn among the waiting."""
    while turn.review or turn.gained or turn.arrived:
        if turn.review:
            turn.review = False
            _hold_back(state)
        elif turn.gained:
            _fill(state, turn, turn.gained.pop(0))
        else:
            _place_arrival(state, turn, turn.arrived.pop(0))


def _place_arrival(state: Placements, turn: Turn, key: str) -> None:
    """Put the first job of a shape where it wastes least, and then see to the next of that shape."""
    shape = state.queue.shapes.get(key)
    if shape is None:
        return
    rank = shape.ranks[0]
    job_id = rank[2]
    job = state.jobs[job_id]
    node_id = _best_node(state, job_id, job)
    if node_id is not None:
        dequeue(state, turn, job_id, job)
        _ask(state, turn, job_id, job, node_id)
        _count_overtaken(state, turn, [rank])
        turn.arrived.append(key)


def _fill(state: Placements, turn: Turn, node_id: str) -> None:
    """Give a node with new room the first jobs in order that fit it."""
    room = state.nodes.get(node_id)
    if room is None or not room.takes_jobs:
        return
    if state.held_back is not None and state.held_back.node_id == node_id:
        placed = _place_guarded(state, turn, state.held_back.job_id, room)
    else:
        placed = _place_fitting(state, turn, node_id, room)
    if placed:
        _count_overtaken(state, turn, placed)


def _place_guarded(state: Placements, turn: Turn, job_id: str, room: NodeRoom) -> list[Rank]:
    job = state.jobs[job_id]
    if state.held_back is None or not _may_take(room, job_id, job):
        return []
    node_id = state.held_back.node_id
    dequeue(state, turn, job_id, job)
    _ask(state, turn, job_id, job, node_id)
    return [rank_of(job_id, job)]


def _place_fitting(state: Placements, turn: Turn, node_id: str, room: NodeRoom) -> list[Rank]:
    """Go down the queue once: what does not fit at first will not fit after others were placed."""
    leading = [(shape.ranks[0], key) for key, shape in state.queue.shapes.items() if room.fits(shape.kind, shape.need)]
    heapify(leading)
    placed: list[Rank] = []
    while leading:
        rank, key = heappop(leading)
        job_id = rank[2]
        job = state.jobs[job_id]
        if not _may_take(room, job_id, job):
            continue
        dequeue(state, turn, job_id, job)
        _ask(state, turn, job_id, job, node_id)
        placed.append(rank)
        if key in state.queue.shapes:
            heappush(leading, (state.queue.shapes[key].ranks[0], key))
    return placed


def _may_take(room: NodeRoom, job_id: str, job: Placement) -> bool:
    """A node that still has this very attempt would not answer a second request for it."""
    return room.fits(job.kind, job.need) and room.claim_of(job_id, job.attempt) is None


def _best_node(state: Placements, job_id: str, job: Placement) -> str | None:
    """Where a job wastes least; a node that is held back is so for another."""
    not_this = state.held_back.node_id if state.held_back and state.held_back.job_id != job_id else None
    fitting = [
        (*room.waste(job.need), node_id)
        for node_id, room in state.nodes.items()
        if node_id != not_this and _may_take(room, job_id, job)
    ]
    return min(fitting)[-1] if fitting else None


def _ask(state: Placements, turn: Turn, job_id: str, job: Placement, node_id: str) -> None:
    job.status, job.node_id = "asked", node_id
    state.nodes[node_id].ask(job_id, job.attempt, job.need)
    reserve = ReserveNode(node_id=node_id, job_id=job_id, attempt=job.attempt, requirements=job.need, kind=job.kind)
    turn.commands.append(reserve)


def _count_overtaken(state: Placements, turn: Turn, placed: list[Rank]) -> None:
    """Count the placements of later jobs against the first of each shape that stays behind."""
    placed.sort()
    for shape in state.queue.shapes.values():
        first = shape.ranks[0]
        later = len(placed) - bisect_right(placed, first)
        if later:
            job = state.jobs[first[2]]
            job.overtaken += later
            if job.overtaken - later <= OVERTAKEN_MAX < job.overtaken:
                turn.review = True


def _hold_back(state: Placements) -> None:
    """For the first job in order that was overtaken too often, hold back the node that lacks least."""
    if state.held_back is not None:
        return
    firsts = sorted(shape.ranks[0] for shape in state.queue.shapes.values())
    for _, _, job_id in firsts:
        job = state.jobs[job_id]
        if job.overtaken <= OVERTAKEN_MAX:
            continue
        holding = [
            (room.shortage_permille(job.need), node_id)
            for node_id, room in state.nodes.items()
            if room.could_hold(job.kind, job.need)
        ]
        if holding:
            state.held_back = HeldBack(job_id=job_id, node_id=min(holding)[1])
            return
