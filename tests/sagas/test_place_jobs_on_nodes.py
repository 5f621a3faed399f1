"""Placement, told as stories: what has happened, and what is asked for after the last of it."""

from datetime import UTC, datetime

import pytest

from events.job import (
    JobAssigned,
    JobAssignmentRefused,
    JobAttemptFailed,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobQueued,
    JobRequeued,
    JobSubmitted,
    Requirements,
)
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
from sagas.place_jobs_on_nodes import PLACE_JOBS_ON_NODES
from write_side.job import AssignJob, RequeueJob
from write_side.node import ReleaseNode, ReserveNode

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NEED = Requirements(cpu_milli=1_000, memory_mib=100, gpu_count=1, gpu_milli=500)
SHARE = (GpuShare(index=0, milli=500),)
OFFLINE = NodeWentOffline(last_seen_at=NOON)


def node(cpu_milli=1_000):
    return NodeRegistered(name="n", cpu_milli=cpu_milli, memory_mib=1_000, gpu_count=1, gpu_model="T4")


def submitted(need=NEED, priority=0, waits_for=()):
    return JobSubmitted(kind="k", requirements=need, priority=priority, depends_on=waits_for, waits_for=waits_for)


def reserve(node_id, job_id="j1", attempt=1, need=NEED):
    return ReserveNode(node_id=node_id, job_id=job_id, attempt=attempt, requirements=need, kind="k")


def reserved(job_id="j1", attempt=1, need=NEED, gpus=SHARE):
    return NodeReserved(job_id=job_id, attempt=attempt, cpu_milli=need.cpu_milli, memory_mib=need.memory_mib, gpus=gpus)


def release(node_id="n1", job_id="j1", attempt=1):
    return ReleaseNode(node_id=node_id, job_id=job_id, attempt=attempt)


def refused(job_id="j1", attempt=1):
    return NodeReservationRefused(job_id=job_id, attempt=attempt, reason="full")


def assign(job_id="j1", attempt=1, node_id="n1"):
    return AssignJob(job_id=job_id, attempt=attempt, node_id=node_id, gpus=SHARE)


def assigned(attempt=1, node_id="n1"):
    return JobAssigned(node_id=node_id, attempt=attempt, gpus=SHARE)


def assignment_refused(attempt=1, node_id="n1"):
    return JobAssignmentRefused(node_id=node_id, attempt=attempt, reason="moved on")


def requeue(job_id="j1", attempt=1):
    return RequeueJob(job_id=job_id, attempt=attempt, reason="node n1 went offline")


def released(job_id="j1", attempt=1):
    return NodeReleased(job_id=job_id, attempt=attempt)


@pytest.fixture
def with_a_node(story):
    """A node with room for one job at a time."""
    return story(PLACE_JOBS_ON_NODES).given("node-n1", node(), NodeWentOnline())


@pytest.fixture
def asked(with_a_node):
    return with_a_node.given("job-j1", submitted()).then(reserve("n1"))


@pytest.fixture
def held(asked):
    return asked.given("node-n1", reserved()).then(assign())


@pytest.fixture
def running(held):
    return held.given("job-j1", assigned()).then_nothing()


class TestAQueuedJob:
    def test_is_placed_step_by_step_and_its_room_given_back(self, running):
        running.given("job-j1", JobCompleted(node_id="n1", attempt=1)).then(release())
        running.given("node-n1", released()).then_nothing()
        assert not running.state.jobs
        assert not running.state.nodes["n1"].claims

    def test_waits_for_a_node_to_come_online(self, story):
        waiting = story(PLACE_JOBS_ON_NODES).given("job-j1", submitted()).given("node-n1", node()).then_nothing()
        waiting.given("node-n1", NodeWentOnline()).then(reserve("n1"))

    def test_waits_for_its_dependencies(self, with_a_node):
        with_a_node.given("job-j1", submitted(waits_for=("j0",))).then_nothing()
        with_a_node.given("job-j1", JobQueued(attempt=1)).then(reserve("n1"))

    def test_is_not_placed_where_a_request_under_way_takes_the_room(self, asked):
        asked.given("job-j2", submitted()).then_nothing()

    def test_takes_room_that_another_gave_back(self, running):
        running.given("job-j2", submitted()).then_nothing()
        running.given("job-j1", JobCompleted(node_id="n1", attempt=1)).then(release())
        running.given("node-n1", released()).then(reserve("n1", "j2"))

    @pytest.mark.parametrize(
        "end",
        [
            JobCompleted(node_id="n1", attempt=1),
            JobFailed(node_id="n1", attempt=1, error="e"),
            JobCancelled(node_id="n1", attempt=1),
            JobAttemptFailed(node_id="n1", attempt=1, error="e", retry_at=NOON),
        ],
    )
    def test_gives_its_room_back_however_the_attempt_ends(self, running, end):
        running.given("job-j1", end).then(release())

    def test_is_placed_again_for_its_next_attempt(self, running):
        failed = JobAttemptFailed(node_id="n1", attempt=1, error="e", retry_at=NOON)
        running.given("job-j1", failed).given("node-n1", released()).then_nothing()
        running.given("job-j1", JobQueued(attempt=2)).then(reserve("n1", attempt=2))

    def test_keeps_its_age_when_it_is_queued_again(self, running):
        running.given("job-j2", submitted()).given("node-n1", OFFLINE).then(requeue(), release())
        running.given("job-j1", JobRequeued(node_id="n1", attempt=1, reason="lost")).given("node-n1", released())
        running.given("node-n1", NodeWentOnline()).then(reserve("n1", attempt=2))


