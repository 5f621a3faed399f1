"""What tasks of runs wait for is carried out, and whatever it comes to is told: without secrets, and in a form that an event can hold."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from events.catalog import CATALOG as EVENTS
from infra import functions
from infra.adapters.memory_store import MemoryEventStore
from infra.calls.call import CallSettings, open_resources
from infra.calls.contract import DETAIL_CHARACTERS_MAX
from infra.engines.command_bus import CommandBus
from infra.engines.standstill import StoodStill
from infra.errors import Rejection
from infra.functions import Function
from infra.patterns.activity import Activity, IfAlone
from infra.patterns.decider import Command
from infra.patterns.saga import Ask
from infra.settings import Settings
from sagas import performing
from sagas.carry_out_calls_on_run_task import key_of
from sagas.performing import Calls, Secrets, texts_of
from tests.infra.boxes import origin
from tests.infra.calls.other_side import LOOPBACK, OtherSide, other_side
from tests.write_side.running import workflow
from write_side.catalog import CATALOG as DECIDERS
from write_side.run_commands import AdvanceRun, AnswerRunTask, CancelRun, FailRunTask, StartRun, SuspendRun
from write_side.workflow import RegisterWorkflow

SECRET = 'bot/17:"s3cret key"'


async def nobody(command: Command) -> Rejection | None:
    raise AssertionError(command)


async def outcome(
    task: dict[str, Any],
    settings: Settings,
    *,
    secrets: Path | None = None,
    offered: Mapping[str, Function] | None = None,
    store: MemoryEventStore | None = None,
    stood_still: StoodStill = lambda: False,
) -> Ask | IfAlone | FailRunTask | None:
    """What carrying out the only task of a run came to."""
    bus = CommandBus(store or MemoryEventStore(), DECIDERS, EVENTS, settings)
    use = {"secrets": ["key"]} if secrets is not None else {}
    await bus.execute(RegisterWorkflow(definition=workflow([{"a": task}], use=use)), origin())
    await bus.execute(StartRun(run_id="r1", workflow_id="test.w"), origin())
    await bus.execute(AdvanceRun(run_id="r1"), origin())
    async with open_resources(CallSettings(networks_allowed=LOOPBACK, processes_allowed=True)) as resources:
        calls = Calls(bus, resources, Secrets(secrets), offered or {})
        return await calls.perform("acme", "run-r1", Activity(key_of("r1", 1)), nobody, stood_still)


async def performed(task: dict[str, Any], settings: Settings, **given: Any) -> AnswerRunTask | FailRunTask:
    """What the only performer makes of it."""
    found = await outcome(task, settings, **given)
    command = found.command if isinstance(found, Ask | IfAlone) else found
    assert isinstance(command, AnswerRunTask | FailRunTask)
    return command


@pytest.fixture
async def server() -> Any:
    async with other_side() as server:
        yield server


class TestAFunction:
    """It may return and say what it likes."""

    @pytest.fixture
    async def tried(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
        async def tried(function: Function) -> AnswerRunTask | FailRunTask:
            monkeypatch.setattr(functions, "_registered", {"it": function})
            return await performed({"call": "it"}, settings, offered={"it": function})

        return tried

    @pytest.mark.parametrize("said", ["a\x00b", "a\ud800b", "x" * 5_000])
    async def test_fails_its_task_whatever_it_says_of_the_error(self, tried: Any, said: str) -> None:
        async def breaks() -> None:
            raise KeyError(said)

        async def complains() -> None:
            raise ValueError(said)

        for function in (breaks, complains):
            failed = await tried(function)
            assert isinstance(failed, FailRunTask)
            assert (failed.error.title, failed.in_doubt) == ("Runtime Error", False)

    @pytest.mark.parametrize("output", [{1, 2}, float("nan"), "a\x00b", object()])
    async def test_has_done_its_work_if_its_output_cannot_be_recorded(self, tried: Any, output: Any) -> None:
        async def returns() -> Any:
            return output

        failed = await tried(returns)
        assert isinstance(failed, FailRunTask)
        assert failed.in_doubt
        assert str(failed.error.detail).startswith("the answer cannot be recorded: ")


@pytest.mark.outside
class TestASecret:
    """Wherever it stands in a call, no event of the run shows it."""

    @pytest.fixture
    def secrets(self, tmp_path: Path) -> Path:
        (tmp_path / "acme").mkdir()
        (tmp_path / "acme" / "key").write_text(SECRET)
        return tmp_path

    async def shows(self, task: dict[str, Any], settings: Settings, secrets: Path) -> str:
        found = await performed(task, settings, secrets=secrets)
        text = found.model_dump_json()
        assert not [part for part in texts_of(SECRET) if part in text]
        return text

    async def test_is_not_in_what_is_shown_of_a_request(
        self, server: OtherSide, settings: Settings, secrets: Path
    ) -> None:
        given = {
            "method": "post",
            "endpoint": '${ "' + server.at("/here", "there") + '" }',
            "query": {"token": "${ $secrets.key }", "more": "1"},
            "headers": {"X-Token": "${ $secrets.key }"},
            "output": "response",
        }
        text = await self.shows({"call": "http", "with": given}, settings, secrets)
        assert server.seen[0].headers["x-token"] == SECRET
        assert "there" in text
        assert "more=1" in text

    async def test_is_not_in_what_is_said_of_a_call_that_failed(
        self, server: OtherSide, settings: Settings, secrets: Path
    ) -> None:
        endpoint = f'${{ "{server.url}/" + ($secrets.key | @uri) + "/send" }}'
        text = await self.shows({"call": "http", "with": {"method": "post", "endpoint": endpoint}}, settings, secrets)
        assert "answered 404" in text

    async def test_is_not_in_an_error_that_quotes_the_request(
        self, server: OtherSide, settings: Settings, secrets: Path
    ) -> None:
        url = server.at("/echo", lambda seen: PlainTextResponse(seen.body, 400))
        given = {"method": "post", "endpoint": url, "body": {"a": "${ $secrets.key }"}}
        assert "answered 400" in await self.shows({"call": "http", "with": given}, settings, secrets)

    @pytest.mark.parametrize("before", range(DETAIL_CHARACTERS_MAX - 40, DETAIL_CHARACTERS_MAX, 8))
    async def test_does_not_begin_where_what_is_said_is_cut(
        self, before: int, settings: Settings, secrets: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(key: str) -> None:
            raise ValueError("x" * before + key)

        monkeypatch.setattr(functions, "_registered", {"it": refuse})
        task = {"call": "it", "with": {"key": "${ $secrets.key }"}}
        failed = await performed(task, settings, secrets=secrets, offered={"it": refuse})
        assert isinstance(failed, FailRunTask)
        assert SECRET[:4] not in str(failed.error.detail)

    async def test_is_not_in_what_a_process_says_of_its_end(self, settings: Settings, secrets: Path) -> None:
        shell = {"command": "echo no $1 >&2; exit 3", "arguments": ["${ $secrets.key }"]}
        assert "exit code 3" in await self.shows({"run": {"shell": shell}}, settings, secrets)


class TestACallThatFailed:
    """Whether another performer, if there may be one, could have fared better with the same call."""

    async def test_could_have_been_made_where_nobody_was_reached(self, settings: Settings) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            endpoint = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        found = await outcome({"call": "http", "with": {"method": "post", "endpoint": endpoint}}, settings)
        assert isinstance(found, IfAlone)
        assert isinstance(found.command, FailRunTask)
        assert found.otherwise == found.command.model_copy(update={"in_doubt": True})
        assert not found.command.in_doubt

    @pytest.mark.outside
    @pytest.mark.parametrize("status", [400, 500])
    async def test_could_not_where_it_was_answered(self, status: int, server: OtherSide, settings: Settings) -> None:
        url = server.at("/no", PlainTextResponse("no", status))
        found = await outcome({"call": "http", "with": {"method": "post", "endpoint": url}}, settings)
        assert isinstance(found, FailRunTask)
        assert not found.in_doubt

    async def test_could_not_where_it_is_wrong_in_itself(self, settings: Settings) -> None:
        found = await outcome({"call": "http", "with": {"method": "post", "endpoint": "ftp://a/"}}, settings)
        assert isinstance(found, FailRunTask)


class TestAfterAStandstill:
    """Just before something is done it is looked at once more, as another process may see it by now."""

    @pytest.fixture(autouse=True)
    def prepared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(performing, "_CATCH_UP_S", 0.05)
        monkeypatch.setattr(functions, "_registered", {"it": None})

    @pytest.fixture(params=["http", "it"])
    def task(self, request: pytest.FixtureRequest, server: OtherSide) -> dict[str, Any]:
        called = {"http": {"method": "post", "endpoint": server.at("/there", {})}, "it": {}}
        return {"call": request.param, "with": called[request.param]}

    async def carried_out(
        self, task: dict[str, Any], settings: Settings, *meanwhile: Command
    ) -> tuple[Ask | IfAlone | FailRunTask | None, list[str]]:
        """What came of a task while something else is done to its run, and what was done for it."""
        store, done, others = MemoryEventStore(), list[str](), set[asyncio.Task[Any]]()
        other = CommandBus(store, DECIDERS, EVENTS, settings)

        def stood_still() -> bool:
            """Once: the other process has its turn then."""
            if others:
                return False
            others.add(asyncio.create_task(elsewhere()))
            return True

        async def elsewhere() -> None:
            for command in meanwhile:
                await other.execute(command, origin())

        offered = {"it": lambda: done.append("it")}
        return await outcome(task, settings, offered=offered, store=store, stood_still=stood_still), done

    @pytest.mark.outside
    async def test_what_was_given_up_is_not_done(
        self, task: dict[str, Any], server: OtherSide, settings: Settings
    ) -> None:
        assert await self.carried_out(task, settings, CancelRun(run_id="r1"), AdvanceRun(run_id="r1")) == (None, [])
        assert server.seen == []

    @pytest.mark.outside
    @pytest.mark.parametrize("meanwhile", [[], [SuspendRun(run_id="r1")]])
    async def test_what_is_still_wanted_is_done_once(
        self, task: dict[str, Any], meanwhile: Sequence[Command], server: OtherSide, settings: Settings
    ) -> None:
        found, done = await self.carried_out(task, settings, *meanwhile)
        assert isinstance(found, Ask)
        assert len(done) + len(server.seen) == 1

    async def test_what_is_wanted_is_done_though_the_process_stands_still_for_ever(self, settings: Settings) -> None:
        done = list[str]()
        offered = {"it": lambda: done.append("it")}
        assert isinstance(await outcome({"call": "it"}, settings, offered=offered, stood_still=lambda: True), Ask)
        assert done == ["it"]


class TestTheTextsOfASecret:
    def test_are_all_that_it_holds_each_as_it_may_be_written(self) -> None:
        found = texts_of({"a": "x y", "b": [17, None, True], "c": {"d": '"'}})
        assert found == ("x y", "x%20y", "x+y", "17", '"', "%22", '\\"')
