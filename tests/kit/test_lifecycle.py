"""The lifecycle events of the specification on the running system: what the query API and JetStream tell of runs that do all there is."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import nats
import orjson
import pytest

from infra.supervisor import Supervisor
from tests.kit.example import event
from tests.kit.system import END_S_MAX, POLL_S, Run, Workflows

pytestmark = pytest.mark.servers

PREFIX = "io.serverlessworkflow."
NO = "https://example.com/no"
HEAD = "document: {{dsl: 1.0.3, namespace: lifecycle, name: {name}, version: 1.2.3}}\n"
LISTENING = "{to: {one: {with: {type: order.placed}, correlate: {orderId: {from: .data.id}}}}}"
RAISING = "{raise: {error: {type: 'https://example.com/no', status: 409, title: No}}}"
WHOLE = f"""
use:
  extensions:
    - first: {{extend: set, before: [{{pause: {{wait: PT0.3S}}}}]}}
do:
  - hear: {{listen: {LISTENING}}}
  - attempt:
      try: [{{fail: {RAISING}}}]
      catch:
        retry: {{delay: PT0.2S, limit: {{attempt: {{count: 1}}}}}}
        do: [{{rest: {{wait: PT0.2S}}}}]
  - left: {{if: '${{ false }}', set: {{a: 1}}}}
  - done: {{set: {{ok: true}}}}
"""
ENDLESS = "do: [{both: {fork: {branches: [{one: {wait: PT1H}}, {other: {wait: PT1H}}]}}}]"
FAULTY = f"do: [{{outer: {{do: [{{fail: {RAISING}}}]}}}}]"


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of one run: CloudEvents in the order of the query API, and those of its tenant on JetStream with their subjects."""

    run: Run
    events: list[dict[str, Any]]
    published: list[tuple[str, dict[str, Any]]]

    @property
    def name(self) -> str:
        return f"{self.run.detail()['workflow_id'].split('.')[1]}-{self.run.run_id}.lifecycle"

    def of(self, kind: str, task: str | None = None) -> list[dict[str, Any]]:
        """The data of the events of a kind, for example `task.created`, of one task if it is named."""
        found = [each["data"] for each in self.events if each["type"] == f"{PREFIX}{kind}.v1"]
        return [data for data in found if task is None or data["task"] == task]

    def statuses(self, task: str | None = None) -> list[str]:
        """The phases that the run went through, or one of its tasks."""
        kind = "workflow" if task is None else "task"
        return [data["status"] for data in self.of(f"{kind}.status-changed", task)]


def lifecycle_of(run: Run) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    path, more = f"/v1/runs/{run.run_id}/lifecycle", {}
    while True:
        page = run.workflows.ask(path, run.position, limit=7, **more)
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        more = {"cursor": page["next_cursor"]}


async def published(url: str, tenant_id: str, count: int) -> list[tuple[str, dict[str, Any]]]:
    """The first so many messages of a tenant."""
    client = await nats.connect(url)
    try:
        subscription = await client.jetstream().subscribe(f"lifecycle.{tenant_id}.>", ordered_consumer=True)
        messages = [await subscription.next_msg(END_S_MAX) for _ in range(count)]
        return [(message.subject, orjson.loads(message.data)) for message in messages]
    finally:
        await client.close()


def begin(workflows: Workflows, name: str, text: str) -> Run:
    whole = HEAD.format(name=name) + text
    workflows.register(whole)
    return workflows.start({"namespace": "lifecycle", "name": name, "version": "1.2.3"}, None)


def tell(run: Run, what: str, **fields: Any) -> None:
    answer = run.workflows.tell(f"/v1/runs/{run.run_id}/{what}", fields)
    assert answer.is_success, answer.text


def until_told(run: Run, kind: str, times: int = 1) -> None:
    """Wait until an event of a kind was told so often."""
    until = time.monotonic() + END_S_MAX
    while sum(each["type"] == f"{PREFIX}{kind}.v1" for each in lifecycle_of(run)) < times:
        assert time.monotonic() < until, f"{kind} was not told of"
        time.sleep(POLL_S)


def told(system: Supervisor, run: Run, ended: str) -> Told:
    """What was told of a run by its end; it is the only one of its tenant."""
    until_told(run, f"workflow.{ended}")
    events = lifecycle_of(run)
    assert system.settings.nats_url is not None
    found = asyncio.run(published(system.settings.nats_url, run.workflows.tenant_id, len(events)))
    return Told(run, events, found)