class TestWhatComesInBetween:
    """Each case: where placement stands, what happens then, and for each of these events what is asked for."""

    def test_cancelled_while_asked_then_reserved(self, asked):
        asked.given("job-j1", JobCancelled(attempt=1)).then_nothing()
        asked.given("node-n1", reserved()).then(release())
        asked.given("node-n1", released()).then_nothing()

    def test_cancelled_while_asked_then_refused(self, asked):
        asked.given("job-j1", JobCancelled(attempt=1)).then_nothing()
        asked.given("node-n1", refused()).then_nothing()
        assert not asked.state.nodes["n1"].claims

    def test_cancelled_while_asked_keeps_the_room_until_the_answer(self, asked):
        asked.given("job-j1", JobCancelled(attempt=1)).given("job-j2", submitted()).then_nothing()
        asked.given("node-n1", refused()).then(reserve("n1", "j2"))

    def test_cancelled_while_reserved_then_the_assignment_refused(self, held):
        held.given("job-j1", JobCancelled(attempt=1)).then(release())
        held.given("job-j1", assignment_refused()).then_nothing()
        held.given("node-n1", released()).then_nothing()

    def test_cancelled_while_reserved_then_released_before_the_refusal(self, held):
        held.given("job-j1", JobCancelled(attempt=1)).then(release())
        held.given("node-n1", released()).then_nothing()
        held.given("job-j1", assignment_refused()).then_nothing()

    def test_cancelled_while_running(self, running):
        running.given("job-j1", JobCancelled(node_id="n1", attempt=1)).then(release())
        running.given("node-n1", OFFLINE).then_nothing()

    def test_the_assignment_refused_for_a_job_that_still_waits(self, story):
        """It cannot be, but if it were, the node would be asked again only after it has released this attempt."""
        held = story(PLACE_JOBS_ON_NODES).given("node-n1", node(cpu_milli=2_000), NodeWentOnline())
        held.given("job-j1", submitted()).given("node-n1", reserved()).then(assign())
        held.given("job-j1", assignment_refused()).then(release())
        held.given("node-n1", released()).then(reserve("n1"))

    def test_the_node_lost_while_asked_then_refused(self, asked):
        asked.given("node-n1", OFFLINE).then_nothing()
        asked.given("node-n1", refused()).then_nothing()
        asked.given("node-n1", NodeWentOnline()).then(reserve("n1"))

    def test_the_node_lost_and_back_while_asked_then_reserved(self, asked):
        asked.given("node-n1", OFFLINE, NodeWentOnline()).then_nothing()
        asked.given("node-n1", reserved()).then(assign())

    def test_the_node_lost_while_reserved_then_assigned_before_the_release(self, held):
        held.given("node-n1", OFFLINE).then(release())
        held.given("job-j1", assigned()).then(requeue())
        held.given("job-j1", JobRequeued(node_id="n1", attempt=1, reason="lost")).then_nothing()
        held.given("node-n1", released(), NodeWentOnline()).then(reserve("n1", attempt=2))

    def test_the_node_lost_while_reserved_then_assigned_after_the_release(self, held):
        held.given("node-n1", OFFLINE).then(release())
        held.given("node-n1", released()).then_nothing()
        held.given("job-j1", assigned()).then(requeue())

    def test_the_node_lost_and_back_while_reserved_then_assigned(self, held):
        held.given("node-n1", OFFLINE).then(release())
        held.given("node-n1", NodeWentOnline()).then_nothing()
        held.given("job-j1", assigned()).then(requeue())

    def test_the_node_lost_while_reserved_and_the_job_cancelled(self, held):
        held.given("node-n1", OFFLINE).then(release())
        held.given("job-j1", JobCancelled(attempt=1)).then_nothing()
        held.given("job-j1", assignment_refused()).then_nothing()

    def test_the_node_lost_while_running(self, running):
        running.given("node-n1", OFFLINE).then(requeue(), release())
        running.given("job-j1", JobRequeued(node_id="n1", attempt=1, reason="lost")).then_nothing()

    def test_the_node_lost_and_the_job_completed_before_it_could_be_queued_again(self, running):
        running.given("node-n1", OFFLINE).then(requeue(), release())
        running.given("job-j1", JobCompleted(node_id="n1", attempt=1)).then_nothing()
        assert not running.state.jobs

    def test_the_node_lost_and_the_attempt_failed_before_it_could_be_queued_again(self, running):
        running.given("node-n1", OFFLINE).then(requeue(), release())
        running.given("job-j1", JobAttemptFailed(node_id="n1", attempt=1, error="e", retry_at=NOON)).then_nothing()
        running.given("node-n1", released(), NodeWentOnline()).then_nothing()
        running.given("job-j1", JobQueued(attempt=2)).then(reserve("n1", attempt=2))

    def test_the_job_completed_and_the_node_lost_before_the_release(self, running):
        running.given("job-j1", JobCompleted(node_id="n1", attempt=1)).then(release())
        running.given("node-n1", OFFLINE).then_nothing()

    def test_queued_again_elsewhere_before_the_lost_node_has_released(self, running):
        running.given("node-n2", node(), NodeWentOnline()).then_nothing()
        running.given("node-n1", OFFLINE).then(requeue(), release())
        running.given("job-j1", JobRequeued(node_id="n1", attempt=1, reason="lost")).then(reserve("n2", attempt=2))
        running.given("node-n1", released()).then_nothing()

    def test_drained_while_asked(self, asked):
        asked.given("node-n1", NodeDrained()).then_nothing()
        asked.given("node-n1", refused()).then_nothing()
        asked.given("node-n2", node(), NodeWentOnline()).then(reserve("n2"))

    def test_drained_while_running(self, running):
        running.given("job-j2", submitted()).given("node-n1", NodeDrained()).then_nothing()
        running.given("job-j1", JobCompleted(node_id="n1", attempt=1)).then(release())
        running.given("node-n1", released()).then_nothing()

    def test_retired_while_asked(self, asked):
        asked.given("node-n2", node(), NodeWentOnline()).then_nothing()
        asked.given("node-n1", NodeRetired()).then(reserve("n2"))
        asked.given("node-n1", refused()).then_nothing()
        asked.given("node-n2", reserved()).then(assign(node_id="n2"))

    def test_retired_while_two_of_a_kind_are_asked(self, story):
        two = story(PLACE_JOBS_ON_NODES).given("node-n1", node(cpu_milli=2_000), NodeWentOnline())
        two.given("job-j1", submitted()).given("job-j2", submitted()).then(reserve("n1", "j2"))
        two.given("node-n2", node(cpu_milli=2_000), NodeWentOnline())
        two.given("node-n1", NodeRetired()).then(reserve("n2", "j1"), reserve("n2", "j2"))


