"""Placement against the real deciders: whatever happens meanwhile and in whatever order its commands arrive."""

from random import Random

import pytest
from hypothesis import assume, settings
from hypothesis import given as for_any
from hypothesis import strategies as st

from events.job import JobAssigned, JobSubmitted, Requirements
from events.node import NodeRegistered, NodeReservationRefused, NodeReserved
from infra.ids import utc_now
from sagas import node_room, placement
from sagas.place_jobs_on_nodes import PLACE_JOBS_ON_NODES
from sagas.placement import Placements
from sagas.queue_jobs_on_dependencies import QUEUE_JOBS_ON_DEPENDENCIES
from tests.sizes import examples, is_fast
from write_side import node as node_decider
from write_side.job import ENDED as JOB_ENDED
from write_side.job import CancelJob, CompleteJob, FailJob, StartJob, SubmitJob
from write_side.node import DrainNode, HeartbeatNode, RegisterNode, RetireNode, TakeNodeOffline

NEEDS = [
    Requirements(cpu_milli=1_000, memory_mib=100),
    Requirements(cpu_milli=3_000, memory_mib=800),
    Requirements(cpu_milli=8_000, memory_mib=100),
    Requirements(cpu_milli=500, memory_mib=50, gpu_count=1, gpu_milli=300),
    Requirements(cpu_milli=500, memory_mib=50, gpu_count=1, gpu_milli=700, gpu_models=("T4",)),
    Requirements(cpu_milli=500, memory_mib=50, gpu_count=1, gpu_models=("T4", "V100")),
    Requirements(cpu_milli=1_000, memory_mib=50, gpu_count=2),
    Requirements(cpu_milli=1_000, memory_mib=50, gpu_count=4, gpu_models=("V100",)),
]
NODES = [(8_000, 1_000, 4, "V100"), (8_000, 1_000, 2, "T4"), (4_000, 1_000, 0, None), (2_000, 400, 1, "T4")]
KINDS = [None, ("a",), ("a", "b"), ("c",)]
SETTINGS = settings(max_examples=examples(10), deadline=None)
SEEDS = st.integers(0, 2**32)
STEPS = st.integers(50, 150 if is_fast() else 500)


class Cluster:
    """Users, nodes and workers that do something at random."""

    def __init__(self, world, random: Random) -> None:
        self.world = world
        self.random = random
        for index, capacity in enumerate([*NODES, random.choice(NODES)]):
            self.register(f"n{index}", capacity, random.choice(KINDS) if index > 1 else None)
            world.send(HeartbeatNode(node_id=f"n{index}"))
        self.actions = [
            *[self.submit] * 6,
            *[self.work] * 10,
            *[lambda: world.follow(random)] * 20,
            *[lambda: world.arrive(random)] * 12,
            lambda: world.ring(random),
            self.cancel,
            *[self.lose_node] * 2,
            *[self.revive_node] * 2,
            self.retire_or_drain,
        ]

    def register(self, node_id: str, capacity: tuple[int, int, int, str | None], kinds: tuple[str, ...] | None) -> None:
        cpu, memory, gpus, model = capacity
        register = RegisterNode(
            node_id=node_id,
            name=node_id,
            cpu_milli=cpu,
            memory_mib=memory,
            gpu_count=gpus,
            gpu_model=model,
            kinds=kinds,
        )
        self.world.send(register)

    def live(self) -> list[str]:
        return [job_id for job_id in self.world.streams("job") if self.status(job_id) not in JOB_ENDED]

    def status(self, job_id: str) -> str:
        return self.world.state_of(f"job-{job_id}").status

    def submit(self) -> None:
        random, jobs = self.random, self.world.streams("job")
        self.world.send(
            SubmitJob(
                job_id=f"j{len(jobs)}",
                kind=random.choice("abcd"),
                requirements=random.choice(NEEDS),
                priority=random.choice([0, 0, 0, 5, 9]),
                retries=random.choice([0, 1, 3]),
                depends_on=tuple(random.sample(jobs, min(len(jobs), random.choice([0, 0, 0, 1, 2])))),
            )
        )

    def work(self) -> None:
        """A worker starts or ends an attempt; now and then one that is no longer its own."""
        at_work = [job_id for job_id in self.live() if self.status(job_id) in ("assigned", "running")]
        if not at_work:
            return
        job_id = self.random.choice(at_work)
        state = self.world.state_of(f"job-{job_id}")
        attempt = max(1, state.attempt - (self.random.random() < 0.1))
        if state.status == "assigned":
            self.world.send(StartJob(job_id=job_id, attempt=attempt))
        elif self.random.random() < 0.3:
            self.world.send(FailJob(job_id=job_id, attempt=attempt, error="e", at=utc_now()))
        else:
            self.world.send(CompleteJob(job_id=job_id, attempt=attempt))

    def cancel(self) -> None:
        if live := self.live():
            self.world.send(CancelJob(job_id=self.random.choice(live)))

    def lose_node(self) -> None:
        node_id = self.random.choice(self.world.streams("node"))
        self.world.send(TakeNodeOffline(node_id=node_id, last_seen_at=utc_now()))

    def revive_node(self) -> None:
        self.world.send(HeartbeatNode(node_id=self.random.choice(self.world.streams("node"))))

    def retire_or_drain(self) -> None:
        """Never one of the first two nodes: between them they can hold every job, of every kind."""
        node_id = self.random.choice(self.world.streams("node")[2:])
        self.world.send(self.random.choice([DrainNode, RetireNode])(node_id=node_id))
        if self.random.random() < 0.5:
            self.register(f"n{len(self.world.streams('node'))}", self.random.choice(NODES), self.random.choice(KINDS))

    def live_through(self, steps: int) -> None:
        for _ in range(steps):
            self.random.choice(self.actions)()

    def finish(self) -> None:
        """Every node is back and every worker goes on until no job is left."""
        for node_id in self.world.streams("node"):
            self.world.send(HeartbeatNode(node_id=node_id))
        for _ in range(100_000):
            self.world.come_to_rest(self.random)
            if not self.live():
                return
            assert any(self.status(job_id) in ("assigned", "running") for job_id in self.live()), "jobs are forgotten"
            self.work()
        pytest.fail("the jobs never end")


