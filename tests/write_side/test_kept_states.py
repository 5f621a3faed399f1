"""States of streams that can grow without end: kept as JSON and read again they are the same, wherever the stream stands."""

from datetime import UTC, datetime

import pytest

from events.agent import AgentCapabilitiesUpdated, AgentCreated, AgentDeleted, AgentStarted, AgentStopped, AgentUpdated
from events.catalog import CATALOG as EVENTS
from events.fleet import FleetNodeAdded, FleetNodeRemoved
from events.node import (
    GpuShare,
    NodeDrained,
    NodeRegistered,
    NodeReleased,
    NodeReserved,
    NodeRetired,
    NodeWentOffline,
    NodeWentOnline,
)
from events.task import MessageStep, TaskAssigned, TaskHandedOver, TaskRequested, TaskStarted, TaskStepRecorded
from infra.adapters.memory_store import MemoryEventStore
from infra.engines.command_bus import CommandBus
from infra.settings import Settings
from tests.infra.boxes import origin
from write_side.agent import AGENT
from write_side.catalog import CATALOG
from write_side.fleet import FLEET, FLEET_STREAM
from write_side.node import NODE, RegisterNode
from write_side.task import TASK

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
ALONE = NodeReserved(job_id="a", attempt=1, cpu_milli=500, memory_mib=10)
SHARED = NodeReserved(job_id="b", attempt=3, cpu_milli=1, memory_mib=2, gpus=(GpuShare(index=1, milli=250),))
KINDS = ("container", "build")

NODE_EVENTS = [
    NodeRegistered(name="n1", cpu_milli=8_000, memory_mib=1_000, gpu_count=2, gpu_model="T4", kinds=KINDS),
    NodeWentOnline(),
    ALONE,
    SHARED,
    NodeWentOffline(last_seen_at=AT),
    NodeReleased(job_id="a", attempt=1),
    NodeDrained(),
    NodeReleased(job_id="b", attempt=3),
    NodeRetired(),
]
FLEET_EVENTS = [
    FleetNodeAdded(node_id="n1", cpu_milli=4_000, memory_mib=1_024),
    FleetNodeAdded(node_id="n2", cpu_milli=4_000, memory_mib=1_024),
    FleetNodeAdded(node_id="n3", cpu_milli=8, memory_mib=8, gpu_count=8, gpu_model="T4", kinds=KINDS),
    FleetNodeRemoved(node_id="n1"),
]
TASK_EVENTS = [
    TaskRequested(title="t", capability="c", deadline_at=AT),
    TaskAssigned(agent_id="a"),
    TaskStarted(agent_id="a"),
    TaskStepRecorded(step=MessageStep(kind="message", role="user", content="hello")),
    TaskHandedOver(reason="r"),
]
AGENT_EVENTS = [
    AgentCreated(name="Ada", agent_type="reactive", capabilities=("a", "b")),
    AgentStarted(),
    AgentUpdated(name="Eve"),
    AgentCapabilitiesUpdated(capabilities=("c",)),
    AgentStopped(),
    AgentDeleted(name="Eve"),
]
CASES = [(NODE, NODE_EVENTS), (FLEET, FLEET_EVENTS), (TASK, TASK_EVENTS), (AGENT, AGENT_EVENTS)]
IDS = [decider.category for decider, _ in CASES]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("decider", "events"), CASES, ids=IDS)
def test_a_state_that_was_kept_is_the_same(decider, events):
    form = decider.snapshots.adapter
    states = [decider.fold(events[:count]) for count in range(len(events) + 1)]
    assert len({form.dump_json(state) for state in states}) >= len(events) - 1
    for state in states:
        assert form.validate_json(form.dump_json(state)) == state


@pytest.mark.parametrize(("decider", "events"), CASES, ids=IDS)
def test_a_stream_goes_on_from_there_as_from_its_first_event(decider, events):
    form = decider.snapshots.adapter
    for count in range(len(events)):
        state = form.validate_json(form.dump_json(decider.fold(events[:count])))
        for event in events[count:]:
            state = decider.evolve(state, event)
        assert state == decider.fold(events)


async def test_the_fleet_is_kept_though_only_commands_of_nodes_write_to_it(settings: Settings):
    store = MemoryEventStore()
    bus = CommandBus(store, CATALOG, EVENTS, settings.model_copy(update={"events_per_snapshot": 5}))
    for number in range(12):
        await bus.execute(RegisterNode(node_id=f"n{number}", name="n", cpu_milli=1, memory_mib=1), origin())
    kept = await store.snapshot("acme", FLEET_STREAM)
    assert kept is not None
    log = await store.load("acme", FLEET_STREAM)
    events = [EVENTS.decode(record.type, record.schema_version, record.data) for record in log]
    assert (len(events), kept.version) == (12, 10)
    assert FLEET.snapshots.adapter.validate_json(kept.state) == FLEET.fold(events[: kept.version])


def test_every_kind_of_stream_that_is_kept_is_tried_here():
    kept = {decider.category for decider in CATALOG.deciders if decider.snapshots is not None}
    assert kept == {*IDS, "run"}  # runs: test_run_properties.py