@pytest.fixture(scope="module")
def runs(system: Supervisor) -> Iterator[dict[str, Told]]:
    """One run that does all there is and completes, one that is cancelled, one that fails twice."""
    tenants = [Workflows(system.url("write_side"), system.url("read_side")) for _ in range(3)]
    whole = begin(tenants[0], "whole", WHOLE)
    cancelled = begin(tenants[1], "endless", ENDLESS)
    faulted = begin(tenants[2], "faulty", FAULTY)
    whole.until_awaiting("events")
    tell(whole, "suspend", reason="lunch")
    tell(whole, "resume")
    whole.hear(event("order.placed", {"id": "o-7"}))
    cancelled.until_awaiting("timer", 2)
    cancelled.cancel()
    until_told(faulted, "workflow.faulted")
    tell(faulted, "retry")
    until_told(faulted, "workflow.faulted", 2)
    yield {
        "whole": told(system, whole, "completed"),
        "cancelled": told(system, cancelled, "cancelled"),
        "faulted": told(system, faulted, "faulted"),
    }
    for each in tenants:
        each.close()


@pytest.fixture(scope="module")
def whole(runs: dict[str, Told]) -> Told:
    return runs["whole"]


HEARING, ATTEMPT, DONE = "/do/0/hear", "/do/1/attempt", "/do/3/done"
ERROR = {"type": NO, "status": 409, "title": "No"}


def only(data: dict[str, Any], moment: str, **fields: Any) -> None:
    """These fields, a moment, and nothing else."""
    assert datetime.fromisoformat(data[moment]).tzinfo is not None
    assert {name: value for name, value in data.items() if name != moment} == fields


class TestLifecycleEvents:
    def test_of_workflows_that_are_required_are_published(self, runs: dict[str, Told]) -> None:
        kinds = "started suspended resumed correlation-started correlation-completed cancelled faulted completed"
        found = {each["type"] for told in runs.values() for _, each in told.published}
        assert {f"{PREFIX}workflow.{kind}.v1" for kind in kinds.split()} <= found

    def test_of_tasks_that_are_required_are_published(self, runs: dict[str, Told]) -> None:
        kinds = "created started suspended resumed retried cancelled faulted completed"
        found = {each["type"] for told in runs.values() for _, each in told.published}
        assert {f"{PREFIX}task.{kind}.v1" for kind in kinds.split()} <= found

    def test_are_the_same_over_http_and_on_jetstream(self, runs: dict[str, Told]) -> None:
        for told in runs.values():
            assert [each for _, each in told.published] == told.events
            tenant_id = told.run.workflows.tenant_id
            kinds = [each["type"].removeprefix(PREFIX).removesuffix(".v1") for each in told.events]
            assert [subject for subject, _ in told.published] == [f"lifecycle.{tenant_id}.{kind}" for kind in kinds]
            assert len({each["id"] for each in told.events}) == len(told.events)
            assert {(each["specversion"], each["subject"]) for each in told.events} == {
                ("1.0", f"run-{told.run.run_id}")
            }

    def test_tell_of_each_task_that_it_began_and_ended(self, runs: dict[str, Told]) -> None:
        for told in (runs["whole"], runs["cancelled"]):
            begun = sorted(data["task"] for data in told.of("task.created"))
            ended = [data["task"] for kind in ("completed", "faulted", "cancelled") for data in told.of(f"task.{kind}")]
            assert begun == sorted(ended)

    def test_of_another_tenant_are_not_found(self, runs: dict[str, Told], workflows: Workflows) -> None:
        path = f"/v1/runs/{runs['whole'].run.run_id}/lifecycle"
        assert workflows._queries.get(path).status_code == 404


class TestAWorkflow:
    def test_is_started_with_its_definition(self, whole: Told) -> None:
        [data] = whole.of("workflow.started")
        reference = {"name": "whole", "namespace": "lifecycle", "version": "1.2.3"}
        only(data, "startedAt", name=whole.name, definition=reference)

    def test_is_suspended(self, whole: Told) -> None:
        only(*whole.of("workflow.suspended"), "suspendedAt", name=whole.name)

    def test_is_resumed(self, whole: Told, runs: dict[str, Told]) -> None:
        only(*whole.of("workflow.resumed"), "resumedAt", name=whole.name)
        only(*runs["faulted"].of("workflow.resumed"), "resumedAt", name=runs["faulted"].name)

    def test_has_started_correlating(self, whole: Told) -> None:
        only(*whole.of("workflow.correlation-started"), "startedAt", name=whole.name)

    def test_has_completed_correlating(self, whole: Told) -> None:
        [data] = whole.of("workflow.correlation-completed")
        only(data, "completedAt", name=whole.name, correlationKeys={"orderId": "o-7"})

    def test_is_cancelled(self, runs: dict[str, Told]) -> None:
        only(*runs["cancelled"].of("workflow.cancelled"), "cancelledAt", name=runs["cancelled"].name)

    def test_is_faulted_with_its_error(self, runs: dict[str, Told]) -> None:
        for data in runs["faulted"].of("workflow.faulted"):
            error = {**ERROR, "instance": "/do/0/outer/do/0/fail"}
            only(data, "faultedAt", name=runs["faulted"].name, error=error)

    def test_is_completed(self, whole: Told) -> None:
        # `outputUri` is optional and left out: an output is part of the answer about a run.
        only(*whole.of("workflow.completed"), "completedAt", name=whole.name)

    def test_tells_when_its_status_has_changed(self, whole: Told) -> None:
        for data in whole.of("workflow.status-changed"):
            only(data, "updatedAt", name=whole.name, status=data["status"])