def memory_of(cluster: Cluster) -> Placements:
    return cluster.world.memory[PLACE_JOBS_ON_NODES.name]


@pytest.fixture(scope="module", params=[(2, 3), (placement.OVERTAKEN_MAX, 1_000)], ids=["narrow", "wide"])
def a_cluster(world, request):
    """Narrow: a node is held back for a job as soon as three others have overtaken it, and takes three jobs at most."""
    overtaken_max, reservations_max = request.param

    def build(seed: int, steps: int) -> Cluster:
        cluster = Cluster(world(PLACE_JOBS_ON_NODES, QUEUE_JOBS_ON_DEPENDENCIES), Random(seed))
        cluster.live_through(steps)
        return cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placement, "OVERTAKEN_MAX", overtaken_max)
        for module in (node_room, node_decider):
            patch.setattr(module, "RESERVATIONS_MAX", reservations_max)
        yield build


class TestPlacementInAnyOrder:
    @SETTINGS
    @for_any(seed=SEEDS, steps=STEPS)
    def test_every_job_ends_and_nothing_stays_reserved(self, a_cluster, seed, steps):
        cluster = a_cluster(seed, steps)
        cluster.finish()
        memory = memory_of(cluster)
        assert not any(row.reservations or row.gpu_milli_reserved for row in cluster.world.nodes.values())
        assert not any(room.claims for room in memory.nodes.values())
        assert (memory.jobs, memory.queue.shapes, memory.held_back) == ({}, {}, None)

    @SETTINGS
    @for_any(seed=SEEDS, steps=STEPS)
    def test_each_attempt_is_placed_once(self, a_cluster, seed, steps):
        cluster = a_cluster(seed, steps)
        cluster.finish()
        events = [(envelope.entity_id, envelope.event) for envelope in cluster.world.log]
        assigned = [(job_id, event.attempt) for job_id, event in events if isinstance(event, JobAssigned)]
        reserved = [(event.job_id, event.attempt) for _, event in events if isinstance(event, NodeReserved)]
        refused = [event.reason for _, event in events if isinstance(event, NodeReservationRefused)]
        assert not any("reservations already" in reason for reason in refused)
        assert len(assigned) == len(set(assigned))
        assert len(reserved) == len(set(reserved))

    @SETTINGS
    @for_any(seed=SEEDS, steps=STEPS)
    def test_no_node_is_even_asked_for_a_kind_that_it_does_not_do(self, a_cluster, seed, steps):
        cluster = a_cluster(seed, steps)
        cluster.finish()
        events = [(envelope.entity_id, envelope.event) for envelope in cluster.world.log]
        kinds = {job_id: event.kind for job_id, event in events if isinstance(event, JobSubmitted)}
        does = {node_id: event.kinds for node_id, event in events if isinstance(event, NodeRegistered)}
        asked = [
            (kinds[event.job_id], does[node_id])
            for node_id, event in events
            if isinstance(event, NodeReserved | NodeReservationRefused)
        ]
        assume(asked)  # in a small world every job may be cancelled before
        assert all(named is None or kind in named for kind, named in asked)

    @SETTINGS
    @for_any(seed=SEEDS, steps=STEPS)
    def test_at_rest_it_knows_exactly_what_every_node_has_free(self, a_cluster, seed, steps):
        cluster = a_cluster(seed, steps)
        cluster.world.come_to_rest(cluster.random)
        for node_id, room in memory_of(cluster).nodes.items():
            real = cluster.world.state_of(f"node-{node_id}")
            assert (room.cpu_milli_free, room.memory_mib_free) == (real.cpu_milli_free, real.memory_mib_free)
            assert tuple(room.gpus_free) == real.gpus_free
            assert {(claim.job_id, claim.attempt) for claim in room.claims.values()} == set(real.reservations)

    @SETTINGS
    @for_any(seed=SEEDS, steps=STEPS)
    def test_at_rest_no_job_is_forgotten_and_none_waits_that_fits(self, a_cluster, seed, steps):
        cluster = a_cluster(seed, steps)
        cluster.world.come_to_rest(cluster.random)
        memory = memory_of(cluster)
        queued = {job_id for job_id in cluster.live() if cluster.status(job_id) == "queued"}
        assert queued == {rank[2] for shape in memory.queue.shapes.values() for rank in shape.ranks}
        held_back = memory.held_back.node_id if memory.held_back else None
        assert held_back is None or memory.nodes[held_back].takes_jobs
        rooms = [room for node_id, room in memory.nodes.items() if node_id != held_back]
        for job_id in queued:
            assert not any(room.fits(memory.jobs[job_id].kind, memory.jobs[job_id].need) for room in rooms)

    @SETTINGS
    @for_any(seed=SEEDS, steps=STEPS)
    def test_at_rest_every_job_at_work_has_its_room_on_a_node_that_is_online(self, a_cluster, seed, steps):
        cluster = a_cluster(seed, steps)
        cluster.world.come_to_rest(cluster.random)
        for job_id in cluster.live():
            job = cluster.world.state_of(f"job-{job_id}")
            if job.node_id is not None:
                node = cluster.world.state_of(f"node-{job.node_id}")
                assert node.status == "online"
                assert (job_id, job.attempt) in node.reservations
