"""What is played is in an order in which it can be played, and is the same each time."""

import pytest

from read_side.demo.invented import invented_scenario
from read_side.demo.node_choice import needs_of
from read_side.demo.pace import IDLE_S_MAX, Pace, moments
from read_side.demo.scenario import GraphHasRing, GraphTask, Pod, Scenario, parents_first
from read_side.demo.totals import totals_of


def task(task_id: str, *parents: str) -> GraphTask:
    return GraphTask(task_id, task_id, task_id, parents, 1_000, 64, 0)


def pod(created_s: int) -> Pod:
    return Pod(f"pod-{created_s}", 1_000, 64, 0, 0, (), "LS", "completed", created_s, 1_000)


class TestTheTasksOfAGraph:
    def test_come_after_their_parents(self) -> None:
        ordered = parents_first([task("d", "b", "c"), task("b", "a"), task("c", "a"), task("a")])
        assert [each.id for each in ordered] == ["a", "b", "c", "d"]

    def test_may_not_wait_for_each_other(self) -> None:
        with pytest.raises(GraphHasRing):
            parents_first([task("a", "b"), task("b", "a")])

    def test_may_not_wait_for_what_is_not_there(self) -> None:
        with pytest.raises(GraphHasRing):
            parents_first([task("a", "elsewhere")])


class TestTheInventedScenario:
    def test_is_the_same_each_time(self, scenario: Scenario) -> None:
        assert scenario == invented_scenario()

    def test_has_every_kind_of_ending(self, scenario: Scenario) -> None:
        totals = totals_of(scenario)
        assert set(totals.runs) == {"completed", "failed", "handed_over"}
        assert set(totals.pods) == {"completed", "failed", "cancelled"}
        assert totals.edges > totals.pipelines

    def test_fits_on_its_nodes(self, scenario: Scenario) -> None:
        shapes = [node.shape for node in scenario.nodes]
        assert all(any(need.fits(shape) for shape in shapes) for need in needs_of(scenario.pods, scenario.graphs))


class TestTheCompressedClock:
    def test_spreads_the_pods_over_the_span(self) -> None:
        assert [moment for moment, _ in moments([pod(100), pod(160), pod(220)], 10.0)] == [0.0, 5.0, 10.0]

    def test_cuts_long_idle_times(self) -> None:
        pods = [pod(0), pod(IDLE_S_MAX), pod(IDLE_S_MAX * 1_000)]
        assert [moment for moment, _ in moments(pods, 10.0)] == [0.0, 5.0, 10.0]

    def test_takes_pods_that_all_come_at_once(self) -> None:
        assert [moment for moment, _ in moments([pod(7), pod(7)], 10.0)] == [0.0, 0.0]

    def test_takes_no_pods(self) -> None:
        assert list(moments([], 10.0)) == []

    def test_bounds_the_time_of_an_attempt(self) -> None:
        pace = Pace(1.0, 1.0, 0.03, 0.0, 0.0, 1.0)
        assert pace.attempt_s(1_000) < 0.001
        assert pace.attempt_s(10**12) == 0.03

    def test_takes_less_time_for_few_pods(self) -> None:
        pace = Pace(15.0, 400.0, 0.03, 0.0, 0.0, 1.0)
        assert (pace.span_s(400), pace.span_s(80_000)) == (1.0, 15.0)
