"""Which job goes where: the order of the queue, the choice of the node, and the guard against starvation."""

import pytest

from events.job import JobAssigned, JobCancelled, JobCompleted, JobSubmitted, Requirements
from events.node import (
    GpuShare,
    NodeDrained,
    NodeRegistered,
    NodeReleased,
    NodeReserved,
    NodeWentOffline,
    NodeWentOnline,
)
from infra.ids import utc_now
from sagas import node_room
from sagas.place_jobs_on_nodes import PLACE_JOBS_ON_NODES
from sagas.placement import OVERTAKEN_MAX
from write_side.node import ReserveNode

SMALL = Requirements(cpu_milli=1_000, memory_mib=100)
LARGE = Requirements(cpu_milli=2_000, memory_mib=100)
SHARE = Requirements(cpu_milli=100, memory_mib=10, gpu_count=1, gpu_milli=400)
WHOLE = Requirements(cpu_milli=100, memory_mib=10, gpu_count=1)
PAIR = Requirements(cpu_milli=100, memory_mib=10, gpu_count=2)


class Fleet:
    """Nodes that grant what is asked of them, and jobs that run until told to end."""

    def __init__(self, story) -> None:
        self.story = story(PLACE_JOBS_ON_NODES)
        self.where: dict[str, str] = {}
        self.needs: dict[str, Requirements] = {}

    def node(self, node_id, cpu_milli=10_000, memory_mib=10_000, gpu_count=0, gpu_model=None, kinds=None) -> "Fleet":
        registered = NodeRegistered(
            name="n",
            cpu_milli=cpu_milli,
            memory_mib=memory_mib,
            gpu_count=gpu_count,
            gpu_model=gpu_model,
            kinds=kinds,
        )
        return self._tell(f"node-{node_id}", registered, NodeWentOnline())

    def submit(self, job_id, need=SMALL, priority=0, kind="k") -> "Fleet":
        self.needs[job_id] = need
        return self._tell(f"job-{job_id}", JobSubmitted(kind=kind, requirements=need, priority=priority))

    def grant(self, job_id, *gpus) -> "Fleet":
        """The node reserves and the job is assigned, with these (index, milli) of its GPUs."""
        need, node_id = self.needs[job_id], self.where[job_id]
        shares = tuple(GpuShare(index=index, milli=milli) for index, milli in gpus)
        reserved = NodeReserved(
            job_id=job_id, attempt=1, cpu_milli=need.cpu_milli, memory_mib=need.memory_mib, gpus=shares
        )
        self._tell(f"node-{node_id}", reserved)
        return self._tell(f"job-{job_id}", JobAssigned(node_id=node_id, attempt=1, gpus=shares))

    def end(self, job_id) -> "Fleet":
        node_id = self.where[job_id]
        self._tell(f"job-{job_id}", JobCompleted(node_id=node_id, attempt=1))
        return self._tell(f"node-{node_id}", NodeReleased(job_id=job_id, attempt=1))

    def tell(self, stream_id, event) -> "Fleet":
        return self._tell(stream_id, event)

    def _tell(self, stream_id, *events) -> "Fleet":
        self.placed: list[str] = []
        for event in events:
            self.story.given(stream_id, event)
            for command in self.story.asked:
                if isinstance(command, ReserveNode):
                    self.where[command.job_id] = command.node_id
                    self.placed.append(command.job_id)
        return self


@pytest.fixture
def fleet(story):
    return Fleet(story)


