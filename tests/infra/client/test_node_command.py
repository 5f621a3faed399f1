"""The program `foldwork node`, as far as it goes without a system: what is wrong is said plainly."""

import pytest

from foldwork import Client, Job, Node, Refused, Unavailable
from foldwork.node_command import main, node_of, parser

NEEDED = ["--name=box", "--cpu=1000", "--memory=100"]


async def nothing(job: Job) -> None:
    """Does nothing."""


def something(job: Job) -> None:
    """Is not async."""


class TestTheProgram:
    def test_makes_a_node_of_its_options(self) -> None:
        node = node_of(parser().parse_args([*NEEDED, "--label=zone=a=b", "--tenant=acme"]))
        assert (node.name, node.tenant, node.capacity.cpu_milli) == ("box", "acme", 1_000)
        assert node.capacity.labels == {"zone": "a=b"}

    @pytest.mark.parametrize(
        ("environment", "options", "expected"),
        [
            ({}, [], ("http://127.0.0.1:8000", "http://127.0.0.1:8001")),
            (
                {"FOLDWORK_COMMAND_PORT": "9000", "FOLDWORK_QUERY_PORT": "9001"},
                [],
                ("http://127.0.0.1:9000", "http://127.0.0.1:9001"),
            ),
            (
                {"FOLDWORK_COMMAND_PORT": "9000"},
                ["--commands=http://elsewhere"],
                ("http://elsewhere", "http://127.0.0.1:8001"),
            ),
        ],
    )
    def test_looks_where_foldwork_up_listens(
        self,
        environment: dict[str, str],
        options: list[str],
        expected: tuple[str, str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in ("FOLDWORK_COMMAND_PORT", "FOLDWORK_QUERY_PORT"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        found = parser().parse_args([*NEEDED, *options])
        assert (found.commands, found.queries) == expected

    @pytest.mark.parametrize("wrong", [[], ["--name=box"], [*NEEDED, "--label=zone"], [*NEEDED, "--cpu=many"]])
    def test_says_how_it_is_used(self, wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(wrong)
        assert ended.value.code == 2
        assert "usage: foldwork node" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("environment", "options", "named"),
        [
            ({"FOLDWORK_COMMAND_PORT": "18000x"}, [], "--commands"),
            ({"FOLDWORK_QUERY_PORT": "99999"}, [], "--queries"),
            ({}, ["--commands=http://127.0.0.1:99999"], "--commands"),
            ({}, ["--commands=foo"], "--commands"),
            ({}, ["--commands=http://"], "--commands"),
            ({}, ["--queries=nats://127.0.0.1:4222"], "--queries"),
        ],
    )
    def test_says_what_a_url_looks_like(
        self,
        environment: dict[str, str],
        options: list[str],
        named: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main([*NEEDED, *options])
        assert ended.value.code == 2
        assert f"error: argument {named}: a URL is like http://127.0.0.1:8000, " in capsys.readouterr().err

    @pytest.mark.parametrize(
        "url", ["http://[::1]:8000", "https://foldwork.example/api", "nats://a:4222,nats://b:4222"]
    )
    def test_takes_each_url_of_the_command_api(self, url: str) -> None:
        assert parser().parse_args([*NEEDED, f"--commands={url}"]).commands == url

    @pytest.mark.parametrize("engine", ["no-such-engine", pytest.param("false", marks=pytest.mark.outside)])
    def test_says_why_it_cannot_work(self, engine: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main([*NEEDED, f"--engine={engine}", "--commands=http://127.0.0.1:1"])
        assert ended.value.code in ("There is no no-such-engine in PATH.", "The container engine refused ps: ")


class TestAnAnswer:
    def test_that_refuses_says_which_fields_are_wrong(self) -> None:
        wrong = [
            {"pointer": "/cpu_milli", "detail": "must be positive"},
            {"parameter": "limit", "detail": "is too large"},
        ]
        refused = Refused({"detail": "Some of it is wrong.", "status": 422, "errors": wrong})
        assert str(refused) == "Some of it is wrong. (422)\n  /cpu_milli: must be positive\n  limit: is too large"

    @pytest.mark.outside
    async def test_that_does_not_come_says_from_where(self) -> None:
        async with Client("http://127.0.0.1:1", give_up_after_s=0.1) as client:
            with pytest.raises(Unavailable, match=r"within 0\.1 s at http://127\.0\.0\.1:1: .*connection"):
                await client.send("StartAgent", {"agent_id": "a"})


class TestANode:
    def test_takes_functions_that_can_be_stopped(self) -> None:
        node = Node("box", cpu_milli=1, memory_mib=1)
        assert node.job("nothing")(nothing) is nothing
        with pytest.raises(TypeError, match="must be async"):
            node.job("something")(something)  # type: ignore[arg-type]  # it is what is tested

    async def test_cannot_work_if_it_could_do_no_job(self) -> None:
        with pytest.raises(ValueError, match="the node box has no handler for any kind of job"):
            await Node("box", cpu_milli=1, memory_mib=1).serve()
