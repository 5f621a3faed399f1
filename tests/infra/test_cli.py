"""The command line: plain answers, plain errors, exit codes."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from infra import cli
from infra.embedded.folder import DataFolder
from infra.embedded.servers import EmbeddedServers


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FOLDWORK_DATABASE_URL", "FOLDWORK_NATS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FOLDWORK_DATA_DIR", str(tmp_path / "data"))


def foldwork(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, arguments, input=answer)


class TestWhereNothingRuns:
    def test_the_version_is_shown(self) -> None:
        result = foldwork("--version")
        assert (result.exit_code, result.stdout) == (0, f"foldwork {version('foldwork')}\n")

    @pytest.mark.parametrize("command", ["status", "migrate", "projections list", "dead-letters list"])
    def test_a_command_says_how_to_begin(self, command: str) -> None:
        result = foldwork(*command.split())
        assert result.exit_code == 1
        assert "Foldwork does not run in" in result.stderr
        assert "`foldwork up`" in result.stderr

    def test_the_tail_says_that_nobody_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOLDWORK_QUERY_PORT", "1")
        result = foldwork("events", "tail")
        assert result.exit_code == 1
        assert "Nothing answers at http://127.0.0.1:1: " in result.stderr

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("postgresql://me:hunter2@127.0.0.1:1/x", "cannot be reached"),
            ("postgresql://me:hunter2%@127.0.0.1:1/x", "invalid percent-encoded token"),
            ("pg://me:hunter2@127.0.0.1:1/x", "cannot be asked"),
        ],
    )
    def test_an_unreachable_database_is_no_traceback_and_shows_no_password(
        self, monkeypatch: pytest.MonkeyPatch, url: str, told: str
    ) -> None:
        monkeypatch.setenv("FOLDWORK_DATABASE_URL", url)
        result = foldwork("projections", "list")
        assert result.exit_code == 1
        assert told in result.stderr
        assert "hunter2" not in result.output
        assert "Traceback" not in result.output


@pytest.mark.outside
class TestTheProgram:
    def test_ends_quietly_when_it_is_interrupted_while_it_loads(self) -> None:
        """A finder of modules stands in for whoever presses Ctrl-C."""
        interrupted = "import sys, infra.program\nclass Finder:\n def find_spec(self, *_): raise KeyboardInterrupt\n"
        code = f"{interrupted}sys.meta_path.insert(0, Finder())\ninfra.program.main()"
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[2])
        assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


class TestTheCommandLine:
    def test_names_the_variable_that_is_wrong(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOLDWORK_SHARD", "-1")
        result = foldwork("status")
        assert result.exit_code == 1
        assert "FOLDWORK_SHARD" in result.stderr

    @pytest.mark.parametrize("command", ["up", "status"])
    def test_names_the_port_that_is_none(self, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOLDWORK_COMMAND_PORT", "99999")
        result = foldwork(command)
        assert result.exit_code == 1
        assert result.stderr == "error: FOLDWORK_COMMAND_PORT: Input should be less than or equal to 65535.\n"

    def test_names_the_variable_that_is_not_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOLDWORK_CALL_NETWORKS_ALLOWED", "10.0.0.0/8")
        result = foldwork("status")
        assert result.exit_code == 1
        assert "FOLDWORK_CALL_NETWORKS_ALLOWED: must be JSON" in result.stderr

    def test_names_the_data_folder_that_cannot_be_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli, "configure_logging", lambda *_, **__: None)
        (tmp_path / "file").touch()
        monkeypatch.setenv("FOLDWORK_DATA_DIR", str(tmp_path / "file"))
        result = foldwork("up")
        assert (result.exit_code, "Traceback" in result.output) == (1, False)
        assert f"{tmp_path / 'file'} cannot be used: " in result.stderr

    def test_shows_the_help_of_every_option(self) -> None:
        """What stands in square brackets is markup to what prints it, and is not shown."""
        sides = [entry.load() for entry in entry_points(group=cli.COMMANDS)]
        apps = [cli.app, *(side if isinstance(side, typer.Typer) else _alone(side) for side in sides)]
        words = [word for app in apps for command in _commands(typer.main.get_command(app)) for word in _helps(command)]
        assert len(words) > 50
        assert [word for word in words if "[" in word] == []

    def test_refuses_wrong_usage_with_2(self) -> None:
        assert foldwork("projections", "pause").exit_code == 2

    def test_does_not_start_twice_in_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli, "configure_logging", lambda *_, **__: None)
        folder = DataFolder(tmp_path / "data")
        folder.acquire()
        result = foldwork("up")
        folder.release()
        assert result.exit_code == 1
        assert "already runs in" in result.stderr

    def test_has_no_colour_when_none_is_wanted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b[" not in foldwork("status").output


def _alone(command: Callable[..., None]) -> typer.Typer:
    app = typer.Typer()
    app.command()(command)
    return app


def _commands(command: Any) -> Iterator[Any]:
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from _commands(below)


def _helps(command: Any) -> Iterator[str]:
    yield command.help or ""
    yield from (parameter.help or "" for parameter in command.params if hasattr(parameter, "help"))


def a_command() -> None:
    """A command of another side."""
    typer.echo("it works")


def a_program(arguments: list[str]) -> None:
    """A program of another distribution."""
    typer.echo(" ".join(arguments))


class TestACommandOfAnotherSide:
    @pytest.fixture(autouse=True)
    def own_app(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app = typer.Typer()
        app.command("status")(cli.status)
        monkeypatch.setattr(cli, "app", app)

    def test_is_added_by_its_entry_point(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(cli.__dict__, "a_command", a_command)
        cli.add_commands([EntryPoint("works", "infra.cli:a_command", cli.COMMANDS)])
        assert foldwork("works").output == "it works\n"

    def test_reads_its_arguments_itself_if_it_is_a_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(cli.__dict__, "a_program", a_program)
        entries = [("works", "infra.cli:a_program"), ("broken", "no_such_distribution:run")]
        cli.add_programs([EntryPoint(name, value, cli.PROGRAMS) for name, value in entries])
        assert foldwork("works", "--name", "a", "--help", "b").output == "--name a --help b\n"
        result = foldwork("broken", "--name", "a")
        assert (result.exit_code, "`broken` cannot be loaded" in result.stderr) == (1, True)

    def test_that_is_broken_says_so_and_harms_no_other(self) -> None:
        cli.add_commands([EntryPoint("broken", "no_such_side.command:run", cli.COMMANDS)])
        result = foldwork("broken")
        assert result.exit_code == 1
        assert "`broken` cannot be loaded" in result.stderr
        assert "does not run in" in foldwork("status").stderr


@pytest.fixture(scope="module")
def servers() -> Iterator[EmbeddedServers]:
    running = EmbeddedServers(Path(tempfile.mkdtemp(prefix="foldwork-test-")) / "data")
    with asyncio.Runner() as runner:
        runner.run(running.start())
        yield running
        runner.run(running.stop())
    running.erase()
    running.folder.path.parent.rmdir()


@pytest.mark.servers
class TestOperatingConsumers:
    @pytest.fixture(autouse=True)
    def a_database_with_a_consumer(self, servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOLDWORK_DATABASE_URL", servers.database_url)
        monkeypatch.setenv("FOLDWORK_NATS_URL", servers.nats_url)
        assert foldwork("migrate").exit_code == 0
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            connection.execute("TRUNCATE checkpoint, dead_letter")
            connection.execute("UPDATE log_head SET position = 12")
            connection.execute(
                "INSERT INTO checkpoint (consumer, shard, position, version, kind) VALUES ('board', 0, 10, 1, 'projection')"
            )
            connection.execute(
                "INSERT INTO dead_letter (consumer, shard, position, tenant_id, stream_id, type, cause, attempts)"
                " VALUES ('board', 0, 7, 'default', 'agent-1', 'agent.started', 'KeyError', 3)"
            )

    def board(self) -> dict[str, object]:
        (found,) = orjson.loads(foldwork("projections", "list", "--output", "json").stdout)
        return dict(found)

    def test_migrating_again_changes_nothing(self) -> None:
        assert "up to date" in foldwork("migrate").stdout

    def test_the_list_shows_position_lag_and_dead_letters(self) -> None:
        expected = {
            "name": "board",
            "kind": "projection",
            "position": 10,
            "lag": 2,
            "state": "running",
            "dead_letters": 1,
        }
        assert self.board() == expected

    def test_pausing_and_resuming_is_seen_in_the_list(self) -> None:
        assert foldwork("projections", "pause", "board").exit_code == 0
        assert self.board()["state"] == "paused"
        foldwork("projections", "resume", "board")
        assert self.board()["state"] == "running"

    def test_a_rebuild_is_seen_in_the_list(self) -> None:
        foldwork("projections", "rebuild", "board")
        assert self.board()["state"] == "rebuilding"

    def test_an_unknown_consumer_is_a_plain_error(self) -> None:
        result = foldwork("projections", "pause", "bored")
        assert result.exit_code == 1
        assert "There is no consumer of that name." in result.stderr

    def test_dead_letters_say_whose_where_and_why(self) -> None:
        (letter,) = orjson.loads(foldwork("dead-letters", "list", "-o", "json").stdout)
        assert (
            letter.items() >= {"consumer": "board", "position": 7, "stream_id": "agent-1", "cause": "KeyError"}.items()
        )

    def test_dead_letters_can_be_retried(self) -> None:
        assert "0 parked events" in foldwork("dead-letters", "retry", "board", "--stream", "agent-2").stdout
        assert "1 parked events" in foldwork("dead-letters", "retry", "board").stdout

    @pytest.mark.parametrize("command", [("retry", "bored"), ("discard", "bored", "--yes"), ("discard", "bored")])
    def test_dead_letters_of_an_unknown_consumer_are_a_plain_error(self, command: tuple[str, ...]) -> None:
        result = foldwork("dead-letters", *command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "There is no consumer of that name." in result.stderr

    def test_dead_letters_are_dropped_only_after_a_yes(self) -> None:
        assert foldwork("dead-letters", "discard", "board", answer="n\n").exit_code == 1
        assert "1 parked events" in foldwork("dead-letters", "discard", "board", answer="y\n").stdout

    def test_dead_letters_are_not_dropped_where_nobody_can_be_asked(self) -> None:
        result = foldwork("dead-letters", "discard", "board", answer="")
        assert result.exit_code == 1
        assert "--yes is needed" in result.stderr
        assert self.board()["dead_letters"] == 1

    def test_the_status_shows_what_is_down_and_fails(self) -> None:
        result = foldwork("status", "--output", "json")
        found = orjson.loads(result.stdout)
        assert result.exit_code == 1
        assert found["head"] == 12
        assert {process["state"] for process in found["processes"]} == {"down"}
        assert found["dead_letters"] == 1
        assert "mirror on NATS cannot be read" in found["problems"][0]

    @pytest.mark.parametrize("url", ["nats://127.0.0.1:1", "nats://127.0.0.1:1,nats://127.0.0.1:2"])
    def test_the_status_says_soon_that_the_mirror_is_away(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, url: str
    ) -> None:
        monkeypatch.setenv("FOLDWORK_NATS_URL", url)
        since = monotonic()
        (problem,) = orjson.loads(foldwork("status", "--output", "json").stdout)["problems"]
        assert monotonic() - since < 10
        assert "mirror on NATS cannot be read: " in problem
        assert "Connect call failed" in problem
        assert caplog.records == []
