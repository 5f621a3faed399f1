"""The decider of nodes."""

from datetime import UTC, datetime

import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import ValidationError

from events.job import Requirements
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
from tests.sizes import examples
from write_side.fleet import AddFleetNode, RemoveFleetNode
from write_side.node import (
    NODE,
    DrainNode,
    HeartbeatNode,
    NodeAlreadyDrained,
    NodeAlreadyExists,
    NodeAlreadyRetired,
    NodeStillReserved,
    NodeUnknown,
    RegisterNode,
    ReleaseNode,
    ReserveNode,
    RetireNode,
    TakeNodeOffline,
)

LAST_SEEN = datetime(2026, 1, 2, tzinfo=UTC)
REGISTERED = NodeRegistered(name="n1", cpu_milli=8_000, memory_mib=1_000, gpu_count=4, gpu_model="T4")
OFFLINE = NodeWentOffline(last_seen_at=LAST_SEEN)
ONLINE = [REGISTERED, NodeWentOnline()]
SHAPE = {"name": "n1", "cpu_milli": 8_000, "memory_mib": 1_000, "gpu_count": 4, "gpu_model": "T4"}
ON_ANY_NODE = [
    HeartbeatNode(node_id="n1"),
    DrainNode(node_id="n1"),
    RetireNode(node_id="n1"),
    TakeNodeOffline(node_id="n1", last_seen_at=LAST_SEEN),
    ReleaseNode(node_id="n1", job_id="j1", attempt=1),
]


def reserve(job_id="j1", attempt=1, **need):
    requirements = Requirements(**{"cpu_milli": 1_000, "memory_mib": 100, **need})
    return ReserveNode(node_id="n1", job_id=job_id, attempt=attempt, requirements=requirements)


def reserved(job_id="j1", attempt=1, gpus=(), cpu_milli=1_000, memory_mib=100):
    shares = tuple(GpuShare(index=index, milli=milli) for index, milli in gpus)
    return NodeReserved(job_id=job_id, attempt=attempt, cpu_milli=cpu_milli, memory_mib=memory_mib, gpus=shares)


class TestAnUnknownNode:
    def test_can_be_registered(self, given):
        given(NODE).when(RegisterNode(node_id="n1", **SHAPE)).then(REGISTERED)

    @pytest.mark.parametrize("command", [*ON_ANY_NODE, reserve()], ids=lambda command: type(command).__name__)
    def test_is_not_found(self, given, command):
        given(NODE).when(command).then_refused(NodeUnknown, 404)


class TestARegisteredNode:
    def test_cannot_be_registered_again(self, given):
        given(NODE, REGISTERED).when(RegisterNode(node_id="n1", **SHAPE)).then_refused(NodeAlreadyExists)

    def test_goes_online_with_its_first_heartbeat(self, given):
        given(NODE, REGISTERED).when(HeartbeatNode(node_id="n1")).then(NodeWentOnline())

    def test_takes_no_jobs_before_that(self, given):
        (refused,) = given(NODE, REGISTERED).when(reserve()).events
        assert isinstance(refused, NodeReservationRefused)

    def test_does_not_go_offline_before_that(self, given):
        given(NODE, REGISTERED).when(TakeNodeOffline(node_id="n1", last_seen_at=LAST_SEEN)).then_nothing()

    def test_is_counted_into_the_fleet(self):
        companions = NODE.companions(RegisterNode(node_id="n1", **SHAPE), NODE.initial)
        shape = {name: value for name, value in SHAPE.items() if name != "name"}
        assert list(companions) == [AddFleetNode(node_id="n1", **shape)]


class TestAnOnlineNode:
    def test_makes_no_event_of_further_heartbeats(self, given):
        given(NODE, *ONLINE).when(HeartbeatNode(node_id="n1")).then_nothing()

    def test_can_go_offline_and_return(self, given):
        scenario = given(NODE, *ONLINE).when(TakeNodeOffline(node_id="n1", last_seen_at=LAST_SEEN)).then(OFFLINE)
        scenario.when(HeartbeatNode(node_id="n1")).then(NodeWentOnline())

    def test_can_be_drained_once(self, given):
        scenario = given(NODE, *ONLINE).when(DrainNode(node_id="n1")).then(NodeDrained())
        scenario.when(DrainNode(node_id="n1")).then_refused(NodeAlreadyDrained)

    def test_can_be_retired(self, given):
        given(NODE, *ONLINE).when(RetireNode(node_id="n1")).then(NodeRetired())

    def test_is_counted_out_of_the_fleet_when_it_retires(self):
        companions = NODE.companions(RetireNode(node_id="n1"), NODE.fold(ONLINE))
        assert list(companions) == [RemoveFleetNode(node_id="n1")]


