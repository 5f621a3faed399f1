"""What a node worker does with jobs, against a running system: functions do them, so that no container engine is needed."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from foldwork import Job, Node, Refused
from infra.settings import Settings
from tests.faults.system import BreakableSystem, running_system
from tests.journeys.fleet import WAIT_S_MAX, Fleet, Sleeper, double, fail, serving, until

SILENCE_S_MAX = 5.0

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system() -> AsyncIterator[BreakableSystem]:
    async with running_system(Settings(heartbeat_timeout_s=SILENCE_S_MAX)) as system:
        yield system


@pytest_asyncio.fixture(loop_scope="module")
async def fleet(system: BreakableSystem) -> AsyncIterator[Fleet]:
    found = Fleet(system)
    async with found.client:
        yield found


class TestANode:
    async def test_does_the_jobs_that_are_assigned_to_it(self, fleet: Fleet) -> None:
        async with serving(fleet.node(double=double)):
            job_id = await fleet.submit("double", payload={"n": 4}, requirements={"gpu_count": 1, "gpu_milli": 250})
            found = await fleet.job(job_id)
            assert (found["status"], found["result"]) == ("completed", {"twice": 8, "gpus": [[0, 250]]})
            assert found["duration_ms"] >= 0
            several = [await fleet.submit("double", payload={"n": number}) for number in range(20)]
            assert [(await fleet.job(each))["result"]["twice"] for each in several] == [*range(0, 40, 2)]

    async def test_says_why_an_attempt_failed(self, fleet: Fleet) -> None:
        async with serving(fleet.node(every_kind=True, fail=fail, double=double)):
            found = await fleet.job(await fleet.submit("fail"))
            assert (found["status"], found["error"]) == ("failed", "there is nothing to be done")
            found = await fleet.job(await fleet.submit("double", retries=1))
            assert (found["status"], found["attempt"], found["error"]) == ("failed", 2, "KeyError: 'n'")
            found = await fleet.job(await fleet.submit("other"))
            assert found["error"] == "The node box does no jobs of the kind other."

    async def test_fails_a_job_whose_result_cannot_be_kept(self, fleet: Fleet) -> None:
        async def too_much(job: Job) -> str:
            return "x" * 3_000_000

        async with serving(fleet.node(much=too_much)):
            found = await fleet.job(await fleet.submit("much"))
            assert found["status"] == "failed"
            assert "413" in found["error"]

    async def test_fails_a_job_whose_result_json_cannot_hold(self, fleet: Fleet) -> None:
        async def unordered(job: Job) -> set[int]:
            return {1, 2}

        async with serving(fleet.node(unordered=unordered)):
            found = await fleet.job(await fleet.submit("unordered"))
            assert (found["status"], found["error"]) == ("failed", "TypeError: Type is not JSON serializable: set")

    async def test_fails_a_job_that_waited_for_what_was_cancelled(self, fleet: Fleet) -> None:
        async def waiting(job: Job) -> None:
            other = asyncio.create_task(asyncio.sleep(60))
            other.cancel()
            await other

        async with serving(fleet.node(waiting=waiting)):
            found = await fleet.job(await fleet.submit("waiting"))
            assert (found["status"], found["error"]) == ("failed", "CancelledError: ")

    async def test_stops_a_job_that_is_cancelled(self, fleet: Fleet) -> None:
        sleeper = Sleeper()
        async with serving(fleet.node(sleep=sleeper.do)):
            job_id = await fleet.submit("sleep")
            await until(lambda: sleeper.began)
            await fleet.client.send("CancelJob", {"job_id": job_id})
            await until(lambda: sleeper.stopped)
            assert sleeper.stopped == [(job_id, 1)]

    async def test_stops_a_job_that_is_queued_again_elsewhere_since_nobody_heard_of_it(self, fleet: Fleet) -> None:
        sleeper, other = Sleeper(), Sleeper()
        other.done.set()
        async with serving(fleet.node(heartbeat_s=1_000.0, sleep=sleeper.do)):
            job_id = await fleet.submit("sleep")
            await until(lambda: sleeper.began)
            async with serving(fleet.node("other", sleep=other.do)):
                await until(lambda: sleeper.stopped)
                found = await fleet.job(job_id)
        assert (found["status"], found["attempt"], found["result"]) == ("completed", 2, "woken")
        assert (sleeper.stopped, other.began) == ([(job_id, 1)], [(job_id, 2)])

    async def test_is_missed_also_if_its_only_heartbeat_was_lost_with_the_command_api(
        self, fleet: Fleet, system: BreakableSystem
    ) -> None:
        machine = {"node_id": "n1", "name": "n1", "cpu_milli": 1_000, "memory_mib": 1_000}
        await fleet.client.send("RegisterNode", machine)
        await fleet.client.send("HeartbeatNode", {"node_id": "n1"})
        system.kill("write_side")
        async with asyncio.timeout(WAIT_S_MAX):
            while (await fleet.client.query("/v1/nodes/n1"))["status"] != "offline":
                await asyncio.sleep(0.1)

    async def test_begins_again_what_it_had_not_ended_when_it_was_restarted(self, fleet: Fleet) -> None:
        before, after = Sleeper(), Sleeper()
        first = fleet.node(sleep=before.do)
        async with serving(first):
            job_id = await fleet.submit("sleep", requirements={"gpu_count": 1})
            await until(lambda: before.began)
        meanwhile = await fleet.submit("sleep")
        after.done.set()
        second = fleet.node(sleep=after.do)
        async with serving(second):
            for each in (job_id, meanwhile):
                found = await fleet.job(each)
                assert (found["status"], found["attempt"]) == ("completed", 1)
        assert first.node_id == second.node_id
        assert set(after.began) == {(job_id, 1), (meanwhile, 1)}

    async def test_does_not_begin_again_what_it_has_just_done(self, fleet: Fleet, system: BreakableSystem) -> None:
        """A list of what it had may be from before that, as long as the read models are behind."""
        sleeper = Sleeper()
        node = fleet.node(sleep=sleeper.do)
        async with serving(node):
            before = node._client.position
            job_id = await fleet.submit("sleep")
            await until(lambda: sleeper.began)
            await fleet.job(job_id, "running")
            system.kill("projections", signal.SIGSTOP)
            sleeper.done.set()
            await until(lambda: not node._doing)
            node._take((job_id, 1), before, ())
            await asyncio.sleep(0.3)
            system.kill("projections", signal.SIGCONT)
            assert (await fleet.job(job_id))["status"] == "completed"
            await until(lambda: not node._doing)
        assert sleeper.began == [(job_id, 1)]

    async def test_lets_its_jobs_end_before_it_retires(self, fleet: Fleet) -> None:
        sleeper = Sleeper()
        node = fleet.node(sleep=sleeper.do)
        async with serving(node) as work:
            job_id = await fleet.submit("sleep")
            await until(lambda: sleeper.began)
            node.drain()
            await asyncio.sleep(0.5)
            assert not work.done()
            sleeper.done.set()
            async with asyncio.timeout(WAIT_S_MAX):
                await work
            assert (await fleet.job(job_id))["result"] == "woken"
            assert await fleet.nodes(node) == {node.node_id: "retired"}

    async def test_lets_its_jobs_end_also_while_nobody_hears_that_it_leaves(
        self, fleet: Fleet, system: BreakableSystem
    ) -> None:
        sleeper = Sleeper()
        node = fleet.node(sleep=sleeper.do)
        async with serving(node) as work:
            job_id = await fleet.submit("sleep")
            await until(lambda: sleeper.began)
            patience_s, node._client._give_up_after_s = node._client._give_up_after_s, 0.5
            system.kill("write_side", signal.SIGSTOP)
            node.drain()
            await asyncio.sleep(1.0)
            assert (work.done(), sleeper.stopped) == (False, [])
            system.kill("write_side", signal.SIGCONT)
            node._client._give_up_after_s = patience_s
            sleeper.done.set()
            async with asyncio.timeout(WAIT_S_MAX):
                await work
            assert (await fleet.job(job_id))["result"] == "woken"
            assert await fleet.nodes(node) == {node.node_id: "retired"}

    async def test_is_another_node_when_it_has_another_capacity(self, fleet: Fleet) -> None:
        async with serving(fleet.node(double=double)):
            pass
        larger = Node("box", cpu_milli=4_000, memory_mib=1_000, tenant=fleet.tenant, **fleet.urls)
        larger.job("double")(double)
        async with serving(larger):
            found = await fleet.nodes(larger)
            assert found.pop(larger.node_id) == "online"
            assert set(found.values()) == {"retired"}

    async def test_is_another_node_when_it_does_other_kinds_of_jobs(self, fleet: Fleet) -> None:
        async with serving(fleet.node(double=double, fail=fail)):
            pass
        again = fleet.node(fail=fail, double=double)
        async with serving(again):
            assert await fleet.nodes(again) == {again.node_id: "online"}
        other = fleet.node(double=double)
        async with serving(other):
            assert await fleet.nodes(other) == {again.node_id: "retired", other.node_id: "online"}
        anything = fleet.node(every_kind=True, double=double)
        async with serving(anything):
            found = await fleet.nodes(anything)
            assert [node_id for node_id, status in found.items() if status == "online"] == [anything.node_id]

    async def test_goes_on_when_the_apis_were_away(self, fleet: Fleet, system: BreakableSystem) -> None:
        sleeper = Sleeper()
        async with serving(fleet.node(sleep=sleeper.do, double=double)) as work:
            job_id = await fleet.submit("sleep")
            await until(lambda: sleeper.began)
            system.kill("read_side")
            system.kill("write_side")
            sleeper.done.set()
            assert (await fleet.job(job_id))["result"] == "woken"
            assert (await fleet.job(await fleet.submit("double", payload={"n": 1})))["status"] == "completed"
            assert not work.done()


class TestAFleetOfSeveralKinds:
    async def test_does_each_job_on_a_node_that_does_its_kind(self, fleet: Fleet) -> None:
        async def greet(job: Job) -> str:
            return "hello"

        first, second = fleet.node("first", double=double), fleet.node("second", greet=greet)
        async with serving(first), serving(second):
            rows = (await fleet.client.query("/v1/nodes", min_position=second._client.position))["data"]
            assert {row["name"]: row["kinds"] for row in rows} == {"first": ["double"], "second": ["greet"]}
            doubled = [await fleet.submit("double", payload={"n": number}) for number in range(10)]
            greeted = [await fleet.submit("greet") for _ in range(10)]
            for job_ids, node in ((doubled, first), (greeted, second)):
                found = [await fleet.job(job_id) for job_id in job_ids]
                assert {(job["status"], job["node_id"]) for job in found} == {("completed", node.node_id)}

    async def test_lets_a_job_wait_for_its_node_and_refuses_what_no_node_does(self, fleet: Fleet) -> None:
        sleeper = Sleeper()
        sleeper.done.set()
        async with serving(fleet.node("first", double=double)):
            async with serving(fleet.node("second", sleep=sleeper.do)):
                pass
            job_id = await fleet.submit("sleep")
            assert (await fleet.job(await fleet.submit("double", payload={"n": 1})))["status"] == "completed"
            assert sleeper.began == []
            async with serving(fleet.node("second", sleep=sleeper.do)):
                assert (await fleet.job(job_id))["result"] == "woken"
            with pytest.raises(Refused, match="no node of the fleet does jobs of the kind render") as refused:
                await fleet.submit("render")
        assert (refused.value.status, refused.value.code) == (422, "no-node-can-hold")
