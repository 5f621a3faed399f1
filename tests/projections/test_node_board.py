"""The node board."""

import pytest

from events.node import (
    GpuShare,
    NodeDrained,
    NodeRegistered,
    NodeReleased,
    NodeReservationRefused,
    NodeReserved,
    NodeRetired,
    NodeWentOffline,
    NodeWentOnline,
)
from projections.node_board import NODE_BOARD

REGISTERED = NodeRegistered(
    name="n", cpu_milli=4_000, memory_mib=1_000, gpu_count=2, gpu_model="T4", labels={"zone": "a"}
)


def reserved(job_id="j1", attempt=1, cpu_milli=1_000, memory_mib=100, gpus=()):
    shares = tuple(GpuShare(index=index, milli=milli) for index, milli in gpus)
    return NodeReserved(job_id=job_id, attempt=attempt, cpu_milli=cpu_milli, memory_mib=memory_mib, gpus=shares)


@pytest.fixture
def board(read_model):
    return read_model(NODE_BOARD)


class TestTheNodeBoard:
    def test_keeps_tenants_and_nodes_apart(self, board):
        board.given("acme", "node-n1", REGISTERED).given("acme", "node-n2", REGISTERED)
        board.given("other", "node-n1", REGISTERED).given("acme", "node-n1", NodeWentOnline(), reserved())
        board.then("acme", "n1", status="online", cpu_milli_reserved=1_000, version=3, position=5)
        board.then("acme", "n2", status="registered", cpu_milli_reserved=0, version=1, position=2)
        board.then("other", "n1", status="registered", cpu_milli_reserved=0, version=1, position=3)

    def test_shows_the_capacity_of_a_node(self, board):
        board.given("acme", "node-n1", REGISTERED)
        board.then("acme", "n1", name="n", cpu_milli=4_000, memory_mib=1_000, gpu_count=2, gpu_model="T4")
        board.then("acme", "n1", labels={"zone": "a"}, gpus=(0, 0), registered_at=board.at(1), draining=False)

    def test_shows_the_kinds_of_jobs_that_a_node_does(self, board):
        named = REGISTERED.model_copy(update={"kinds": ("container", "train")})
        board.given("acme", "node-n1", REGISTERED).given("acme", "node-n2", named, NodeWentOnline())
        board.then("acme", "n1", kinds=None).then("acme", "n2", kinds=("container", "train"))

    def test_follows_a_node_on_and_off(self, board):
        board.given("acme", "node-n1", REGISTERED, NodeWentOnline(), NodeWentOffline(last_seen_at=board.at(1)))
        board.then("acme", "n1", status="offline", last_seen_at=board.at(1))
        board.given("acme", "node-n1", NodeWentOnline(), NodeDrained()).then(
            "acme", "n1", status="online", draining=True
        )
        board.given("acme", "node-n1", NodeRetired()).then("acme", "n1", status="retired")

    def test_adds_up_what_is_reserved(self, board):
        board.given("acme", "node-n1", REGISTERED, reserved("j1", gpus=[(0, 400)]), reserved("j2", 3, gpus=[(0, 600)]))
        board.then("acme", "n1", cpu_milli_reserved=2_000, memory_mib_reserved=200, gpu_milli_reserved=1_000)
        board.then("acme", "n1", gpus=(1_000, 0), over_capacity=False)
        assert list(board.row("acme", "n1").reservations) == ["j1/1", "j2/3"]

    def test_gives_back_what_is_released(self, board):
        board.given("acme", "node-n1", REGISTERED, reserved("j1", gpus=[(0, 1_000), (1, 1_000)]), reserved("j2"))
        board.given("acme", "node-n1", NodeReleased(job_id="j1", attempt=1))
        board.then("acme", "n1", cpu_milli_reserved=1_000, memory_mib_reserved=100, gpu_milli_reserved=0, gpus=(0, 0))
        assert list(board.row("acme", "n1").reservations) == ["j2/1"]

    def test_counts_a_refusal_and_an_unknown_release_as_events_only(self, board):
        board.given("acme", "node-n1", REGISTERED, reserved())
        board.given("acme", "node-n1", NodeReservationRefused(job_id="j2", attempt=1, reason="full"))
        board.given("acme", "node-n1", NodeReleased(job_id="j2", attempt=1))
        board.then("acme", "n1", cpu_milli_reserved=1_000, version=4, position=4)


class TestANodeWithMoreReservedThanItHas:
    @pytest.mark.parametrize(
        "too_much",
        [
            [reserved(cpu_milli=4_001)],
            [reserved(memory_mib=1_001)],
            [reserved("j1", gpus=[(1, 600)]), reserved("j2", gpus=[(1, 401)])],
            [reserved(gpus=[(2, 1)])],
            [reserved(cpu_milli=2_001), reserved(cpu_milli=2_000)],
        ],
        ids=["processor time", "memory", "one GPU", "a GPU that is not there", "one attempt twice"],
    )
    def test_is_marked_for_ever(self, board, too_much):
        board.given("acme", "node-n1", REGISTERED, *too_much).then("acme", "n1", over_capacity=True)
        for event in too_much:
            board.given("acme", "node-n1", NodeReleased(job_id=event.job_id, attempt=event.attempt))
        board.then("acme", "n1", over_capacity=True)

    def test_is_not_marked_when_it_is_just_full(self, board):
        full = reserved(cpu_milli=4_000, memory_mib=1_000, gpus=[(0, 1_000), (1, 1_000)])
        board.given("acme", "node-n1", REGISTERED, full).then("acme", "n1", over_capacity=False, gpus=(1_000, 1_000))
