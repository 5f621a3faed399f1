"""Containers as jobs: what the engine is asked for, what is answered, what is cleaned up, and what holds too much. No engine is needed."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from foldwork import ContainerLimits, Containers, Gpu, Job, JobError
from foldwork.container_engine import EngineMissing
from foldwork.container_options import create_arguments, name_for
from foldwork.container_request import ContainerRequest, seconds_of
from infra.cancellation import end
from tests.infra.client.stand_in_engine import MADE, StandInEngine

MINE = ["--filter=label=dev.foldwork.tenant=acme", "--filter=label=dev.foldwork.job=run.1"]
FIND = ["ps", "--all", "--quiet", "--no-trunc"]
SECRET = "correct horse"


def job_of(container: Mapping[str, Any], wanted: str = "stdout", **more: Any) -> Job:
    given: dict[str, Any] = {"cpu_milli": 1_500, "memory_mib": 256, "gpus": (), **more}
    payload = {"return": wanted, "container": {"image": "alpine", **container}}
    return Job(id="run.1", tenant="acme", kind="container", attempt=2, payload=payload, labels={}, **given)


def arguments_of(
    container: Mapping[str, Any], limits: ContainerLimits | None = None, variables: str | None = None, **more: Any
) -> list[str]:
    job = job_of(container, **more)
    request = ContainerRequest.of(job.payload)
    return create_arguments(job, "box", request, limits or ContainerLimits(), ["--network=none"], variables)


@pytest.fixture
def engine(tmp_path: Path) -> StandInEngine:
    found = StandInEngine(tmp_path)
    found.write({})
    return found


def containers_of(engine: StandInEngine, **limits: Any) -> Containers:
    return Containers(engine.program, limits=ContainerLimits(**limits))


class TestTheCommandLine:
    def test_says_all_that_the_task_asks_for(self) -> None:
        container = {
            "command": "echo $1",
            "arguments": ["Foo", 7],
            "ports": {"80": 8080, "53/udp": "5353"},
            "volumes": {"kept": "/kept:ro"},
            "environment": {"TOKEN": SECRET},
            "pullPolicy": "always",
            "lifetime": {"cleanup": "eventually", "after": {"minutes": 30}},
        }
        assert arguments_of(container, variables="/file", gpus=(Gpu(0, 1_000), Gpu(3, 1_000))) == [
            *("create", "--interactive", "--pull=always", f"--name={name_for(job_of({}))}"),
            *("--label=dev.foldwork.tenant=acme", "--label=dev.foldwork.node=box", "--label=dev.foldwork.job=run.1"),
            *("--label=dev.foldwork.attempt=2", "--label=dev.foldwork.cleanup=eventually"),
            "--label=dev.foldwork.remove-after-s=1800.000",
            *("--pids-limit=1024", "--cpus=1.500", "--memory=256m"),
            *("--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=3", "--env-file=/file"),
            *("--publish=127.0.0.1:8080:80/tcp", "--publish=127.0.0.1:5353:53/udp", "--volume=kept:/kept:ro"),
            *("--network=none", "--entrypoint=/bin/sh", "--", "alpine", "-c", "echo $1", "sh", "Foo", "7"),
        ]

    def test_leaves_out_what_is_not_asked_for(self) -> None:
        found = arguments_of({"name": "mine"}, ContainerLimits(capacity_enforced=False))
        labels = [word for word in found if word.startswith("--label=")]
        assert [word for word in found if word not in labels] == [
            *("create", "--interactive", "--pull=missing", "--name=mine", "--network=none", "--", "alpine")
        ]

    def test_asks_for_no_less_than_engines_take(self) -> None:
        found = arguments_of({}, cpu_milli=1, memory_mib=1)
        assert {"--cpus=0.010", "--memory=6m"} <= set(found)

    def test_holds_nothing_to_a_memory_of_none(self) -> None:
        assert not any(word.startswith("--memory") for word in arguments_of({}, memory_mib=0))

    def test_names_a_container_after_its_attempt(self) -> None:
        assert name_for(job_of({})).startswith("foldwork-run.1-2-")

    def test_gives_only_folders_that_the_operator_allows(self, tmp_path: Path) -> None:
        for name in ("open", "open/inner", "closed"):
            (tmp_path / name).mkdir()
        (tmp_path / "open" / "out").symlink_to(tmp_path / "closed")
        limits = ContainerLimits(volumes_allowed=[f"{tmp_path}/open"])
        inner = f"{tmp_path}/open/inner"
        assert f"--volume={inner}:/in:rw" in arguments_of({"volumes": {inner: "/in"}}, limits)
        for refused in ("closed", "open/out", "open/../closed", "openly"):
            with pytest.raises(JobError, match="has not allowed"):
                arguments_of({"volumes": {f"{tmp_path}/{refused}": "/in"}}, limits)
        with pytest.raises(JobError, match="has not allowed"):
            arguments_of({"volumes": {"/": "/in"}})


class TestARequest:
    @pytest.mark.parametrize(
        ("container", "place"),
        [
            ({"image": "--privileged"}, "image"),
            ({"image": None}, "image"),
            ({"name": "--rm"}, "name"),
            ({"name": "a b"}, "name"),
            ({"command": "a\x00b"}, "command"),
            ({"command": "x" * 200_000}, "command"),
            ({"pullPolicy": "rarely"}, "pullPolicy"),
            ({"lifetime": {"cleanup": "soon"}}, "lifetime/cleanup"),
            ({"lifetime": {"cleanup": "eventually", "after": "soon"}}, "lifetime/after"),
            ({"lifetime": {"cleanup": "eventually", "after": "PT1.1.1S"}}, "lifetime/after"),
            ({"ports": {"80": "x"}}, "ports"),
            ({"ports": {"0": 80}}, "ports"),
            ({"ports": {"80": 70_000}}, "ports"),
            ({"volumes": {"a": "/b:ro,exec"}}, "volumes"),
            ({"volumes": {"../a": "/b"}}, "volumes"),
            ({"volumes": {"a": "b"}}, "volumes"),
            ({"environment": {"A B": "c"}}, "environment"),
            ({"environment": {"A": "b\nLD_PRELOAD=c"}}, "environment/A"),
            ({"environment": ["A"]}, "environment"),
        ],
    )
    def test_that_cannot_be_carried_out_says_where(self, container: dict[str, Any], place: str) -> None:
        with pytest.raises(JobError, match=f"The container's {place} must be "):
            ContainerRequest.of(job_of(container).payload)

    def test_has_values_as_processes_take_them(self) -> None:
        found = ContainerRequest.of(job_of({"stdin": {"a": 1}, "environment": {"A": True, "B": None}}).payload)
        assert (found.stdin, found.environment) == (b'{"a":1}', {"A": "true", "B": ""})

    def test_knows_durations(self) -> None:
        assert seconds_of({"hours": 1, "milliseconds": 500}) == 3_600.5
        assert seconds_of("P1DT1M0.5S") == 86_460.5


@pytest.mark.outside
class TestAContainer:
    async def test_is_made_started_and_kept(self, engine: StandInEngine) -> None:
        engine.write({}, start=[{"stdout": "hello\n"}])
        job = job_of({"stdin": "in", "environment": {"TOKEN": SECRET}})
        assert await containers_of(engine).do(job) == "hello\n"
        find, create, start, inspect = engine.asked()
        assert [find["words"], start["words"]] == [
            [*FIND, *MINE],
            ["start", "--attach", "--interactive", MADE],
        ]
        assert start["stdin"] == "in"
        assert (create["mode"], create["variables"]) == (0o600, f"TOKEN={SECRET}\n")
        assert not engine.is_there(create["path"])
        assert not any(SECRET in word for each in engine.asked() for word in each["words"])
        assert inspect["words"][0] == "inspect"

    @pytest.mark.parametrize(
        ("wanted", "code", "result"),
        [
            ("stdout", 0, "out\ufffd"),
            ("stderr", 3, "err"),
            ("code", 3, 3),
            ("all", 3, {"code": 3, "stdout": "out\ufffd", "stderr": "err"}),
            ("none", 3, None),
        ],
    )
    async def test_answers_what_is_to_be_returned(
        self, engine: StandInEngine, wanted: str, code: int, result: Any
    ) -> None:
        engine.write({"ExitCode": code}, start=[{"stdout": "out\x00", "stderr": "err", "code": code}])
        assert await containers_of(engine).do(job_of({}, wanted)) == result

    async def test_fails_with_an_exit_code_where_its_output_is_wanted(self, engine: StandInEngine) -> None:
        engine.write({"ExitCode": 3}, start=[{"stderr": f"no {SECRET}\n", "code": 3}])
        with pytest.raises(JobError) as failed:
            await containers_of(engine).do(job_of({"environment": {"TOKEN": SECRET}}))
        assert str(failed.value) == "The container ended with the exit code 3: no ***"

    async def test_says_when_it_took_too_much_memory(self, engine: StandInEngine) -> None:
        engine.write({"ExitCode": 137, "OOMKilled": True})
        with pytest.raises(JobError, match="137, since it took more memory than it may"):
            await containers_of(engine).do(job_of({}))

    async def test_says_when_it_cannot_be_made_or_started(self, engine: StandInEngine) -> None:
        engine.write({}, create=[{"code": 125, "stderr": "no such image"}])
        with pytest.raises(JobError, match=r"^The container could not be made: no such image$"):
            await containers_of(engine).do(job_of({}))
        engine.write({"StartedAt": "0001-01-01T00:00:00Z"}, start=[{"code": 127, "stderr": "no such program"}])
        with pytest.raises(JobError, match=r"^The container could not be started: no such program$"):
            await containers_of(engine).do(job_of({}))

    async def test_has_no_other_of_its_job_beside_it(self, engine: StandInEngine) -> None:
        engine.write({}, ps=[{"stdout": "old\nolder\n"}])
        await containers_of(engine).do(job_of({}))
        assert engine.commands()[1:5] == [
            *(["stop", "-t", "10", "old"], ["rm", "--force", "--volumes", "old"]),
            *(["stop", "-t", "10", "older"], ["rm", "--force", "--volumes", "older"]),
        ]
        assert engine.names()[5:] == ["create", "start", "inspect"]

    async def test_follows_its_arguments_if_its_image_has_only_a_command(self, engine: StandInEngine) -> None:
        for entrypoint, expected in ((None, ["echo", "a"]), (["/run"], ["a"])):
            described = {"stdout": orjson.dumps([entrypoint, ["echo"]]).decode()}
            engine.write({}, image=[{"code": 1}, described])
            await containers_of(engine).do(job_of({"arguments": ["a"]}))
            names = engine.names()[-6:]
            assert names == ["image", "pull", "image", "create", "start", "inspect"]
            create = engine.commands()[-3]
            assert "--pull=never" in create
            assert create[create.index("--") + 1 :] == ["alpine", *expected]


@pytest.mark.outside
class TestTheEndOfAContainer:
    @pytest.mark.parametrize(("cleanup", "removed"), [("always", True), ("never", False)])
    async def test_is_as_its_lifetime_says(self, engine: StandInEngine, cleanup: str, removed: bool) -> None:
        job = job_of({"lifetime": {"cleanup": cleanup}})
        await containers_of(engine).do(job)
        assert (["rm", "--force", "--volumes", MADE] in engine.commands()) == removed

    async def test_comes_some_time_later_if_so_wanted(self, engine: StandInEngine) -> None:
        job = job_of({"lifetime": {"cleanup": "eventually", "after": {"milliseconds": 300}}})
        containers = containers_of(engine)
        await containers.do(job)
        assert "rm" not in engine.names()
        async with asyncio.timeout(10):
            while "rm" not in engine.names():
                await asyncio.sleep(0.02)
        await containers.close()

    async def test_comes_when_it_takes_too_long(self, engine: StandInEngine) -> None:
        engine.write({}, start=[{"s": 30}])
        since = time.monotonic()
        job = job_of({"lifetime": {"cleanup": "always"}})
        with pytest.raises(JobError, match=r"did not end within 0\.5 s"):
            await containers_of(engine, run_s_max=0.5).do(job)
        assert time.monotonic() - since < 10
        assert engine.commands()[-1] == ["rm", "--force", "--volumes", MADE]

    async def test_comes_when_it_writes_too_much(self, engine: StandInEngine) -> None:
        engine.write({}, start=[{"stdout": "x" * 70, "stderr": "y" * 70, "s": 30}])
        with pytest.raises(JobError, match="wrote more than 100 bytes"):
            await containers_of(engine, output_bytes_max=100).do(job_of({}, "none"))
        assert engine.commands()[-1] == ["stop", "-t", "10", MADE]

    async def test_comes_when_its_job_is_cancelled_whatever_its_lifetime_is(self, engine: StandInEngine) -> None:
        engine.write({}, start=[{"s": 30}], ps=[{}, {"stdout": "this"}])
        doing = asyncio.create_task(containers_of(engine).do(job_of({})))
        async with asyncio.timeout(10):
            while "start" not in engine.names():
                await asyncio.sleep(0.02)
        await end(doing)
        assert doing.cancelled()
        assert engine.commands()[-3:] == [
            [*FIND, *MINE, "--filter=label=dev.foldwork.attempt=2"],
            ["stop", "-t", "10", "this"],
            ["rm", "--force", "--volumes", "this"],
        ]

    async def test_comes_when_its_node_begins_again(self, engine: StandInEngine) -> None:
        ended = {"stdout": '["2026-01-01T00:00:00.5Z", "3.0"]'}
        ps = [{"stdout": "running"}, {"stdout": "ended"}, {"stdout": "due"}]
        engine.write({}, ps=ps, inspect=[ended])
        containers = containers_of(engine)
        await containers.open("acme", "box")
        async with asyncio.timeout(10):
            while [words[-1] for words in engine.commands() if words[0] == "rm"] != ["running", "ended", "due"]:
                await asyncio.sleep(0.02)
        await containers.close()
        found = [words[4:] for words in engine.commands() if words[0] == "ps"]
        mine = ["--filter=label=dev.foldwork.tenant=acme", "--filter=label=dev.foldwork.node=box"]
        assert [words[:2] for words in found] == [mine] * 3
        assert [words[2:] for words in found] == [
            ["--filter=status=created", "--filter=status=running", "--filter=status=paused"],
            ["--filter=label=dev.foldwork.cleanup=always"],
            ["--filter=label=dev.foldwork.remove-after-s"],
        ]


class TestAnEngine:
    async def test_has_to_be_there(self) -> None:
        containers = Containers("no-such-engine")
        with pytest.raises(EngineMissing):
            await containers.open("acme", "box")
        await containers.close()

    @pytest.mark.outside
    async def test_is_given_the_operators_arguments(self, engine: StandInEngine) -> None:
        await Containers(engine.program, engine_arguments=["--runtime=runc"]).do(job_of({}))
        assert all(words[0] == "--runtime=runc" for words in engine.commands())
