"""What holds for every decider and every command."""

from infra.patterns.decider import Command
from write_side.acted import Acted
from write_side.catalog import CATALOG
from write_side.timed import Timed

COMMANDS = sorted(CATALOG.commands.values(), key=lambda command: command.__name__)
CATEGORIES = ["agent", "agent_name", "task", "node", "fleet", "job", "workflow", "run", "approval", "message"]
INTERNAL = {
    "AddFleetNode",
    "AdvanceRun",
    "AnswerRunTask",
    "AssignJob",
    "ClaimAgentName",
    "CompensateRun",
    "DeliverRunEvent",
    "DeliverRunMessage",
    "FailJobForDependency",
    "FailRunTask",
    "FireRunTimer",
    "QueueJob",
    "ReleaseAgentName",
    "ReleaseNode",
    "RemoveFleetNode",
    "RequeueJob",
    "ReserveNode",
    "StartChildRun",
    "StartScheduledRun",
    "TakeNodeOffline",
    "TimeOutApproval",
    "TimeOutRunTask",
    "TimeOutTask",
}


def assert_from_the_server(command: type[Command], *names: str) -> None:
    schema = command.model_json_schema()
    for name in names:
        assert schema["properties"][name]["server"] is True, command
        assert name not in schema["required"], command


class TestTheCatalog:
    def test_has_a_decider_for_each_stream_category(self):
        assert [decider.category for decider in CATALOG.deciders] == CATEGORIES

    def test_finds_the_decider_of_a_stream(self):
        for decider in CATALOG.deciders:
            assert CATALOG.of_stream(f"{decider.category}-0192-ab") is decider

    def test_names_each_command_once(self):
        assert len(CATALOG.commands) == sum(len(decider.commands) for decider in CATALOG.deciders)

    def test_keeps_to_the_public_commands_that_were_promised(self):
        assert {command.__name__ for command in COMMANDS if not command.public} == INTERNAL

    def test_has_one_creating_command_for_each_thing_that_people_make(self):
        creating = {command.__name__ for command in COMMANDS if command.creates and command.public}
        assert creating == {
            "CreateAgent",
            "RequestTask",
            "RegisterNode",
            "SubmitJob",
            "RegisterWorkflow",
            "StartRun",
            "RequestApproval",
            "PublishMessage",
        }

    def test_has_one_default_command_at_most_for_each_stream(self):
        for decider in CATALOG.deciders:
            default = [command for command in decider.commands if command.is_default]
            assert len(default) <= 1
            assert not any(command.creates or not command.public for command in default)


class TestEveryCommand:
    def test_names_its_stream(self):
        for command in COMMANDS:
            name = f"{CATALOG.of(command).category}_id"
            by_property = command.whole_body and isinstance(getattr(command, name), property)
            assert name in command.model_fields or by_property, command

    def test_says_what_is_asked(self):
        assert [command for command in COMMANDS if command.__doc__ in (None, "", Command.__doc__)] == []

    def test_gets_its_id_from_the_server_only_if_it_creates(self):
        for command in COMMANDS:
            category = CATALOG.of(command).category
            if category != "fleet" and command.whole_body is None:
                by_server = command.creates and command.public
                assert command.model_fields[f"{category}_id"].is_required() is not by_server, command

    def test_takes_the_time_from_the_server_if_it_needs_it(self):
        timed = [command for command in COMMANDS if issubclass(command, Timed)]
        assert timed
        for command in timed:
            assert_from_the_server(command, "at")

    def test_takes_its_sender_from_the_server_if_it_needs_them(self):
        acted = [command for command in COMMANDS if issubclass(command, Acted)]
        assert acted
        for command in acted:
            assert_from_the_server(command, "actor", "groups_of_actor")
