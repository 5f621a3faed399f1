"""What a program of a user's does with foldwork-client, against a running system."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from foldwork import Client, Refused, Task, Unavailable, Worker, subscribe
from infra.cancellation import end
from infra.settings import Settings
from tests.faults.system import BreakableSystem, running_system

TENANT = "acme"
WAIT_S_MAX = 20.0
AGENT = {"name": "Ada", "agent_type": "reactive"}

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system() -> AsyncIterator[BreakableSystem]:
    async with running_system(Settings()) as system:
        yield system


def client_of(system: BreakableSystem, *, over_nats: bool = False, tenant: str = TENANT) -> Client:
    commands = system.nats_url if over_nats else system.url("write_side")
    return Client(commands, system.url("read_side"), tenant=tenant, actor="user:ada", give_up_after_s=60.0)


class TestAClient:
    @pytest.mark.parametrize("over_nats", [False, True])
    async def test_sends_commands_and_reads_what_it_wrote(self, system: BreakableSystem, over_nats: bool) -> None:
        async with client_of(system, over_nats=over_nats, tenant=f"t{over_nats:d}") as client:
            created = await client.send("CreateAgent", {**AGENT, "agent_id": "a"}, command_id="k")
            assert await client.send("CreateAgent", {**AGENT, "agent_id": "a"}, command_id="k") == created
            await client.send("StartAgent", {"agent_id": "a"}, expected_version=created.version)
            assert (await client.query("/v1/agents/a"))["status"] == "started"
            assert [agent["name"] for agent in (await client.query("/v1/agents", name="Ada"))["data"]] == ["Ada"]
            with pytest.raises(Refused) as refused:
                await client.send("StartAgent", {"agent_id": "a"})
            assert (refused.value.status, refused.value.code) == (409, "agent-already-started")
            with pytest.raises(Refused) as refused:
                await client.send("Nothing")
            assert (refused.value.status, refused.value.code) == (404, "command-unknown")
            with pytest.raises(Refused) as refused:
                await client.query("/v1/agents/b")
            assert refused.value.status == 404

    @pytest.mark.parametrize("agent_id", ["c/delete#", "c/delete?", "c/../c/delete#"])
    async def test_sends_the_command_that_was_named_whatever_the_id(
        self, system: BreakableSystem, agent_id: str
    ) -> None:
        async with client_of(system, tenant="ids") as client:
            with contextlib.suppress(Refused):
                await client.send("CreateAgent", {**AGENT, "agent_id": "c"})
            with pytest.raises(Refused):
                await client.send("StartAgent", {"agent_id": agent_id})
            assert (await client.query("/v1/agents/c"))["status"] == "created"

    async def test_gives_up_after_a_while(self, system: BreakableSystem) -> None:
        for commands in ("http://127.0.0.1:1", system.nats_url):
            async with Client(commands, "http://127.0.0.1:1", give_up_after_s=0.3) as client:
                with pytest.raises(Unavailable):
                    await client.query("/v1/agents")

    async def test_follows_events_across_restarts(self, system: BreakableSystem) -> None:
        async with client_of(system) as client:
            start = (
                await client.send("CreateAgent", {"name": "Bea", "agent_type": "reactive", "agent_id": "b"})
            ).position
            events = subscribe(
                system.url("read_side"),
                tenant=TENANT,
                after=start,
                types=["agent.started", "agent.stopped"],
                stream="agent-b",
            )
            async with contextlib.aclosing(events), asyncio.timeout(WAIT_S_MAX):
                await client.send("StartAgent", {"agent_id": "b"})
                first = await anext(events)
                system.kill("read_side")
                await client.send("StopAgent", {"agent_id": "b", "reason": "done"})
                second = await anext(events)
        assert (first.type, first.subject) == ("agent.started", "agent-b")
        assert (second.type, second.data) == ("agent.stopped", {"reason": "done"})
        assert second.position > first.position > start

    async def test_cannot_follow_what_there_is_not(self, system: BreakableSystem) -> None:
        await system.until_ready("read_side")
        with pytest.raises(Refused):
            await anext(subscribe(system.url("read_side"), types=["agent.flew"]))


class TestAWorker:
    async def test_does_tasks_whatever_dies_meanwhile(self, system: BreakableSystem) -> None:
        worker = Worker(system.nats_url, tenant=TENANT, agent="summariser", capabilities=["summarise"], ack_wait_s=2.0)

        @worker.task
        async def handle(task: Task) -> dict[str, str]:
            await task.say("Reading.")
            await task.stream("The tides")
            await task.usage("small", 3, 5)
            await asyncio.sleep(0.05)
            return {"of": task.input["about"]}

        serving = asyncio.create_task(worker.serve())
        async with client_of(system) as client:

            async def request(number: int) -> None:
                fields = {
                    "task_id": f"t{number}",
                    "capability": "summarise",
                    "title": "Tides",
                    "input": {"about": f"{number}"},
                }
                await client.send("RequestTask", fields, command_id=f"request-{number}")

            requesting = asyncio.gather(*(request(number) for number in range(60)))
            for part in ("write_side", "sagas", "relay"):
                await asyncio.sleep(0.1)
                system.kill(part)
            await requesting
            async with asyncio.timeout(60):
                while (await client.query("/v1/summaries/tasks"))["by_status"].get("completed") != 60:
                    await asyncio.sleep(0.1)
            done = [await client.query(f"/v1/tasks/t{number}") for number in range(60)]
            assert [row["result"] for row in done] == [{"of": str(number)} for number in range(60)]
            assert {row["agent_id"] for row in done} == {worker.agent_id}
            timeline = await client.query("/v1/tasks/t7/timeline")
            assert len([entry for entry in timeline["data"] if "step" in entry["type"]]) == 1
        await end(serving)

    async def test_is_watched_while_it_writes(self, system: BreakableSystem) -> None:
        worker = Worker(system.nats_url, tenant=TENANT, agent="writer", capabilities=["write"])
        watched = asyncio.Event()

        @worker.task
        async def handle(task: Task) -> None:
            await watched.wait()
            for word in ("one ", "two"):
                await task.stream(word)

        serving = asyncio.create_task(worker.serve())
        async with client_of(system) as client, asyncio.timeout(WAIT_S_MAX):
            answer = await client.send("RequestTask", {"task_id": "w", "capability": "write", "title": "Write"})
            headers = {"Foldwork-Tenant": TENANT, "Foldwork-Min-Position": str(answer.position)}
            found = []
            async with (
                httpx.AsyncClient(base_url=system.url("read_side"), headers=headers) as http,
                http.stream("GET", "/v1/tasks/w/live") as text,
            ):
                async for line in text.aiter_lines():
                    if line == ": listening":
                        watched.set()
                    if line.startswith("event:"):
                        found.append(line.removeprefix("event: "))
        assert found == ["text", "text", "ended"]
        await end(serving)