class TestTheOrder:
    def test_is_priority_then_age(self, fleet):
        fleet.submit("old").submit("new").submit("urgent", priority=9).submit("large", LARGE)
        assert fleet.node("n1", cpu_milli=5_000).placed == ["urgent", "old", "new", "large"]

    def test_lets_a_later_job_pass_one_that_does_not_fit(self, fleet):
        fleet.submit("large", LARGE, priority=9).submit("small")
        assert fleet.node("n1", cpu_milli=1_000).placed == ["small"]

    def test_is_kept_among_jobs_with_the_same_need(self, fleet):
        fleet.node("n1", cpu_milli=1_000).submit("first").grant("first")
        fleet.submit("second").submit("third").submit("urgent", priority=1)
        assert fleet.end("first").placed == ["urgent"]
        assert fleet.grant("urgent").end("urgent").placed == ["second"]

    def test_forgets_a_cancelled_job(self, fleet):
        fleet.submit("a").submit("b").tell("job-a", JobCancelled(attempt=1))
        assert fleet.node("n1", cpu_milli=1_000).placed == ["b"]

    def test_fills_a_node_only_as_far_as_it_goes(self, fleet):
        fleet.submit("a").submit("b").submit("c")
        assert fleet.node("n1", cpu_milli=2_500).placed == ["a", "b"]


class TestTheChoiceOfANode:
    def test_spares_nodes_with_gpus_for_those_that_need_them(self, fleet):
        fleet.node("gpu", cpu_milli=1_000, gpu_count=1, gpu_model="T4").node("cpu", cpu_milli=9_000)
        assert fleet.submit("a").where["a"] == "cpu"

    def test_takes_a_node_with_gpus_when_there_is_no_other(self, fleet):
        assert fleet.node("gpu", gpu_count=1, gpu_model="T4").submit("a").where["a"] == "gpu"

    def test_leaves_the_least_processor_time(self, fleet):
        fleet.node("wide", cpu_milli=4_000).node("tight", cpu_milli=2_000)
        assert fleet.submit("a", LARGE).where["a"] == "tight"

    def test_leaves_the_fewest_whole_gpus(self, fleet):
        fleet.node("four", gpu_count=4, gpu_model="T4").node("two", gpu_count=2, gpu_model="T4")
        assert fleet.submit("a", PAIR).where["a"] == "two"

    def test_puts_a_share_where_one_has_been_begun(self, fleet):
        fleet.node("one", gpu_count=1, gpu_model="T4").node("two", gpu_count=2, gpu_model="T4")
        fleet.submit("a", SHARE).submit("b", SHARE)
        assert (fleet.where["a"], fleet.where["b"]) == ("one", "one")

    def test_never_splits_a_share_over_two_gpus(self, fleet):
        fleet.node("n1", gpu_count=2, gpu_model="T4")
        most = SHARE.model_copy(update={"gpu_milli": 700})
        fleet.submit("a", most).submit("b", most).submit("c", most)
        assert set(fleet.where) == {"a", "b"}

    def test_takes_only_gpus_that_are_wholly_free(self, fleet):
        fleet.node("n1", gpu_count=2, gpu_model="T4").submit("share", SHARE).grant("share", (0, 400))
        assert "pair" not in fleet.submit("pair", PAIR).where
        assert fleet.submit("whole", WHOLE).where["whole"] == "n1"

    def test_takes_any_of_the_models_asked_for(self, fleet):
        fleet.node("a", gpu_count=1, gpu_model="T4").node("b", gpu_count=1, gpu_model="P100")
        picky = WHOLE.model_copy(update={"gpu_models": ("V100", "P100")})
        assert fleet.submit("picky", picky).where["picky"] == "b"
        assert "none" not in fleet.submit("none", WHOLE.model_copy(update={"gpu_models": ("A100",)})).where

    @pytest.mark.parametrize("event", [NodeDrained(), NodeWentOffline(last_seen_at=utc_now())])
    def test_passes_over_a_node_that_takes_no_jobs(self, fleet, event):
        assert fleet.node("n1").tell("node-n1", event).submit("a").placed == []

    def test_asks_no_more_of_a_node_than_it_may_reserve_at_once(self, fleet, monkeypatch):
        monkeypatch.setattr(node_room, "RESERVATIONS_MAX", 2)
        fleet.submit("a").submit("b").submit("c").submit("d")
        assert fleet.node("n1").placed == ["a", "b"]
        assert fleet.grant("a").end("a").placed == ["c"]

    def test_learns_from_the_node_which_gpus_it_gave(self, fleet):
        fleet.node("n1", gpu_count=2, gpu_model="T4").submit("a", SHARE)
        fleet.grant("a", (1, 400))
        assert fleet.story.state.nodes["n1"].gpus_free == [1_000, 600]

    def test_uses_what_a_node_gave_otherwise_than_expected(self, fleet):
        """Asked for: a share of GPU 0 (400), then one of the other (700). Given: both on other ones than expected."""
        most = SHARE.model_copy(update={"gpu_milli": 700})
        fleet.node("n1", gpu_count=2, gpu_model="T4").submit("a", SHARE).submit("b", most).submit("whole", WHOLE)
        assert fleet.where == {"a": "n1", "b": "n1"}
        fleet.tell("node-n1", NodeReserved(job_id="b", attempt=1, cpu_milli=100, memory_mib=10, gpus=()))
        assert fleet.placed == ["whole"]


