"""What the commands suggest to do next."""

import io

import pytest
from rich.console import Console

from events.event import Event
from events.run import RunFaulted, RunSuspended
from events.run_compensation import RunParked
from events.run_parts import RunError
from read_side.cli.run_tree import picture_of
from read_side.cli.suggestion import suggestion
from tests.read_side.cli.conftest import Foldwork
from tests.read_side.cli.local_api import LocalApi, problem, started
from tests.read_side.cli.test_run_tree import NOW, rows

NO_CAR = RunError(type="https://example.com/no-car", status=409)


class TestASuggestedCommand:
    def test_names_the_tenant_unless_it_is_the_one_without_a_name(self) -> None:
        assert suggestion("default", "runs", "list") == "foldwork runs list"
        assert suggestion("acme", "runs", "list") == "foldwork runs list --tenant acme"

    def test_is_written_as_a_shell_takes_it(self) -> None:
        assert suggestion("a b", "runs", "show", "x;y") == "foldwork runs show 'x;y' --tenant 'a b'"

    @pytest.mark.parametrize(
        ("event", "verbs"),
        [
            (RunFaulted(error=NO_CAR), ["retry"]),
            (RunSuspended(), ["resume"]),
            (RunParked(of=2, error=NO_CAR), ["retry-compensation", "skip-compensation"]),
        ],
    )
    def test_below_a_run_is_for_its_tenant(self, event: Event, verbs: list[str]) -> None:
        run, tasks = rows(started(), event)
        output = io.StringIO()
        Console(file=output, width=200).print(picture_of(run.model_copy(update={"tenant_id": "acme"}), tasks, NOW))
        lines = [line.rstrip() for line in output.getvalue().splitlines()][-len(verbs) :]
        for line, verb in zip(lines, verbs, strict=True):
            assert line.endswith(f": foldwork runs {verb} r1 --tenant acme")


@pytest.mark.outside
class TestACommandForATenant:
    @pytest.mark.parametrize(
        ("verb", "suggested"),
        [
            ("suspend", "foldwork runs resume r1"),
            ("cancel", "foldwork runs show -f r1"),
            ("retry", "foldwork runs show -f r1"),
            ("retry-compensation", "foldwork runs show -f r1"),
            ("skip-compensation", "foldwork runs show -f r1"),
        ],
    )
    def test_suggests_one_for_the_same_tenant(self, foldwork: Foldwork, verb: str, suggested: str) -> None:
        assert f"`{suggested} --tenant acme`" in foldwork("runs", verb, "r1", "--tenant", "acme").stdout
        assert f"`{suggested}`" in foldwork("runs", verb, "r1").stdout

    @pytest.mark.parametrize(
        ("status", "typed", "suggested"),
        [
            (409, ["runs", "suspend", "r1"], "runs show r1"),
            (404, ["runs", "suspend", "r1"], "runs list"),
            (404, ["runs", "start", "travel.book"], "workflows list"),
        ],
    )
    def test_suggests_one_for_the_same_tenant_when_it_is_refused(
        self, api: LocalApi, foldwork: Foldwork, status: int, typed: list[str], suggested: str
    ) -> None:
        api.answer = problem(status, "No.")
        assert f"`foldwork {suggested} --tenant acme`" in foldwork(*typed, "--tenant", "acme").stderr

    def test_says_how_to_decide_as_somebody_who_may(self, api: LocalApi, foldwork: Foldwork) -> None:
        told = "anonymous may not decide: mia may."
        api.answer = problem(409, told, type="https://foldwork.dev/problems/not-asked-to-approve")
        refused = foldwork("runs", "approve", "p1")
        assert refused.exit_code == 1
        assert f"{told}\nSay who decides with `--actor NAME`," in refused.stderr
        assert "`--group NAME`" in refused.stderr
        api.answer = problem(409, "The approval has ended.")
        assert "--actor" not in foldwork("runs", "approve", "p1").stderr


@pytest.mark.outside
class TestACommandToWhatIsNotFoldwork:
    @pytest.mark.parametrize(
        ("status", "media_type", "said"),
        [
            (404, "text/html;charset=utf-8", "404 Not Found"),
            (404, "application/json", "404 Not Found"),
            (200, "text/html", "200 OK"),
            (200, "application/problem+json", "200 OK"),
        ],
    )
    def test_says_so_and_where_the_port_is_set(
        self, api: LocalApi, foldwork: Foldwork, status: int, media_type: str, said: str
    ) -> None:
        api.answer = api.found = (status, media_type, b'{"detail": "Not the page"}')
        told = f"error: What answers at http://127.0.0.1:{api.port} is not Foldwork ({said}); see FOLDWORK_%s_PORT.\n"
        commands = {"COMMAND": ["runs", "start", "travel.book"], "QUERY": ["runs", "list"]}
        for which, typed in commands.items():
            result = foldwork(*typed)
            assert (result.exit_code, result.stderr) == (1, told % which)
