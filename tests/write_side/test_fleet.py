"""The decider of the fleet."""

import pytest

from events.fleet import FleetNodeAdded, FleetNodeRemoved
from events.job import Requirements
from write_side.fleet import FLEET, FLEET_STREAM, AddFleetNode, NoNodeCanHold, RemoveFleetNode, require_room

SMALL = FleetNodeAdded(node_id="n1", cpu_milli=4_000, memory_mib=1_024)
LARGE = FleetNodeAdded(node_id="n2", cpu_milli=96_000, memory_mib=512_000, gpu_count=8, gpu_model="T4")


def need(**fields):
    return Requirements(**{"cpu_milli": 1_000, "memory_mib": 512, **fields})


class TestTheFleet:
    def test_is_one_stream(self):
        assert FLEET.stream_of(RemoveFleetNode(node_id="n1")) == FLEET_STREAM == "fleet-all"

    def test_counts_a_node_in(self, given):
        given(FLEET).when(AddFleetNode(node_id="n1", cpu_milli=4_000, memory_mib=1_024)).then(SMALL)

    def test_counts_a_node_in_once(self, given):
        given(FLEET, SMALL).when(AddFleetNode(node_id="n1", cpu_milli=4_000, memory_mib=1_024)).then_nothing()

    def test_counts_a_node_out(self, given):
        given(FLEET, SMALL).when(RemoveFleetNode(node_id="n1")).then(FleetNodeRemoved(node_id="n1"))

    def test_counts_out_only_what_it_has(self, given):
        given(FLEET, SMALL).when(RemoveFleetNode(node_id="n2")).then_nothing()

    def test_forgets_a_node_that_was_counted_out(self):
        assert FLEET.fold([SMALL, FleetNodeRemoved(node_id="n1")]) == FLEET.initial


class TestRoomInTheFleet:
    @pytest.mark.parametrize(
        "fields",
        [
            {"cpu_milli": 96_000, "memory_mib": 512_000, "gpu_count": 8},
            {"gpu_count": 1, "gpu_milli": 1, "gpu_models": ["V100", "T4"]},
            {"gpu_models": ["V100"]},
        ],
        ids=str,
    )
    def test_is_there_for_what_one_node_could_hold(self, fields):
        require_room(need(**fields), FLEET.fold([SMALL, LARGE]))

    @pytest.mark.parametrize(
        "fields",
        [
            {"cpu_milli": 96_001},
            {"memory_mib": 512_001},
            {"gpu_count": 9},
            {"gpu_count": 1, "gpu_models": ["V100"]},
            {"gpu_count": 1, "gpu_models": ["t4"]},
        ],
        ids=str,
    )
    def test_is_not_there_for_more_than_any_node_has(self, fields):
        with pytest.raises(NoNodeCanHold):
            require_room(need(**fields), FLEET.fold([SMALL, LARGE]))

    def test_is_not_the_sum_of_several_nodes(self):
        nodes = [SMALL, SMALL.model_copy(update={"node_id": "n3"})]
        with pytest.raises(NoNodeCanHold):
            require_room(need(cpu_milli=8_000), FLEET.fold(nodes))

    def test_is_still_there_while_one_of_two_equal_nodes_remains(self):
        nodes = [LARGE, LARGE.model_copy(update={"node_id": "n3"}), FleetNodeRemoved(node_id="n2"), SMALL]
        require_room(need(gpu_count=8), FLEET.fold(nodes))
        with pytest.raises(NoNodeCanHold):
            require_room(need(gpu_count=8), FLEET.fold([*nodes, FleetNodeRemoved(node_id="n3")]))

    def test_is_not_known_before_the_first_node(self):
        require_room(need(gpu_count=64), FLEET.initial)
