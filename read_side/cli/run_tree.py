"""How a run looks on a terminal: what it is, the tree of its tasks, and what can be done next. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from events.run_parts import RunError
from infra.console import plain
from projections.run_directory import RunRow
from projections.run_tasks import AwaitedByTask, RunTaskRow
from read_side.cli.suggestion import suggestion

NAME_CHARACTERS_MAX = 80
DETAIL_CHARACTERS_MAX = 300
CHILDREN_MAX = 200
CHILDREN_FIRST = 2
STYLES = {
    "running": "cyan",
    "waiting": "yellow",
    "suspended": "yellow",
    "interrupted": "yellow",
    "failing": "red",
    "cancelling": "yellow",
    "compensating": "magenta",
    "completed": "green",
    "compensated": "blue",
    "faulted": "bold red",
    "parked": "bold red",
    "stuck": "bold red",
    "cancelled": "dim",
    "skipped": "dim",
    "compensation_skipped": "yellow",
}
"""What each status of a run or a task looks like."""


def span(seconds: float) -> str:
    """A length of time for people: `120ms`, `1.2s`, `3m 05s`, `2h 03m`, `1d 04h`; none is below zero."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{round(seconds * 1_000)}ms"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes}m {int(seconds % 60):02}s"
    return (
        f"{minutes // 60}h {minutes % 60:02}m" if minutes < 1_440 else f"{minutes // 1_440}d {minutes // 60 % 24:02}h"
    )


def picture_of(run: RunRow, tasks: Sequence[RunTaskRow], now: datetime, lines_max: int | None = None) -> RenderableType:
    """The run at a moment. With `lines_max`, of each task only so many parts are drawn, the last ones, that it should fit."""
    below = _by_parent(tasks)
    undoes = {task.compensated_by: task for task in tasks if task.compensated_by is not None}
    children_max = CHILDREN_MAX
    while lines_max is not None and children_max > 1 and _lines(below, 0, children_max) > lines_max:
        children_max //= 2
    tree = Tree(_title(run, now), guide_style="dim")
    _grow(tree, 0, below, undoes, now, children_max)
    return Group(tree, *_next_steps(run))


def _by_parent(tasks: Sequence[RunTaskRow]) -> dict[int, list[RunTaskRow]]:
    """The parts of each task. One whose whole began in another run, that this one was forked from, counts as the run's own."""
    known = {task.task for task in tasks}
    below: dict[int, list[RunTaskRow]] = defaultdict(list)
    for task in tasks:
        below[task.parent if task.parent in known and task.parent < task.task else 0].append(task)
    return below


def _drawn(children: Sequence[RunTaskRow], children_max: int) -> tuple[Sequence[RunTaskRow], int, Sequence[RunTaskRow]]:
    """The first ones, how many are left out, the last ones."""
    if len(children) <= children_max:
        return children, 0, ()
    first = min(CHILDREN_FIRST, children_max - 1)
    last = children_max - first
    return children[:first], len(children) - first - last, children[len(children) - last :]


def _lines(below: dict[int, list[RunTaskRow]], number: int, children_max: int) -> int:
    first, left_out, last = _drawn(below.get(number, ()), children_max)
    return (left_out > 0) + sum(
        1 + len(list(_errors(task))) + _lines(below, task.task, children_max) for task in (*first, *last)
    )


def _grow(
    tree: Tree,
    number: int,
    below: dict[int, list[RunTaskRow]],
    undoes: dict[int, RunTaskRow],
    now: datetime,
    children_max: int,
) -> None:
    first, left_out, last = _drawn(below.get(number, ()), children_max)
    for task in first:
        _grow(tree.add(line_of(task, undoes, now)), task.task, below, undoes, now, children_max)
    if left_out:
        tree.add(Text(f"… {left_out:,} more", style="dim"))
    for task in last:
        _grow(tree.add(line_of(task, undoes, now)), task.task, below, undoes, now, children_max)


def _title(run: RunRow, now: datetime) -> Text:
    title = Text.assemble((run.run_id, "bold"), f"  {run.workflow_id} {run.workflow_version}  ", _status(run.status))
    title.append(f"  {span(((run.ended_at or now) - run.started_at).total_seconds())}", style="dim")
    if run.forked_from_run_id:
        title.append(f"  forked from {run.forked_from_run_id} after task {run.forked_from_task}", style="dim")
    if run.parent_run_id:
        title.append(f"  part of {run.parent_run_id}, task {run.parent_task}", style="dim")
    for name, value in run.labels.items():
        title.append(plain(f"  {name}={value}", NAME_CHARACTERS_MAX), style="dim")
    if run.error is not None:
        title.append(f"\n{_error(run.error)}", style="red")
    if run.reason:
        title.append(f"\n{plain(run.reason, DETAIL_CHARACTERS_MAX)}", style="yellow")
    return title


