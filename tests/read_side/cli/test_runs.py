"""`foldwork runs` and `foldwork workflows`: what they send, what they print, how they fail."""

import io
import time
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from events.run import RunCompleted, RunFaulted, RunTaskCompleted, RunTaskFaulted
from events.run_parts import JobAwaited, RunError
from read_side.cli import run_drawing
from tests.read_side.cli.conftest import Foldwork
from tests.read_side.cli.local_api import LocalApi, problem, started, task

pytestmark = pytest.mark.outside

NO_CAR = RunError(type="https://example.com/no-car", status=409, title="No car", detail="All are out.")


def sent(api: LocalApi) -> tuple[str, object]:
    """The only command that came."""
    ((path, _, body),) = api.commands
    return path, orjson.loads(body)


class TestStartingARun:
    def test_prints_its_id_alone(self, api: LocalApi, foldwork: Foldwork) -> None:
        result = foldwork("runs", "start", "travel.book")
        assert (result.stdout, result.exit_code) == ("r1\n", 0)
        assert sent(api) == ("/v1/runs", {"workflow_id": "travel.book"})

    def test_takes_input_labels_version_and_ids(self, api: LocalApi, foldwork: Foldwork) -> None:
        options = ["--input", '{"to": "Oslo"}', "--version", "1.2.0", "--label", "team=a=b", "--label", "x=y"]
        result = foldwork("runs", "start", "travel.book", *options, "--run-id", "mine", "--key", "k1", "--actor", "ada")
        assert result.exit_code == 0
        _, body = sent(api)
        assert body == {
            "workflow_id": "travel.book",
            "input": {"to": "Oslo"},
            "workflow_version": "1.2.0",
            "run_id": "mine",
            "labels": {"team": "a=b", "x": "y"},
        }
        headers = api.commands[0][1]
        assert (headers["idempotency-key"], headers["foldwork-actor"]) == ("k1", "ada")
        assert headers["foldwork-tenant"] == "default"

    @pytest.mark.parametrize(("name", "text"), [("in.json", '{"to": ["Oslo"]}'), ("in.yaml", "to:\n  - Oslo\n")])
    def test_reads_its_input_from_a_file(
        self, api: LocalApi, foldwork: Foldwork, tmp_path: Path, name: str, text: str
    ) -> None:
        (tmp_path / name).write_text(text)
        assert foldwork("runs", "start", "travel.book", "--input", f"@{tmp_path / name}").exit_code == 0
        assert sent(api) == ("/v1/runs", {"workflow_id": "travel.book", "input": {"to": ["Oslo"]}})

    @pytest.mark.parametrize("options", [["--input", "{to"], ["--input", "@no/such/file"], ["--label", "team"]])
    def test_refuses_wrong_usage_with_2(self, api: LocalApi, foldwork: Foldwork, options: list[str]) -> None:
        assert foldwork("runs", "start", "travel.book", *options).exit_code == 2
        assert api.commands == []

    def test_says_what_is_wrong_and_where_to_look(self, api: LocalApi, foldwork: Foldwork) -> None:
        api.answer = problem(404, "There is no workflow travel.book.")
        result = foldwork("runs", "start", "travel.book")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "There is no workflow travel.book." in result.stderr
        assert "`foldwork workflows list`" in result.stderr

    def test_says_which_fields_are_wrong(self, api: LocalApi, foldwork: Foldwork) -> None:
        api.answer = problem(422, "Some of it is wrong.", errors=[{"pointer": "/input/to", "detail": "is required"}])
        assert "  /input/to: is required" in foldwork("runs", "start", "travel.book").stderr

    def test_says_that_nobody_answers(self, foldwork: Foldwork, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOLDWORK_COMMAND_PORT", "1")
        result = foldwork("runs", "start", "travel.book")
        assert result.exit_code == 1
        assert "The command API at http://127.0.0.1:1 does not answer" in result.stderr
        assert "`foldwork status`" in result.stderr

    def test_follows_it_to_its_end(self, api: LocalApi, foldwork: Foldwork) -> None:
        api.happen("r1", started(), task(1, "bookHotel", awaits=JobAwaited(job_id="j1")))
        api.later.append(lambda: api.happen("r1", RunTaskCompleted(task=1), RunCompleted()))
        result = foldwork("runs", "start", "travel.book", "--follow")
        assert result.exit_code == 0
        assert result.stdout.startswith("r1\n")
        assert "bookHotel  call  completed" in result.stdout

    @pytest.mark.parametrize("output", ["table", "json"])
    def test_says_line_by_line_how_it_goes_where_nothing_can_be_drawn(
        self, api: LocalApi, foldwork: Foldwork, output: str
    ) -> None:
        api.happen("r1", started(), task(1, "bookHotel", awaits=JobAwaited(job_id="j1")))
        api.later.append(lambda: api.happen("r1", RunTaskCompleted(task=1), task(2, "bookCar")))
        api.later.append(lambda: api.happen("r1", RunTaskFaulted(task=2, error=NO_CAR), RunFaulted(error=NO_CAR)))
        result = foldwork("runs", "start", "travel.book", "--follow", "--output", output)
        lines = [line.strip() for line in result.stderr.splitlines()]
        assert lines[0].startswith("1 bookHotel  call  waiting")
        assert lines[0].endswith("waits for job j1")
        assert [" ".join(line.split()[:4]) for line in lines[1:4]] == [
            "1 bookHotel call completed",
            "2 bookCar call running",
            "2 bookCar call faulted",
        ]
        assert lines[4:] == ["No car (409): All are out."]
        assert output == "table" or orjson.loads(result.stdout)["run"]["status"] == "faulted"


class TestShowingARun:
    def test_prints_the_tree_of_its_tasks(self, api: LocalApi, foldwork: Foldwork) -> None:
        api.happen("r1", started(), task(1, "trip", kind="do"), task(2, "bookHotel", 1), RunTaskCompleted(task=2))
        api.happen("r1", task(3, "bookCar", 1), RunTaskFaulted(task=3, error=NO_CAR), RunFaulted(error=NO_CAR))
        lines = foldwork("runs", "show", "r1").stdout.splitlines()
        assert lines[0].startswith("r1  travel.book 1.0.0  faulted")
        assert lines[1] == "No car (409): All are out."
        assert lines[2].startswith("└── 1 trip  do  interrupted")
        assert lines[3].startswith("    ├── 2 bookHotel  call  completed  2.0s")
        assert lines[4].startswith("    └── 3 bookCar  call  faulted")
        assert lines[5].strip() == "No car (409): All are out."
        assert "foldwork runs retry r1" in lines[6]

    def test_follows_it_until_it_has_ended_and_fails_unless_it_completed(
        self, api: LocalApi, foldwork: Foldwork
    ) -> None:
        api.happen("r1", started())
        api.later.append(lambda: api.happen("r1", task(1, "bookHotel"), task(2, "bookCar"), RunTaskCompleted(task=1)))
        api.later.append(lambda: api.happen("r2", started(), RunCompleted()))
        api.later.append(
            lambda: api.happen("r1", RunTaskFaulted(task=2, error=NO_CAR), task(3, "x"), RunFaulted(error=NO_CAR))
        )
        result = foldwork("runs", "show", "--follow", "r1")
        assert result.exit_code == 1
        assert [part in result.stdout for part in ("1 bookHotel  call  completed", "3 x  call  interrupted")] == [
            True
        ] * 2
        assert result.stdout.count("bookHotel") == 1
        assert result.stdout.endswith("\n")

    def test_is_drawn_again_and_again_on_a_terminal_and_whole_at_the_end(
        self, api: LocalApi, foldwork: Foldwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, color_system=None, width=80, height=12)
        monkeypatch.setattr(run_drawing, "stdout", console)
        monkeypatch.setattr(run_drawing, "REDRAW_S", 0.01)
        numbers = range(1, 21)
        api.happen("r1", started(), *(task(number, f"step{number}") for number in numbers))
        api.later.extend([lambda: time.sleep(0.05), lambda: api.happen("r1", RunTaskCompleted(task=20))])
        api.later.append(lambda: api.happen("r1", *(RunTaskCompleted(task=n) for n in numbers[:-1]), RunCompleted()))
        assert foldwork("runs", "show", "-f", "r1").exit_code == 0
        drawings = screen.getvalue().split("r1  travel.book 1.0.0  ")[1:]
        assert len(drawings) > 2
        assert "step2 " in drawings[0]
        assert "step7 " not in drawings[0]
        assert drawings[-1].count("call  completed") == len(numbers)

    def test_gives_all_of_it_to_programs(self, api: LocalApi, foldwork: Foldwork) -> None:
        api.happen("r1", started(input={"to": "Oslo"}), task(1, "bookHotel", input=[7]), RunTaskCompleted(task=1))
        found = orjson.loads(foldwork("runs", "show", "r1", "-o", "json").stdout)
        assert found["run"]["input"] == {"to": "Oslo"}
        assert [(each["name"], each["input"]) for each in found["tasks"]] == [("bookHotel", [7])]

    def test_reads_all_pages(self, api: LocalApi, foldwork: Foldwork) -> None:
        api.happen("r1", started(), *(task(number, f"step{number}") for number in range(1, 1_101)))
        found = orjson.loads(foldwork("runs", "show", "r1", "-o", "json").stdout)
        assert len(found["tasks"]) == 1_100

    @pytest.mark.parametrize("run_id", ["r9", "../agents", "a b"])
    def test_says_that_there_is_none(self, foldwork: Foldwork, run_id: str) -> None:
        result = foldwork("runs", "show", run_id)
        assert result.exit_code == 1
        assert "`foldwork runs list` shows which there are." in result.stderr


class TestListingRuns:
    def test_shows_where_each_stands(self, api: LocalApi, foldwork: Foldwork) -> None:
        api.happen("r1", started(), task(1, "x"), RunTaskFaulted(task=1, error=NO_CAR), RunFaulted(error=NO_CAR))
        api.happen("r2", started())
        lines = foldwork("runs", "list").stdout.splitlines()
        assert lines[2].split()[:4] == ["r2", "travel.book", "1.0.0", "running"]
        assert lines[3].split()[:6] == ["r1", "travel.book", "1.0.0", "faulted", "1", "1"]

    def test_asks_for_those_that_are_wanted(self, api: LocalApi, foldwork: Foldwork) -> None:
        wanted = ["--status", "parked", "--workflow", "a.b", "--parent", "r0", "--label", "team=north", "--limit", "7"]
        assert orjson.loads(foldwork("runs", "list", *wanted, "-o", "json").stdout) == []
        query = "status=parked&workflow_id=a.b&parent_run_id=r0&label=team%3Anorth&limit=7"
        assert api.asked == [f"/v1/runs?{query}"]


class TestOperatingARun:
    @pytest.mark.parametrize(
        ("typed", "verb", "body"),
        [
            ("suspend r1 --reason lunch", "suspend", {"reason": "lunch"}),
            ("resume r1", "resume", {}),
            ("cancel r1", "cancel", {"compensate": False}),
            ("cancel r1 --compensate --reason rain", "cancel", {"compensate": True, "reason": "rain"}),
            ("terminate r1 --reason fire", "terminate", {"reason": "fire"}),
            ("retry r1", "retry", {}),
            ("fork r1 --task 3 --new-run-id r2 --input [1]", "fork", {"new_run_id": "r2", "task": 3, "input": [1]}),
            ("fork r1 --task 0 --new-run-id r2 --label a=b", "fork", {"new_run_id": "r2", "task": 0, "labels": {"a": "b"}}),
            ("send r1 --event {\"type\":\"a\"}", "send-event", {"event": {"type": "a"}}),
            ("retry-compensation r1", "retry-compensation", {}),
            ("skip-compensation r1", "skip-compensation", {}),
        ],
    )  # fmt: skip
    def test_sends_what_is_asked(
        self, api: LocalApi, foldwork: Foldwork, typed: str, verb: str, body: dict[str, object]
    ) -> None:
        result = foldwork("runs", *typed.split())
        assert result.exit_code == 0
        assert sent(api) == (f"/v1/runs/r1/{verb}", body)
        assert ("r2" if verb == "fork" else "r1") in result.stdout

    def test_says_where_the_run_stands_if_it_is_refused(self, api: LocalApi, foldwork: Foldwork) -> None:
        api.answer = problem(409, "The run has ended.")
        result = foldwork("runs", "suspend", "r1")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "The run has ended.\n`foldwork runs show r1` shows where it stands." in result.stderr

    def test_makes_an_event_of_a_type_and_its_data(self, api: LocalApi, foldwork: Foldwork) -> None:
        assert foldwork("runs", "send", "r1", "--type", "order.paid", "--data", '{"sum": 3}').exit_code == 0
        _, body = sent(api)
        assert isinstance(body, dict)
        event = body["event"]
        assert event.pop("id")
        assert event == {
            "specversion": "1.0",
            "source": "/foldwork/cli",
            "type": "order.paid",
            "datacontenttype": "application/json",
            "data": {"sum": 3},
        }

    @pytest.mark.parametrize("options", [[], ["--type", "a", "--event", "{}"]])
    def test_sends_an_event_in_one_form_only(self, foldwork: Foldwork, options: list[str]) -> None:
        assert foldwork("runs", "send", "r1", *options).exit_code == 2

    def test_decides_about_an_approval_as_a_member_of_groups(self, api: LocalApi, foldwork: Foldwork) -> None:
        who = ["--actor", "ada", "--group", "finance", "--group", "board"]
        result = foldwork("runs", "approve", "p1", *who, "--answer", '{"sum": 3}', "--comment", "fine")
        assert result.stdout == "p1 is approved by ada.\n"
        assert sent(api) == ("/v1/approvals/p1", {"decision": "approve", "answer": {"sum": 3}, "comment": "fine"})
        headers = api.commands[0][1]
        assert (headers["foldwork-actor"], headers["foldwork-groups"]) == ("ada", "finance, board")

    def test_may_reject_an_approval(self, api: LocalApi, foldwork: Foldwork) -> None:
        assert foldwork("runs", "approve", "p1", "--reject", "--actor", "ada").stdout == "p1 is rejected by ada.\n"
        assert sent(api) == ("/v1/approvals/p1", {"decision": "reject"})

    def test_gives_the_new_run_of_a_fork_an_id(self, api: LocalApi, foldwork: Foldwork) -> None:
        result = foldwork("runs", "fork", "r1", "--task", "3")
        _, body = sent(api)
        assert isinstance(body, dict)
        assert body["new_run_id"] == result.stdout.strip()

    def test_gives_the_answer_to_programs(self, foldwork: Foldwork) -> None:
        assert orjson.loads(foldwork("runs", "resume", "r1", "-o", "json").stdout)["stream_id"] == "run-r1"


class TestWorkflows:
    def test_are_registered_from_a_file_as_it_is(self, api: LocalApi, foldwork: Foldwork, tmp_path: Path) -> None:
        (tmp_path / "book.yaml").write_text("document: {version: 1.0.0}\n")
        result = foldwork("workflows", "register", str(tmp_path / "book.yaml"))
        assert result.stdout == "travel.book\n"
        ((path, headers, body),) = api.commands
        assert (path, headers["content-type"]) == ("/v1/workflows", "application/yaml")
        assert body == b"document: {version: 1.0.0}\n"

    def test_can_be_activated_at_once(self, api: LocalApi, foldwork: Foldwork, tmp_path: Path) -> None:
        (tmp_path / "book.json").write_text('{"document": {"version": "1.0.0"}}')
        assert foldwork("workflows", "register", "--activate", str(tmp_path / "book.json")).exit_code == 0
        (_, headers, _), (path, _, body) = api.commands
        assert headers["content-type"] == "application/json"
        assert (path, orjson.loads(body)) == ("/v1/workflows/travel.book/activate", {"workflow_version": "1.0.0"})

    def test_say_where_a_definition_is_wrong(self, api: LocalApi, foldwork: Foldwork, tmp_path: Path) -> None:
        (tmp_path / "book.yaml").write_text("do: []\n")
        api.answer = problem(422, "This is no definition.", errors=[{"pointer": "/document", "detail": "is required"}])
        result = foldwork("workflows", "register", str(tmp_path / "book.yaml"))
        assert result.exit_code == 1
        assert "  /document: is required" in result.stderr

    def test_must_come_from_a_file_that_there_is(self, foldwork: Foldwork) -> None:
        assert foldwork("workflows", "register", "no/such.yaml").exit_code == 2

    @pytest.mark.parametrize("verb", ["activate", "deprecate"])
    def test_are_operated_by_version(self, api: LocalApi, foldwork: Foldwork, verb: str) -> None:
        assert "1.0.0" in foldwork("workflows", verb, "travel.book", "1.0.0").stdout
        assert sent(api) == (f"/v1/workflows/travel.book/{verb}", {"workflow_version": "1.0.0"})

    def test_are_listed_with_their_versions(self, api: LocalApi, foldwork: Foldwork) -> None:
        at = "2026-01-01T12:00:00Z"
        version = {"workflow_version": "1.0.0", "status": "deprecated", "digest": "d", "registered_at": at}
        row = {"tenant_id": "default", "workflow_id": "travel.book", "namespace": "travel", "name": "book"}
        times = {"created_at": at, "updated_at": at, "version": 1, "position": 1}
        api.lists["workflows"] = [{**row, **times, "versions": [version]}]
        lines = foldwork("workflows", "list", "--namespace", "travel").stdout.splitlines()
        assert lines[2].split() == ["travel.book", "-", "1.0.0", "(deprecated)", "-", "2026-01-01", "12:00:00"]
        assert api.asked == ["/v1/workflows?namespace=travel&limit=50"]