class TestARetiredNode:
    @pytest.mark.parametrize("command", ON_ANY_NODE[:3], ids=lambda command: type(command).__name__)
    def test_stays_retired(self, given, command):
        given(NODE, *ONLINE, NodeRetired()).when(command).then_refused(NodeAlreadyRetired)

    @pytest.mark.parametrize("command", ON_ANY_NODE[3:], ids=lambda command: type(command).__name__)
    def test_has_nothing_left_to_lose(self, given, command):
        given(NODE, *ONLINE, NodeRetired()).when(command).then_nothing()


class TestAReservation:
    def test_is_made_where_there_is_room(self, given):
        given(NODE, *ONLINE).when(reserve()).then(reserved())

    def test_is_made_once_for_an_attempt(self, given):
        given(NODE, *ONLINE, reserved()).when(reserve()).then_nothing()

    def test_of_another_attempt_is_another_reservation(self, given):
        given(NODE, *ONLINE, reserved()).when(reserve(attempt=2)).then(reserved(attempt=2))

    def test_can_take_all_there_is(self, given):
        gpus = [(index, 1_000) for index in range(4)]
        all_of_it = {"cpu_milli": 8_000, "memory_mib": 1_000}
        given(NODE, *ONLINE).when(reserve(gpu_count=4, **all_of_it)).then(reserved(gpus=gpus, **all_of_it))

    @pytest.mark.parametrize(
        ("more", "need", "reason"),
        [
            ([OFFLINE], {}, "not online"),
            ([NodeDrained()], {}, "drained"),
            ([NodeRetired()], {}, "retired"),
            ([], {"cpu_milli": 8_001}, "processor"),
            ([], {"memory_mib": 1_001}, "memory"),
            ([], {"gpu_count": 5}, "GPUs"),
            ([], {"gpu_count": 1, "gpu_models": ["V100"]}, "model"),
            ([], {"gpu_count": 1, "gpu_models": ["t4"]}, "model"),
            ([reserved("j2", cpu_milli=7_001)], {}, "processor"),
            ([reserved("j2", memory_mib=901)], {}, "memory"),
            ([reserved("j2", gpus=[(0, 1)])], {"gpu_count": 4}, "GPUs"),
            (
                [reserved("j2", gpus=[(0, 501), (1, 501), (2, 501), (3, 501)])],
                {"gpu_count": 1, "gpu_milli": 500},
                "GPUs",
            ),
        ],
    )
    def test_is_refused_in_an_event_that_says_why(self, given, more, need, reason):
        (refused,) = given(NODE, *ONLINE, *more).when(reserve(**need)).events
        assert isinstance(refused, NodeReservationRefused)
        assert (refused.job_id, refused.attempt) == ("j1", 1)
        assert reason in refused.reason

    def test_does_not_mind_the_model_when_no_gpu_is_asked_for(self, given):
        given(NODE, *ONLINE).when(reserve(gpu_models=["V100"])).then(reserved())

    def test_is_content_with_any_of_the_models(self, given):
        command = reserve(gpu_count=1, gpu_models=["V100", "T4"])
        given(NODE, *ONLINE).when(command).then(reserved(gpus=[(0, 1_000)]))

    def test_outlives_a_node_that_went_offline(self, given):
        scenario = given(NODE, *ONLINE, reserved(), OFFLINE).when(RetireNode(node_id="n1"))
        scenario.then_refused(NodeStillReserved)

    def test_frees_its_room_once_when_released(self, given):
        command = ReleaseNode(node_id="n1", job_id="j1", attempt=1)
        scenario = given(NODE, *ONLINE, reserved(gpus=[(0, 300)])).when(command)
        scenario.then(NodeReleased(job_id="j1", attempt=1)).when(command).then_nothing()
        assert scenario.state == NODE.fold(ONLINE)

    def test_is_not_released_for_another_attempt(self, given):
        command = ReleaseNode(node_id="n1", job_id="j1", attempt=2)
        given(NODE, *ONLINE, reserved()).when(command).then_nothing()


