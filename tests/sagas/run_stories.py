"""Events of runs, short, for the stories of the sagas that follow them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from events.run import RunForked, RunStarted, RunTaskCancelled, RunTaskFaulted, RunTaskPrepared, RunTaskStarted
from events.run_parts import Awaited, Origin, ParentTask, RunError
from infra.patterns.saga import Ask
from sagas.run_waits import Refused
from write_side.run_commands import AnswerRunTask, FailRunTask

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64
STANDARD = "https://open-workflow-specification.org/spec/1.0.0/errors/"


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def started(parent: tuple[str, int] | None = None, **more: Any) -> RunStarted:
    above = None if parent is None else ParentTask(run_id=parent[0], task=parent[1])
    fields = {"workflow_id": "w", "workflow_version": "1.0.0", "digest": DIGEST, "started_at": NOON, **more}
    return RunStarted(parent=above, **fields)


def forked(*nodes: dict[str, Any], **more: Any) -> RunForked:
    """A run that began with these open tasks."""
    return RunForked(
        workflow_id="w",
        workflow_version="1.0.0",
        digest=DIGEST,
        forked_from=Origin(run_id="old", task=9),
        started_at=NOON,
        state={"nodes": {str(node["task"]): node for node in nodes}},
        **more,
    )


def task(number: int, awaits: Awaited | None = None, **more: Any) -> RunTaskStarted:
    return RunTaskStarted(
        task=number, reference=f"/do/{number}/t", name="t", kind="call", awaits=awaits, started_at=NOON, **more
    )


def prepared(number: int, awaits: Awaited) -> RunTaskPrepared:
    return RunTaskPrepared(task=number, awaits=awaits)


def node(number: int, awaits: Awaited, phase: str = "awaiting", **more: Any) -> dict[str, Any]:
    return {"task": number, "phase": phase, "awaits": awaits.model_dump(mode="json"), **more}


def cancelled(number: int) -> RunTaskCancelled:
    return RunTaskCancelled(task=number)


def error(name: str, status: int, title: str | None = None, detail: str | None = None) -> RunError:
    titles = {"runtime": "Runtime Error", "timeout": "Timeout", "configuration": "Configuration Error"}
    return RunError(type=STANDARD + name, status=status, title=title or titles.get(name), detail=detail)


def faulted(number: int, name: str) -> RunTaskFaulted:
    return RunTaskFaulted(task=number, error=error(name, 408))


def answer(run_id: str, number: int, value: Any = None) -> Ask:
    given = AnswerRunTask(run_id=run_id, task=number, answer=value)
    return Ask(given, Refused(run_id, number, "runtime"))


def fail(run_id: str, number: int, failed: RunError) -> FailRunTask:
    return FailRunTask(run_id=run_id, task=number, error=failed)


def nested(levels):
    """A value of so many levels."""
    return "x" if levels == 1 else [nested(levels - 1)]