class TestARefusal:
    def test_sends_the_job_elsewhere(self, asked):
        asked.given("node-n2", node(), NodeWentOnline()).then_nothing()
        asked.given("node-n1", refused()).then(reserve("n2"))

    def test_that_cannot_be_explained_is_not_argued_with(self, asked):
        asked.given("node-n1", refused()).then_nothing()
        asked.given("job-j2", submitted(priority=9)).then_nothing()

    def test_is_forgotten_once_the_node_releases_something(self, story):
        shared = story(PLACE_JOBS_ON_NODES).given("node-n1", node(cpu_milli=2_000), NodeWentOnline())
        shared.given("job-j1", submitted()).given("node-n1", reserved()).given("job-j1", assigned())
        shared.given("job-j2", submitted()).then(reserve("n1", "j2"))
        shared.given("node-n1", refused("j2")).then_nothing()
        shared.given("job-j1", JobCompleted(node_id="n1", attempt=1)).then(release())
        shared.given("node-n1", released()).then(reserve("n1", "j2"))

    def test_gives_the_room_to_the_first_in_order(self, story):
        whole = Requirements(cpu_milli=2_000, memory_mib=100)
        story = story(PLACE_JOBS_ON_NODES).given("node-n1", node(cpu_milli=2_000), NodeWentOnline())
        story.given("job-j1", submitted(whole)).then(reserve("n1", need=whole))
        story.given("job-j2", submitted()).given("job-j3", submitted(priority=5)).then_nothing()
        story.given("job-j1", JobCancelled(attempt=1)).then_nothing()
        story.given("node-n1", refused()).then(reserve("n1", "j3"), reserve("n1", "j2"))


class TestReacting:
    def test_to_the_same_event_in_the_same_state_asks_for_the_same(self, running):
        before = running.state.model_dump_json()
        running.given("node-n1", OFFLINE)
        first = running.asked
        running.state = PLACE_JOBS_ON_NODES.state.model_validate_json(before)
        running.given("node-n1", OFFLINE).then(*first)