class TestATask:
    def test_is_created(self, whole: Told) -> None:
        only(*whole.of("task.created", HEARING), "createdAt", workflow=whole.name, task=HEARING)
        # What is left out since its condition does not hold is no task of the run.
        assert whole.of("task.created", "/do/2/left") == []

    def test_is_started(self, whole: Told) -> None:
        only(*whole.of("task.started", HEARING), "startedAt", workflow=whole.name, task=HEARING)
        [created], [started] = whole.of("task.created", DONE), whole.of("task.started", DONE)
        assert created["createdAt"] < started["startedAt"]

    def test_that_is_open_is_suspended(self, whole: Told) -> None:
        only(*whole.of("task.suspended"), "suspendedAt", workflow=whole.name, task=HEARING)

    def test_that_is_suspended_is_resumed(self, whole: Told) -> None:
        only(*whole.of("task.resumed"), "resumedAt", workflow=whole.name, task=HEARING)

    def test_is_retried(self, whole: Told, runs: dict[str, Told]) -> None:
        only(*whole.of("task.retried"), "retriedAt", workflow=whole.name, task=ATTEMPT)
        retried = [data["task"] for data in runs["faulted"].of("task.retried")]
        assert retried == ["/do/0/outer", "/do/0/outer/do/0/fail"]

    def test_that_is_open_is_cancelled(self, runs: dict[str, Told]) -> None:
        branches = [f"/do/0/both/fork/branches/{place}" for place in ("1/other", "0/one")]
        found = runs["cancelled"].of("task.cancelled")
        assert [data["task"] for data in found] == [*branches, "/do/0/both"]
        for data in found:
            only(data, "cancelledAt", workflow=runs["cancelled"].name, task=data["task"])

    def test_has_faulted_with_its_error(self, whole: Told, runs: dict[str, Told]) -> None:
        assert len(whole.of("task.faulted", f"{ATTEMPT}/try/0/fail")) == 2
        error = {**ERROR, "instance": "/do/0/outer/do/0/fail"}
        for data in runs["faulted"].of("task.faulted"):
            only(data, "faultedAt", workflow=runs["faulted"].name, task=data["task"], error=error)
        assert runs["faulted"].of("task.faulted", "/do/0/outer")

    def test_has_completed(self, whole: Told) -> None:
        # `outputUri` is optional and left out, as for workflows.
        only(*whole.of("task.completed", HEARING), "completedAt", workflow=whole.name, task=HEARING)

    def test_tells_each_of_its_phases(self, whole: Told) -> None:
        for data in whole.of("task.status-changed"):
            only(data, "updatedAt", workflow=whole.name, task=data["task"], status=data["status"])


class TestTheStatusPhases:
    def test_of_runs_and_tasks_can_all_be_seen(self, runs: dict[str, Told]) -> None:
        phases = {"pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"}
        for kind in ("workflow", "task"):
            found = {data["status"] for told in runs.values() for data in told.of(f"{kind}.status-changed")}
            assert found == phases

    def test_of_a_run_can_be_seen(self, whole: Told, runs: dict[str, Told]) -> None:
        found = whole.statuses()
        assert found[:2] == ["pending", "running"]
        assert found[-1] == "completed"
        assert found[2:6] == ["waiting", "suspended", "waiting", "running"]
        assert runs["cancelled"].statuses()[-1] == "cancelled"
        assert runs["faulted"].statuses()[-4:] == ["running", "faulted", "running", "faulted"]

    def test_of_a_task_can_be_seen(self, whole: Told, runs: dict[str, Told]) -> None:
        assert whole.statuses(DONE) == ["pending", "running", "completed"]
        assert whole.statuses(HEARING) == ["waiting", "suspended", "waiting", "running", "completed"]
        assert runs["cancelled"].statuses("/do/0/both") == ["running", "cancelled"]
        assert runs["faulted"].statuses("/do/0/outer/do/0/fail") == ["running", "faulted"] * 2

    def test_can_be_seen_in_the_read_models_too(self, whole: Told, runs: dict[str, Told]) -> None:
        assert [runs[each].run.detail()["status"] for each in ("cancelled", "faulted")] == ["cancelled", "faulted"]
        statuses = {task["name"]: task["status"] for task in whole.run.tasks()}
        assert (statuses["hear"], statuses["fail"], statuses["left"]) == ("completed", "faulted", "skipped")