def line_of(task: RunTaskRow, undoes: dict[int, RunTaskRow], now: datetime) -> Text:
    """One task: its number, name and kind, where it stands, how long it took, and what there is to say about it."""
    undone = "strike dim" if task.status == "compensated" else "dim" if task.status in ("skipped", "cancelled") else ""
    line = Text.assemble((f"{task.task} ", "dim"), (plain(task.name, NAME_CHARACTERS_MAX), undone))
    if task.kind:
        line.append(f"  {plain(task.kind, NAME_CHARACTERS_MAX)}", style="dim")
    line.append("  ").append_text(_status(task.status))
    if task.started_at is not None:
        is_open = task.status in ("running", "waiting")
        until = now if is_open else task.ended_at
        if until is not None:
            line.append(f"  {span((until - task.started_at).total_seconds())}", style="dim")
    for note in _notes(task, undoes, now):
        line.append(f"  {note}", style="yellow" if task.status == "waiting" else "dim")
    for error in _errors(task):
        line.append(f"\n{error}", style="red")
    return line


def _status(status: str) -> Text:
    return Text(status.replace("_", " "), style=STYLES.get(status, ""))


def _notes(task: RunTaskRow, undoes: dict[int, RunTaskRow], now: datetime) -> Iterator[str]:
    if task.status == "waiting" and task.awaits is not None:
        yield f"waits for {_awaited(task.awaits, now)}"
    if task.kind == "fork" and task.items is not None:
        yield f"{task.items} branches"
    elif task.items is not None or task.rounds:
        yield f"round {task.rounds}" + ("" if task.items is None else f" of {task.items}")
    if task.events_consumed:
        yield f"{task.events_consumed} events"
    if task.attempts > 1:
        yield f"{task.attempts} attempts"
    if task.errors_caught:
        yield f"{task.errors_caught} {'error' if task.errors_caught == 1 else 'errors'} caught"
    if task.task in undoes:
        yield f"undoes {undoes[task.task].task} {plain(undoes[task.task].name, NAME_CHARACTERS_MAX)}"
    if task.status in ("compensating", "compensated"):
        yield f"{'undone' if task.status == 'compensated' else 'being undone'} by {task.compensated_by}"
    if task.compensation_attempts > 1:
        yield f"{task.compensation_attempts} attempts to undo it"
    if task.next_retry_at is not None and task.next_retry_at > now:
        yield f"tries again in {span((task.next_retry_at - now).total_seconds())}"


def _awaited(awaits: AwaitedByTask, now: datetime) -> str:
    if awaits.until is not None:
        left = f", in {span((awaits.until - now).total_seconds())}" if awaits.until > now else ""
        return f"{awaits.until:%Y-%m-%d %H:%M:%S} UTC{left}"
    if awaits.kind == "events":
        return plain("events " + ", ".join(awaits.types) if awaits.types else "any event", NAME_CHARACTERS_MAX)
    name = awaits.id or awaits.function
    return plain(awaits.kind.replace("_", " ") + (f" {name}" if name else ""), NAME_CHARACTERS_MAX)


def _errors(task: RunTaskRow) -> Iterator[str]:
    """What failed: the task, the undoing of it, or, while a `try` goes on, what it caught."""
    if task.error is not None:
        yield _error(task.error)
    elif task.last_error_caught is not None and task.status != "completed":
        yield f"caught: {_error(task.last_error_caught)}"
    if task.compensation_error is not None:
        yield f"cannot be undone: {_error(task.compensation_error)}"


def _error(error: RunError) -> str:
    title = error.title or error.type.rstrip("/").rpartition("/")[2]
    return plain(f"{title} ({error.status})" + (f": {error.detail}" if error.detail else ""), DETAIL_CHARACTERS_MAX)


def _next_steps(run: RunRow) -> list[Text]:
    def typed(verb: str) -> str:
        return suggestion(run.tenant_id, "runs", verb, run.run_id)

    steps = {
        "faulted": f"Go on from what failed: {typed('retry')}",
        "suspended": f"Go on: {typed('resume')}",
        "parked": (
            f"Task {run.stuck_task} cannot be undone. Try again: {typed('retry-compensation')}\n"
            f"Or leave it as it is: {typed('skip-compensation')}"
        ),
    }
    step = steps.get(run.status)
    return [Text(step, style="dim")] if step else []
