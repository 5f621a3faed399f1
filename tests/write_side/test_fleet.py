"""The decider of the fleet."""

import pytest

from events.fleet import FleetNodeAdded, FleetNodeRemoved
from events.job import Requirements
from write_side.fleet import FLEET, FLEET_STREAM, AddFleetNode, NoNodeCanHold, RemoveFleetNode, require_room

SMALL = FleetNodeAdded(node_id="n1", cpu_milli=4_000, memory_mib=1_024)
LARGE = FleetNodeAdded(node_id="n2", cpu_milli=96_000, memory_mib=512_000, gpu_count=8, gpu_model="T4")


CONTAINERS = FleetNodeAdded(node_id="n3", cpu_milli=8_000, memory_mib=4_096, kinds=("container", "build"))


def need(**fields):
    return Requirements(**{"cpu_milli": 1_000, "memory_mib": 512, **fields})


class TestTheFleet:
    def test_is_one_stream(self):
        assert FLEET.stream_of(RemoveFleetNode(node_id="n1")) == FLEET_STREAM == "fleet-all"

    def test_counts_a_node_in(self, given):
        given(FLEET).when(AddFleetNode(node_id="n1", cpu_milli=4_000, memory_mib=1_024)).then(SMALL)

    def test_keeps_which_kinds_of_jobs_a_node_does(self, given):
        kinds = ["container", "build"]
        command = AddFleetNode(node_id="n3", cpu_milli=8_000, memory_mib=4_096, kinds=kinds)
        given(FLEET).when(command).then(CONTAINERS)

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
        require_room("k", need(**fields), FLEET.fold([SMALL, LARGE]))

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
            require_room("k", need(**fields), FLEET.fold([SMALL, LARGE]))

    def test_is_not_the_sum_of_several_nodes(self):
        nodes = [SMALL, SMALL.model_copy(update={"node_id": "n3"})]
        with pytest.raises(NoNodeCanHold):
            require_room("k", need(cpu_milli=8_000), FLEET.fold(nodes))

    def test_is_still_there_while_one_of_two_equal_nodes_remains(self):
        nodes = [LARGE, LARGE.model_copy(update={"node_id": "n3"}), FleetNodeRemoved(node_id="n2"), SMALL]
        require_room("k", need(gpu_count=8), FLEET.fold(nodes))
        with pytest.raises(NoNodeCanHold):
            require_room("k", need(gpu_count=8), FLEET.fold([*nodes, FleetNodeRemoved(node_id="n3")]))

    def test_is_not_known_before_the_first_node(self):
        require_room("k", need(gpu_count=64), FLEET.initial)


class TestKindsInTheFleet:
    def test_are_all_done_by_a_node_that_names_none(self):
        require_room("container", need(), FLEET.fold([SMALL]))

    def test_are_done_by_a_node_that_names_them(self):
        for kind in ("container", "build"):
            require_room(kind, need(cpu_milli=8_000), FLEET.fold([SMALL, CONTAINERS]))

    def test_are_not_done_by_any_other(self):
        with pytest.raises(NoNodeCanHold, match="no node of the fleet does jobs of the kind Container") as caught:
            require_room("Container", need(), FLEET.fold([CONTAINERS]))
        assert caught.value.details == {"kind": "Container"}

    def test_need_room_on_a_node_that_does_them(self):
        with pytest.raises(NoNodeCanHold, match="even if it were empty"):
            require_room(
                "container", need(gpu_count=1), FLEET.fold([LARGE.model_copy(update={"kinds": ("k",)}), CONTAINERS])
            )

    def test_are_the_same_in_any_order(self):
        other = CONTAINERS.model_copy(update={"node_id": "n4", "kinds": ("build", "container")})
        assert len(FLEET.fold([CONTAINERS, other]).capacities) == 1

    def test_are_gone_with_the_last_node_that_does_them(self):
        with pytest.raises(NoNodeCanHold):
            require_room(
                "container",
                need(),
                FLEET.fold([CONTAINERS, LARGE.model_copy(update={"kinds": ("k",)}), FleetNodeRemoved(node_id="n3")]),
            )
