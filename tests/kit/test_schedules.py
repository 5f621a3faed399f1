"""When workflows start by themselves: the examples with a schedule, and each way there is to say when."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from infra.supervisor import Supervisor
from tests.kit.example import event
from tests.kit.outside import Outside
from tests.kit.playing import begin
from tests.kit.routes import EXAMPLE, NURSES
from tests.kit.specification import parsed, text_of
from tests.kit.system import END_S_MAX, POLL_S, Run, Workflows

pytestmark = [pytest.mark.data, pytest.mark.servers]

MINUTE_S = 60.0
TRIGGER = "io.serverlessworkflow.samples.events.trigger.v1"
HEARTBEAT_LOW = "com.example.hospital.events.patients.heartbeat.low"
SCHEDULED = """
document: {{dsl: 1.0.3, namespace: test, name: scheduled, version: 1.0.0}}
schedule: {schedule}
do: {do}
"""


def activated(workflows: Workflows, text: str) -> str:
    """Register a workflow and have its schedule hold; gives the workflow's id."""
    definition: Any = parsed(text)
    document = definition["document"]
    workflow_id = f"{document['namespace']}.{document['name']}"
    workflows.register(text)
    position = workflows.activate(workflow_id, document["version"])
    workflows.ask("/v1/runs", position)
    return workflow_id


def started(workflows: Workflows, workflow_id: str, count: int, within_s: float = END_S_MAX) -> list[Run]:
    """Wait until so many runs have been started."""
    until = time.monotonic() + within_s
    while len(found := workflows.runs(workflow_id)) < count:
        assert time.monotonic() < until, f"{len(found)} runs of {workflow_id} were started, not {count}"
        time.sleep(POLL_S)
    return found


def started_by(workflows: Workflows, workflow_id: str, sent: dict[str, Any]) -> dict[str, Any]:
    """The end of the run that an event starts; the event is sent until somebody listens, each time as another one."""
    until = time.monotonic() + END_S_MAX
    while not (found := workflows.runs(workflow_id)):
        assert time.monotonic() < until, f"nothing started {workflow_id}"
        workflows.publish(event(sent["type"], sent["data"]))
        time.sleep(1.0)
    return found[0].ended()


@pytest.fixture(scope="module", autouse=True)
def every_minute(system: Supervisor) -> Iterator[tuple[Workflows, str]]:
    """A workflow that is due each minute, the finest that cron can say: it waits while the other tests run."""
    apis = Workflows(system.url("write_side"), system.url("read_side"))
    yield apis, activated(apis, SCHEDULED.format(schedule="{cron: '* * * * *'}", do="[{rest: {wait: PT0.1S}}]"))
    apis.close()


class TestScheduleCronExample:
    def test_starts_the_backup_when_somebody_does_not_wait_for_midnight(
        self, workflows: Workflows, outside: Outside
    ) -> None:
        assert begin(workflows, "schedule-cron").ended()["status"] == "completed"
        [asked] = outside.asked(EXAMPLE)
        assert (asked.method, asked.path) == ("POST", "/api/v1/backup/start")


class TestScheduleEventDrivenExample:
    def test_calls_the_nurse_when_the_event_comes(self, workflows: Workflows, outside: Outside) -> None:
        patient = {"id": 7, "name": "Ann Lee", "room": {"number": 12}, "vitals": {"bpm": 31}}
        # The event's data is what a run is given, unless its schedule reads envelopes; the example looks for `data` in it.
        data = {"data": {"patient": patient, "timestamp": "2026-01-02T03:04:05Z"}}
        workflow_id = activated(workflows, text_of("schedule-event-driven"))
        found = started_by(workflows, workflow_id, event(HEARTBEAT_LOW, data))
        assert found["status"] == "completed"
        body = outside.asked(NURSES)[0].body
        assert (body["patientName"], body["roomNumber"], body["vitals"]["heartRate"]) == ("Ann Lee", 12, 31)


