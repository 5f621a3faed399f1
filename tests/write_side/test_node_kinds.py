"""Nodes that say which kinds of jobs they do."""

import pytest
from pydantic import ValidationError

from events.job import Requirements
from events.node import (
    KINDS_MAX,
    NodeRegistered,
    NodeReleased,
    NodeReservationRefused,
    NodeReserved,
    NodeWentOnline,
)
from write_side.node import NODE, RegisterNode, ReserveNode

SHAPE = {"name": "n1", "cpu_milli": 8_000, "memory_mib": 1_000}
NAMED = NodeRegistered(**SHAPE, kinds=("container", "train"))
RESERVED = NodeReserved(job_id="j1", attempt=1, cpu_milli=1_000, memory_mib=100)
NEED = Requirements(cpu_milli=1_000, memory_mib=100)


def reserve(kind, job_id="j1"):
    return ReserveNode(node_id="n1", job_id=job_id, attempt=1, requirements=NEED, kind=kind)


class TestANodeThatNamesKinds:
    def test_is_registered_with_them(self, given):
        given(NODE).when(RegisterNode(node_id="n1", **SHAPE, kinds=["container", "train"])).then(NAMED)

    def test_is_counted_into_the_fleet_with_them(self):
        companions = NODE.companions(RegisterNode(node_id="n1", **SHAPE, kinds=["train"]), NODE.initial)
        assert [companion.kinds for companion in companions] == [("train",)]

    @pytest.mark.parametrize(
        "kinds",
        [[], ["train", "train"], [""], ["a|b"], [f"k{number}" for number in range(KINDS_MAX + 1)]],
        ids=["none", "twice", "empty", "no label", "too many"],
    )
    def test_names_some_different_ones(self, kinds):
        with pytest.raises(ValidationError):
            RegisterNode(node_id="n1", **SHAPE, kinds=kinds)

    def test_may_name_many(self):
        RegisterNode(node_id="n1", **SHAPE, kinds=[f"k{number}" for number in range(KINDS_MAX)])

    def test_refuses_jobs_of_other_kinds(self, given):
        refused = NodeReservationRefused(job_id="j1", attempt=1, reason="the node does no jobs of the kind render")
        given(NODE, NAMED, NodeWentOnline()).when(reserve("render")).then(refused)

    def test_still_knows_them_after_jobs_have_come_and_gone(self, given):
        after = [NAMED, NodeWentOnline(), RESERVED, NodeReleased(job_id="j1", attempt=1)]
        (refused,) = given(NODE, *after).when(reserve("render", "j2")).events
        assert isinstance(refused, NodeReservationRefused)

    @pytest.mark.parametrize("kind", ["container", "train", None])
    def test_takes_these_and_those_of_which_it_does_not_know(self, given, kind):
        given(NODE, NAMED, NodeWentOnline()).when(reserve(kind)).then(RESERVED)

    def test_is_the_only_one_to_refuse_kinds(self, given):
        given(NODE, NodeRegistered(**SHAPE), NodeWentOnline()).when(reserve("render")).then(RESERVED)
