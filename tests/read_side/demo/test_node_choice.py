"""A few nodes hold every job, and look like the cluster that they stand for."""

from pathlib import Path

import pytest

from read_side.demo.node_choice import Need, NoNodeFits, choose_nodes, needs_of
from read_side.demo.recorded_cluster import load_nodes, load_pods
from read_side.demo.scenario import Node, NodeShape

SMALL = NodeShape(8_000, 16_384, 0, None)
LARGE = NodeShape(96_000, 524_288, 8, "G2")
OTHER = NodeShape(32_000, 131_072, 2, "T4")


def cluster(**counts: int) -> list[Node]:
    shapes = {"small": SMALL, "large": LARGE, "other": OTHER}
    return [Node(f"{name}-{number}", shapes[name]) for name, count in counts.items() for number in range(count)]


class TestTheChosenNodes:
    def test_hold_the_largest_job_even_if_few_nodes_can(self) -> None:
        nodes = choose_nodes(cluster(small=500, large=1), {Need(90_000, 1_024, 0, ()), Need(1_000, 64, 0, ())}, 3)
        assert [node.shape for node in nodes].count(LARGE) == 1

    def test_have_every_gpu_model_that_is_asked_for(self) -> None:
        needs = {Need(1_000, 64, 1, ("T4",)), Need(1_000, 64, 8, ("G2",))}
        shapes = {node.shape for node in choose_nodes(cluster(small=100, large=5, other=5), needs, 10)}
        assert {LARGE, OTHER} <= shapes

    def test_take_any_of_the_models_of_a_job(self) -> None:
        assert Need(1_000, 64, 1, ("P100", "T4")).fits(OTHER)
        assert not Need(1_000, 64, 1, ("P100", "V100")).fits(OTHER)

    def test_have_the_common_shapes_in_proportion(self) -> None:
        shapes = [node.shape for node in choose_nodes(cluster(small=60, large=40), {Need(1, 1, 0, ())}, 10)]
        assert (shapes.count(SMALL), shapes.count(LARGE)) == (6, 4)

    def test_are_no_more_than_there_are(self) -> None:
        assert len(choose_nodes(cluster(small=2, large=1), {Need(1, 1, 0, ())}, 10)) == 3

    def test_are_more_than_wanted_if_it_takes_more(self) -> None:
        needs = {Need(1_000, 64, 1, ("T4",)), Need(1_000, 64, 8, ("G2",))}
        assert len(choose_nodes(cluster(large=5, other=5), needs, 1)) == 2

    def test_are_the_same_each_time(self) -> None:
        needs = {Need(number, 64, 0, ()) for number in range(1, 50)}
        assert choose_nodes(cluster(small=9, other=9), needs, 5) == choose_nodes(cluster(small=9, other=9), needs, 5)

    def test_cannot_be_chosen_when_a_job_fits_nowhere(self) -> None:
        with pytest.raises(NoNodeFits):
            choose_nodes(cluster(small=5), {Need(9_000, 64, 0, ())}, 3)

    @pytest.mark.data
    def test_of_the_recorded_cluster_hold_every_pod(self, recorded_folder: Path) -> None:
        pods = load_pods(recorded_folder)
        nodes = choose_nodes(load_nodes(recorded_folder), needs_of(pods, ()), 10)
        assert len(nodes) == 10
        assert all(any(need.fits(node.shape) for node in nodes) for need in needs_of(pods, ()))