class TestSetExamples:
    def test_sets_what_it_was_started_by(self, workflows: Workflows) -> None:
        workflow_id = activated(workflows, text_of("set"))
        found = started_by(workflows, workflow_id, event(TRIGGER, {"why": "because"}))
        assert (found["status"], found["output"]) == ("completed", {"startEvent": {"why": "because"}})

    def test_is_what_it_was_started_by(self, workflows: Workflows) -> None:
        workflow_id = activated(workflows, text_of("set-expression"))
        found = started_by(workflows, workflow_id, event(TRIGGER, {"why": "because"}))
        assert (found["status"], found["output"]) == ("completed", {"why": "because"})


class TestASchedule:
    def test_starts_a_run_every_second_while_others_are_under_way(self, workflows: Workflows) -> None:
        text = SCHEDULED.format(schedule="{every: PT1S}", do="[{rest: {wait: PT1H}}]")
        runs = started(workflows, activated(workflows, text), 3)
        assert {run.detail()["status"] for run in runs} == {"running"}

    def test_starts_the_next_run_a_second_after_one_has_ended(self, workflows: Workflows) -> None:
        text = SCHEDULED.format(schedule="{after: PT1S}", do="[{rest: {wait: PT0.2S}}]")
        workflow_id = activated(workflows, text)
        runs = started(workflows, workflow_id, 1)
        runs = started(workflows, workflow_id, 3)
        begun = sorted(run.events("run.started")[0]["time"] for run in runs)
        assert len(set(begun)) == len(begun)

    def test_hands_over_the_envelope_where_it_is_told_to(self, workflows: Workflows) -> None:
        schedule = "{on: {one: {with: {type: order.placed}}}, read: envelope}"
        text = SCHEDULED.format(schedule=schedule, do='[{keep: {set: "${ $workflow.input[0].type }"}}]')
        found = started_by(workflows, activated(workflows, text), event("order.placed", {"id": 1}))
        assert found["output"] == "order.placed"

    def test_hands_over_the_raw_data_where_it_is_told_to(self, workflows: Workflows) -> None:
        schedule = "{on: {one: {with: {type: order.placed}}}, read: raw}"
        text = SCHEDULED.format(schedule=schedule, do="[{keep: {set: {got: '${ $workflow.input[0] }'}}}]")
        found = started_by(workflows, activated(workflows, text), event("order.placed", {"id": 1}))
        assert found["output"] == {"got": {"id": 1}}

    def test_that_cannot_read_an_event_starts_nothing_and_goes_on(self, workflows: Workflows) -> None:
        schedule = "{on: {one: {with: {type: order.placed, data: '${ .total / .count > 1 }'}}}}"
        text = SCHEDULED.format(schedule=schedule, do="[{keep: {set: {got: '${ $workflow.input[0] }'}}}]")
        workflow_id = activated(workflows, text)
        for unreadable in ({"total": 1, "count": 0}, "a text", None):
            workflows.publish(event("order.placed", unreadable))
        found = started_by(workflows, workflow_id, event("order.placed", {"total": 4, "count": 2}))
        assert (found["status"], found["output"]) == ("completed", {"got": {"total": 4, "count": 2}})
        inputs = [run.detail()["input"] for run in workflows.runs(workflow_id)]
        assert inputs == [[{"total": 4, "count": 2}]] * len(inputs)

    def test_starts_nothing_for_an_event_of_another_kind(self, workflows: Workflows) -> None:
        text = SCHEDULED.format(schedule="{on: {one: {with: {type: order.placed}}}}", do="[{keep: {set: {a: 1}}}]")
        workflow_id = activated(workflows, text)
        started_by(workflows, workflow_id, event("order.placed", {}))
        before = len(workflows.runs(workflow_id))
        for _ in range(5):
            workflows.publish(event("order.lost", {}))
        time.sleep(1.0)
        assert len(workflows.runs(workflow_id)) == before

    @pytest.mark.timeout(120)
    def test_by_cron_starts_a_run_when_its_minute_comes(self, every_minute: tuple[Workflows, str]) -> None:
        workflows, workflow_id = every_minute
        found = started(workflows, workflow_id, 1, within_s=MINUTE_S + END_S_MAX)[0]
        [begun] = found.events("run.started")
        at = datetime.fromisoformat(begun["time"])
        assert at.second + at.microsecond / 1e6 < 5
        assert found.detail()["labels"] == {"schedule": "cron"}
