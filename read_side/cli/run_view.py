"""A run as a reader has it before them: the rows of the read models, kept up to date by the run's own events as they come.

Guarantee: each event changes a row once, however the pages and the live stream overlap.
"""

from collections.abc import AsyncIterator
from datetime import datetime

from pydantic import ValidationError

from events.catalog import CATALOG, UnknownEventType
from events.envelope import Envelope
from events.event import Event
from infra.tail import CloudEvent
from projections.run_directory import RUN_DIRECTORY, RunRow
from projections.run_tasks import RUN_TASKS, RunTaskRow
from read_side.cli.client import Client, path_of
from read_side.runs import ENDED, as_shown

TASKS_KEPT_MAX = 20_000

_LARGE: dict[str, object] = {"input": None, "output": None}


class RunView:
    """The run and up to TASKS_KEPT_MAX of its tasks, without their inputs and outputs, which no picture shows."""

    def __init__(self, run: RunRow, position: int) -> None:
        self.run = run
        self.position = position
        self.leaves_out = False
        self._tasks: dict[int, RunTaskRow] = {}

    @classmethod
    async def load(cls, client: Client, run_id: str, position: int = 0) -> "RunView":
        """The run as it is now, or after a position. Raises Refused."""
        found, seen = await client.ask(path_of("runs", run_id), position=position)
        view = cls(RunRow.model_validate(found), seen)
        tasks: AsyncIterator[tuple[object, int]] = client.rows(
            path_of("runs", run_id, "tasks"), {}, TASKS_KEPT_MAX, position=position
        )
        async for row, seen in tasks:
            view.position = min(view.position, seen)
            view._keep(RunTaskRow.model_validate(row))
        view.leaves_out = view.run.tasks_started > TASKS_KEPT_MAX
        return view

    @property
    def ended(self) -> bool:
        return self.run.status in ENDED

    def tasks(self) -> list[RunTaskRow]:
        """In the order in which they began, as a reader sees them."""
        return [as_shown(self._tasks[number], self.run) for number in sorted(self._tasks)]

    def task(self, number: int) -> RunTaskRow | None:
        """One of them; None if it has not begun, or is left out."""
        row = self._tasks.get(number)
        return None if row is None else as_shown(row, self.run)

    def apply(self, event: CloudEvent) -> None:
        """Take an event of this run. One of a later version of Foldwork changes nothing."""
        try:
            decoded = CATALOG.decode(event["type"], event["schemaversion"], event["data"])
        except (UnknownEventType, ValidationError):
            return
        envelope: Envelope[Event] = Envelope(
            event["position"],
            event["id"],
            event["tenantid"],
            event["subject"],
            event["streamversion"],
            datetime.fromisoformat(event["time"]),
            decoded,
        )
        if envelope.position > self.run.position and isinstance(decoded, RUN_DIRECTORY.handles):
            self.run = RUN_DIRECTORY.project(envelope, self.run) or self.run
        if isinstance(decoded, RUN_TASKS.handles):
            self._apply_to_task(envelope)

    def _apply_to_task(self, envelope: Envelope[Event]) -> None:
        number = int(RUN_TASKS.locate(envelope)[2])
        before = self._tasks.get(number)
        if before is not None and before.position >= envelope.position:
            return
        row = RUN_TASKS.project(envelope, before)
        if row is None:
            return
        if before is None and len(self._tasks) >= TASKS_KEPT_MAX:
            self.leaves_out = True
            return
        self._keep(row)

    def _keep(self, row: RunTaskRow) -> None:
        changes = dict(_LARGE)
        if row.status == "interrupted":
            # It is so because of the run, which may go on while we look.
            changes["status"] = "waiting" if row.awaits else "running"
        self._tasks[row.task] = row.model_copy(update=changes)