class TestTheChoiceOfGpus:
    def test_takes_whole_ones_that_are_wholly_free(self, given):
        past = [*ONLINE, reserved("j2", gpus=[(0, 1), (2, 1_000)])]
        given(NODE, *past).when(reserve(gpu_count=2)).then(reserved(gpus=[(1, 1_000), (3, 1_000)]))

    def test_puts_a_fraction_where_it_leaves_least(self, given):
        past = [*ONLINE, reserved("j2", gpus=[(1, 400), (2, 600), (3, 700)])]
        given(NODE, *past).when(reserve(gpu_count=1, gpu_milli=400)).then(reserved(gpus=[(2, 400)]))

    def test_breaks_into_a_free_gpu_only_when_it_must(self, given):
        past = [*ONLINE, reserved("j2", gpus=[(2, 700)])]
        given(NODE, *past).when(reserve(gpu_count=1, gpu_milli=400)).then(reserved(gpus=[(0, 400)]))


UNHURRIED = settings(deadline=None, max_examples=examples(50))
SIZES = st.fixed_dictionaries({"cpu_milli": st.integers(1, 4_000), "memory_mib": st.integers(0, 400)})
WHOLE = SIZES.flatmap(lambda size: st.integers(0, 4).map(lambda count: {**size, "gpu_count": count}))
FRACTION = SIZES.flatmap(
    lambda size: st.integers(1, 1_000).map(lambda milli: {**size, "gpu_count": 1, "gpu_milli": milli})
)
ATTEMPTS = st.tuples(st.sampled_from(["j1", "j2", "j3", "j4", "j5", "j6"]), st.integers(1, 2))
RESERVE = st.builds(lambda of, need: reserve(*of, **need), ATTEMPTS, WHOLE | FRACTION)
RELEASE = st.builds(lambda of: ReleaseNode(node_id="n1", job_id=of[0], attempt=of[1]), ATTEMPTS)


class TestAnySequenceOfReservations:
    @UNHURRIED
    @for_any(st.lists(RESERVE | RESERVE | RELEASE, max_size=40))
    def test_stays_within_capacity_and_never_splits_a_fraction(self, commands):
        state = NODE.fold(ONLINE)
        held = {}
        for command in commands:
            for event in NODE.decide(command, state):
                state = NODE.evolve(state, event)
                if isinstance(event, NodeReserved):
                    need = command.requirements
                    assert [share.milli for share in event.gpus] == [need.gpu_milli] * need.gpu_count
                    assert len({share.index for share in event.gpus}) == need.gpu_count
                    held[event.job_id, event.attempt] = event
                elif isinstance(event, NodeReleased):
                    del held[event.job_id, event.attempt]
            used = [0, 0, 0, 0]
            for event in held.values():
                for share in event.gpus:
                    used[share.index] += share.milli
            assert max(used) <= 1_000
            assert state.gpus_free == tuple(1_000 - milli for milli in used)
            assert state.cpu_milli_free == 8_000 - sum(event.cpu_milli for event in held.values()) >= 0
            assert state.memory_mib_free == 1_000 - sum(event.memory_mib for event in held.values()) >= 0
            assert dict(state.reservations) == held

    @UNHURRIED
    @for_any(st.lists(RESERVE, max_size=15))
    def test_leaves_an_empty_node_when_all_is_released(self, commands):
        state = NODE.fold(ONLINE)
        for command in commands:
            state = NODE.evolve(state, event) if (event := next(iter(NODE.decide(command, state)), None)) else state
        for job_id, attempt in list(state.reservations):
            state = NODE.evolve(state, NodeReleased(job_id=job_id, attempt=attempt))
        assert state == NODE.fold(ONLINE)


class TestWhatANodeMayBe:
    @pytest.mark.parametrize(
        "fields",
        [
            {"cpu_milli": 0},
            {"cpu_milli": -1},
            {"cpu_milli": 10_000_001},
            {"memory_mib": -1},
            {"memory_mib": 100_000_001},
            {"gpu_count": -1},
            {"gpu_count": 65},
            {"gpu_model": ""},
            {"labels": {f"l{number}": "x" for number in range(65)}},
            {"labels": {"zone\x00": "a"}},
        ],
        ids=lambda fields: f"{next(iter(fields))}",
    )
    def test_is_bounded(self, fields):
        with pytest.raises(ValidationError):
            RegisterNode(**{"node_id": "n1", **SHAPE, **fields})
