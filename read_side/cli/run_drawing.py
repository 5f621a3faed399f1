"""Draws a run once, or again and again until it has ended."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime

from rich.console import RenderableType
from rich.live import Live

from infra.cancellation import end
from infra.console import Output, print_json, stderr, stdout
from infra.tail import Tail
from read_side.cli.client import Client, path_of
from read_side.cli.run_tree import line_of, picture_of
from read_side.cli.run_view import TASKS_KEPT_MAX, RunView

REDRAW_S = 0.25
LINES_BESIDE = 6


async def show(client: Client, tail: Tail | None, run_id: str, position: int, output: Output) -> RunView:
    """Print a run, once it has ended if there is a `tail` of its events to follow. Raises Refused."""
    view = await RunView.load(client, run_id, position)
    if tail is not None and not view.ended:
        if output is Output.table and stdout.is_terminal:
            await _draw(view, tail)
            return view
        await _follow(view, tail, _Lines(view))
    if output is Output.json:
        await _print_all(client, run_id, view.run.position)
    else:
        stdout.print(_picture(view), soft_wrap=not stdout.is_terminal)
        _say_what_is_left_out(view)
    return view


class _Lines:
    """Says on stderr how tasks go, one line for each change: where nobody can draw, and before what stdout has at the end."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._said: dict[int, object] = {}
        for task in view.tasks():
            if task.status in ("running", "waiting"):
                self.say(task.task)

    def say(self, number: int) -> None:
        task = self._view.task(number)
        if task is not None and self._said.get(number) != (task.status, task.awaits):
            self._said[number] = task.status, task.awaits
            stderr.print(line_of(task, {}, datetime.now(UTC)), soft_wrap=True)


async def _follow(view: RunView, tail: Tail, lines: _Lines | None = None) -> None:
    async with aclosing(tail.follow(view.position)) as events:
        async for event in events:
            view.apply(event)
            if lines is not None and "task" in event["data"]:
                lines.say(event["data"]["task"])
            if view.ended:
                return


async def _draw(view: RunView, tail: Tail) -> None:
    """In place, on a terminal."""
    following = asyncio.create_task(_follow(view, tail))
    try:
        with Live(_picture(view, live=True), console=stdout, auto_refresh=False) as live:
            while not following.done():
                await asyncio.wait({following}, timeout=REDRAW_S)
                live.update(_picture(view, live=True), refresh=True)
            following.result()
            live.update(_picture(view))
    finally:
        await end(following)
    _say_what_is_left_out(view)


def _picture(view: RunView, *, live: bool = False) -> RenderableType:
    lines_max = max(1, stdout.height - LINES_BESIDE) if live else None
    return picture_of(view.run, view.tasks(), datetime.now(UTC), lines_max)


def _say_what_is_left_out(view: RunView) -> None:
    if view.leaves_out:
        stderr.print(f"Only the first {TASKS_KEPT_MAX:,} tasks are shown; the query API has them all.", style="yellow")


async def _print_all(client: Client, run_id: str, position: int) -> None:
    """With all inputs and outputs, as the query API tells them."""
    found, _ = await client.ask(path_of("runs", run_id), position=position)
    tasks = [
        row async for row, _ in client.rows(path_of("runs", run_id, "tasks"), {}, TASKS_KEPT_MAX, position=position)
    ]
    print_json({"run": found, "tasks": tasks})
