"""Which jobs go where when nodes say which kinds of jobs they do."""

import pytest
from pydantic import ValidationError

from events.event import Event
from events.job import JobAssigned, JobCompleted, JobSubmitted, Requirements
from events.node import NodeRegistered, NodeReleased, NodeReserved, NodeWentOnline
from sagas.place_jobs_on_nodes import PLACE_JOBS_ON_NODES
from sagas.placement import OVERTAKEN_MAX
from write_side.node import ReserveNode

SMALL = Requirements(cpu_milli=1_000, memory_mib=100)


class Fleet:
    """Nodes of which each has room for some small jobs, and grants what is asked of it when told to."""

    def __init__(self, story) -> None:
        self.story = story(PLACE_JOBS_ON_NODES)
        self.where: dict[str, str] = {}

    def node(self, node_id: str, *kinds: str, jobs: int = 10) -> "Fleet":
        """Of these kinds, of every kind if none are given."""
        registered = NodeRegistered(name="n", cpu_milli=1_000 * jobs, memory_mib=10_000, kinds=kinds or None)
        return self.tell(f"node-{node_id}", registered, NodeWentOnline())

    def submit(self, job_id: str, kind: str, priority: int = 0) -> "Fleet":
        return self.tell(f"job-{job_id}", JobSubmitted(kind=kind, requirements=SMALL, priority=priority))

    def grant(self, job_id: str) -> "Fleet":
        node_id = self.where[job_id]
        self.tell(f"node-{node_id}", NodeReserved(job_id=job_id, attempt=1, cpu_milli=1_000, memory_mib=100))
        return self.tell(f"job-{job_id}", JobAssigned(node_id=node_id, attempt=1))

    def end(self, job_id: str) -> "Fleet":
        node_id = self.where[job_id]
        self.tell(f"job-{job_id}", JobCompleted(node_id=node_id, attempt=1))
        return self.tell(f"node-{node_id}", NodeReleased(job_id=job_id, attempt=1))

    def tell(self, stream_id: str, *events: Event) -> "Fleet":
        self.placed: list[str] = []
        for event in events:
            for command in self.story.given(stream_id, event).asked:
                if isinstance(command, ReserveNode):
                    self.where[command.job_id] = command.node_id
                    self.placed.append(command.job_id)
        return self

    @property
    def shapes(self) -> list[tuple[str | None, int]]:
        """The kind of each shape in the queue and how many jobs it has."""
        shapes = self.story.state.queue.shapes.values()
        return sorted(((shape.kind, len(shape.ranks)) for shape in shapes), key=str)


@pytest.fixture
def fleet(story):
    return Fleet(story)


class TestANodeThatNamesKinds:
    def test_is_given_jobs_of_these_kinds_only(self, fleet):
        fleet.node("n1", "container", "train").submit("a", "train").submit("b", "render").submit("c", "container")
        assert fleet.where == {"a": "n1", "c": "n1"}

    def test_is_told_the_kind(self, fleet):
        fleet.node("n1", "train").submit("a", "train")
        asked = ReserveNode(node_id="n1", job_id="a", attempt=1, requirements=SMALL, kind="train")
        fleet.story.then(asked)

    def test_names_them_exactly(self, fleet):
        assert fleet.node("n1", "train").submit("a", "Train").where == {}

    def test_is_passed_over_by_what_other_nodes_do(self, fleet):
        fleet.node("tight", "container", jobs=1).node("wide", "train").submit("a", "train").submit("b", "container")
        assert fleet.where == {"a": "wide", "b": "tight"}

    def test_takes_what_fits_best_beside_nodes_of_every_kind(self, fleet):
        fleet.node("wide").node("tight", "train", jobs=1).submit("a", "train").submit("b", "train")
        assert fleet.where == {"a": "tight", "b": "wide"}

    def test_leaves_the_order_of_its_kinds_as_it_is(self, fleet):
        fleet.submit("a", "train").submit("b", "other").submit("c", "container").submit("d", "train", priority=5)
        assert fleet.node("n1", "train", "container").placed == ["d", "a", "c"]


class TestAJobOfAKindThatNoNodeDoes:
    def test_waits_for_one(self, fleet):
        fleet.node("n1", "train").submit("a", "container").submit("b", "train").grant("b").end("b")
        assert fleet.where == {"b": "n1"}
        assert fleet.node("n2", "container").where["a"] == "n2"

    def test_waits_for_one_that_does_every_kind(self, fleet):
        fleet.node("n1", "train").submit("a", "container").submit("b", "render")
        assert fleet.node("n2").placed == ["a", "b"]

    def test_holds_no_node_back_that_would_not_do_it(self, fleet):
        fleet.node("n1", "train", jobs=1).submit("a", "container", priority=9).submit("t0", "train").grant("t0")
        for number in range(OVERTAKEN_MAX + 10):
            fleet.end(f"t{number}").submit(f"t{number + 1}", "train").grant(f"t{number + 1}")
        assert fleet.story.state.jobs["a"].overtaken > OVERTAKEN_MAX
        assert fleet.story.state.held_back is None


class TestTheShapesOfTheQueue:
    def test_are_those_of_the_needs_while_no_node_names_a_kind(self, fleet):
        """As it was before nodes could: what was asked for then is what a fold of that log gives."""
        fleet.submit("a", "x").submit("b", "y").submit("c", "z").node("n1", jobs=1)
        assert (fleet.where, fleet.shapes) == ({"a": "n1"}, [(None, 2)])

    def test_tell_apart_what_a_node_names(self, fleet):
        fleet.submit("a", "x").submit("b", "y").submit("c", "z").submit("d", "x")
        fleet.tell("node-n1", NodeRegistered(name="n", cpu_milli=1_000, memory_mib=100, kinds=("x",)))
        assert fleet.shapes == [("x", 2), (None, 2)]
        fleet.tell("node-n2", NodeRegistered(name="n", cpu_milli=1_000, memory_mib=100, kinds=("z", "x")))
        assert fleet.shapes == [("x", 2), ("z", 1), (None, 1)]

    def test_keep_their_order_when_they_are_told_apart(self, fleet):
        for number, kind in enumerate("xyxyxy"):
            fleet.submit(f"j{number}", kind, priority=number // 4)
        assert fleet.node("n1", "y").placed == ["j5", "j1", "j3"]
        assert fleet.node("n2").placed == ["j4", "j0", "j2"]


class TestAnOlderSnapshot:
    def test_is_not_used_since_it_does_not_tell_the_kinds_of_jobs(self, fleet):
        before = fleet.node("n1").submit("a", "x").story.state.model_dump(mode="json")
        del before["jobs"]["a"]["kind"], before["nodes"]["n1"]["kinds"], before["queue"]["kinds_named"]
        with pytest.raises(ValidationError, match=r"jobs\.a\.kind"):
            PLACE_JOBS_ON_NODES.state.model_validate(before)
        assert PLACE_JOBS_ON_NODES.version == 2, "a state of version 1 is folded anew from the log"
