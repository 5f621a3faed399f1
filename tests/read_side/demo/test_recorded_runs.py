"""Conversations become steps: a message each, a call together with its reply."""

from pathlib import Path

import orjson
from pydantic import JsonValue

from read_side.demo.recorded_runs import load_runs
from read_side.demo.scenario import Message, Run, ToolCall


def run_of(folder: Path, *messages: dict[str, JsonValue]) -> Run:
    (folder / "tau-bench-airline").mkdir()
    recorded = [{"task_id": 1, "trial": 0, "reward": 1.0, "traj": list(messages)}]
    (folder / "tau-bench-airline" / "runs.json").write_bytes(orjson.dumps(recorded))
    return load_runs(folder)[1][0]


def call(call_id: str, name: str, arguments: str) -> dict[str, JsonValue]:
    function: JsonValue = {"name": name, "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": call_id, "function": function}]}


def reply(call_id: str, name: str, content: str) -> dict[str, JsonValue]:
    return {"role": "tool", "tool_call_id": call_id, "name": name, "content": content}


STOP: dict[str, JsonValue] = {"role": "user", "content": "Thanks. ###STOP###"}


class TestATurnWithATool:
    def test_is_a_message_and_one_call_with_its_reply(self, tmp_path: Path) -> None:
        run = run_of(tmp_path, call("c1", "find", '{"user": 1}'), reply("c1", "find", "found"), STOP)
        assert run.steps == (
            Message("assistant", None),
            ToolCall("find", "c1", {"user": 1}, reply="found"),
            Message("user", "Thanks. ###STOP###"),
        )

    def test_keeps_an_error_beside_the_reply(self, tmp_path: Path) -> None:
        run = run_of(tmp_path, call("c1", "find", "{}"), reply("c1", "find", "Error: not found"))
        assert run.steps[1] == ToolCall("find", "c1", {}, reply="Error: not found", error="Error: not found")

    def test_keeps_an_empty_reply(self, tmp_path: Path) -> None:
        run = run_of(tmp_path, call("c1", "think", "{}"), reply("c1", "think", ""))
        assert run.steps[1] == ToolCall("think", "c1", {}, reply="")

    def test_keeps_a_call_that_nothing_came_back_from(self, tmp_path: Path) -> None:
        run = run_of(tmp_path, call("c1", "find", "{}"))
        assert run.steps[1] == ToolCall("find", "c1", {})

    def test_keeps_arguments_that_are_no_json(self, tmp_path: Path) -> None:
        run = run_of(tmp_path, call("c1", "find", "{user: 1"), reply("c1", "find", "?"))
        assert run.steps[1] == ToolCall("find", "c1", {"unparsed": "{user: 1"}, reply="?")


class TestTheEndOfARun:
    def test_is_completed_when_the_user_stops_it(self, tmp_path: Path) -> None:
        assert run_of(tmp_path, STOP).ending == "completed"

    def test_is_a_handover_when_the_agent_transfers_to_a_human(self, tmp_path: Path) -> None:
        name = "transfer_to_human_agents"
        run = run_of(tmp_path, call("c1", name, '{"summary": "too hard"}'), reply("c1", name, "done"))
        assert (run.ending, run.reason) == ("handed_over", "too hard")

    def test_is_a_failure_when_the_recording_is_cut_off(self, tmp_path: Path) -> None:
        assert run_of(tmp_path, {"role": "user", "content": "Hello?"}).ending == "failed"
