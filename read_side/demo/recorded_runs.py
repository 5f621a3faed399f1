"""Reads tau-bench's recorded conversations (Yao et al., 2024, MIT) as runs of agents."""

from collections.abc import Iterator
from pathlib import Path

import orjson
from pydantic import BaseModel, JsonValue, TypeAdapter

from events.event import Reason
from read_side.demo.scenario import AGENT_KIND_CAPABILITY, Agent, JsonObject, Message, Run, RunEnding, Step, ToolCall

RUNS_FILE = Path("tau-bench-airline/runs.json")
TRANSFER_TOOL = "transfer_to_human_agents"
STOP_MARK = "###STOP###"
ERROR_MARK = "Error"
BY_CAPABILITY_EVERY = 3
REASON_LENGTH_MAX = 4_000


class _Function(BaseModel):
    name: str
    arguments: str


class _Call(BaseModel):
    id: str
    function: _Function


class _Message(BaseModel):
    role: str
    content: str | None = None
    tool_calls: tuple[_Call, ...] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class _Run(BaseModel):
    task_id: int
    trial: int
    reward: float
    traj: tuple[_Message, ...]


_RUNS = TypeAdapter(tuple[_Run, ...])
_REASON = TypeAdapter(Reason)


def load_runs(folder: Path) -> tuple[tuple[Agent, ...], tuple[Run, ...]]:
    """The agents, one for each trial, and their runs in the order of the file; nothing if the folder has no such file."""
    file = folder / RUNS_FILE
    if not file.exists():
        return (), ()
    recorded = _RUNS.validate_json(file.read_bytes())
    agents = {trial: _agent(trial, recorded) for trial in sorted({run.trial for run in recorded})}
    return tuple(agents.values()), tuple(_run(index, run, agents[run.trial]) for index, run in enumerate(recorded))


def _agent(trial: int, recorded: tuple[_Run, ...]) -> Agent:
    messages = [message for run in recorded if run.trial == trial for message in run.traj]
    prompt = next((message.content for message in messages if message.role == "system" and message.content), "")
    tools = sorted({call.function.name for message in messages for call in message.tool_calls or ()})
    return Agent(f"airline-agent-{trial}", f"Airline agent {trial}", AGENT_KIND_CAPABILITY, prompt, tuple(tools))


def _run(index: int, run: _Run, agent: Agent) -> Run:
    steps = tuple(_steps(run.traj))
    ending, reason = _ending(steps)
    by_capability = index % BY_CAPABILITY_EVERY == BY_CAPABILITY_EVERY - 1
    return Run(
        id=f"airline-{run.task_id:03}-{run.trial}-{index:04}",
        title=f"Airline support, case {run.task_id}, trial {run.trial}",
        agent_id=None if by_capability else agent.id,
        input={"case": run.task_id, "trial": run.trial},
        steps=steps,
        ending=ending,
        reason=reason,
        reward=run.reward,
    )


def _steps(messages: tuple[_Message, ...]) -> Iterator[Step]:
    """A step for each message; the reply of a tool is one step with its call. Calls without a reply come last."""
    unanswered: dict[str, _Function] = {}
    for message in messages:
        if message.role == "tool":
            asked = unanswered.pop(message.tool_call_id or "", None)
            reply = message.content or ""
            yield ToolCall(
                tool=asked.name if asked else message.name or "unknown",
                call_id=message.tool_call_id,
                arguments=_arguments(asked.arguments) if asked else {},
                reply=reply,
                error=reply if reply.startswith(ERROR_MARK) else None,
            )
            continue
        yield Message(message.role, message.content)
        unanswered.update((call.id, call.function) for call in message.tool_calls or ())
    for call_id, asked in unanswered.items():
        yield ToolCall(asked.name, call_id, _arguments(asked.arguments))


def _arguments(text: str) -> JsonObject:
    """What the model wrote as arguments; models also write what is no JSON object."""
    try:
        value: JsonValue = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {"unparsed": text}
    return value if isinstance(value, dict) else {"value": value}


def _ending(steps: tuple[Step, ...]) -> tuple[RunEnding, str]:
    for step in steps:
        if isinstance(step, ToolCall) and step.tool == TRANSFER_TOOL:
            summary = str(step.arguments.get("summary") or "asked for a human")
            return "handed_over", _REASON.validate_python(summary[:REASON_LENGTH_MAX])
    last = steps[-1] if steps else None
    if isinstance(last, Message) and STOP_MARK in (last.content or ""):
        return "completed", "stopped by the user"
    return "failed", "the recording is cut off: neither stopped by the user nor handed over"