class TestAJobThatIsOvertakenTooOften:
    @pytest.fixture
    def starved(self, fleet):
        """A large job waits while small ones keep a node of its size half busy, each begun before the other ends."""
        fleet.node("n1", cpu_milli=2_000).submit("s0").grant("s0").submit("large", LARGE, priority=5)
        for number in range(OVERTAKEN_MAX + 1):
            fleet.submit(f"s{number + 1}").grant(f"s{number + 1}").end(f"s{number}")
        return fleet

    def test_gets_a_node_held_back_for_it(self, starved):
        last = f"s{OVERTAKEN_MAX + 1}"
        assert starved.submit("late").placed == []
        assert starved.end(last).placed == ["large"]

    def test_shares_it_with_nobody_until_it_fits_not_even_with_more_urgent_jobs(self, starved):
        assert starved.submit("urgent", priority=9).placed == []

    def test_is_not_guarded_before(self, fleet):
        fleet.node("n1", cpu_milli=2_000).submit("s0").grant("s0").submit("large", LARGE, priority=5)
        for number in range(OVERTAKEN_MAX):
            fleet.submit(f"s{number + 1}").grant(f"s{number + 1}").end(f"s{number}")
        assert fleet.submit("late").placed == ["late"]

    def test_lets_go_of_the_node_when_it_finds_another(self, starved):
        starved.submit("late")
        assert starved.node("n2", cpu_milli=2_000).placed == ["large", "late"]
        assert starved.where["late"] == "n1"

    def test_lets_go_of_the_node_when_it_is_cancelled(self, starved):
        starved.submit("late")
        assert starved.tell("job-large", JobCancelled(attempt=1)).placed == ["late"]

    @pytest.mark.parametrize("event", [NodeDrained(), NodeWentOffline(last_seen_at=utc_now())])
    def test_gets_another_node_when_its_own_takes_no_jobs(self, starved, event):
        starved.node("n2", cpu_milli=1_500).tell("node-n1", event)
        assert starved.story.state.held_back is None
        starved.submit("small").grant("small").node("n3", cpu_milli=2_000)
        assert starved.where["large"] == "n3"

    def test_is_not_guarded_when_no_node_could_hold_it(self, fleet):
        fleet.node("n1", cpu_milli=1_000).submit("large", LARGE, priority=5).submit("s0").grant("s0")
        for number in range(OVERTAKEN_MAX + 10):
            fleet.end(f"s{number}").submit(f"s{number + 1}").grant(f"s{number + 1}")
        assert fleet.story.state.held_back is None

    def test_gets_the_node_that_lacks_least(self, fleet):
        fleet.node("full", cpu_milli=4_000).node("half", cpu_milli=4_000)
        for job_id in "abcdef":
            fleet.submit(job_id).grant(job_id)
        fleet.submit("large", LARGE.model_copy(update={"cpu_milli": 4_000}), priority=5)
        for number in range(OVERTAKEN_MAX + 1):
            fleet.submit(f"s{number}").grant(f"s{number}").end(f"s{number}")
        assert fleet.end("e").end("f").placed == ["large"]
        assert fleet.where["large"] == "half"
