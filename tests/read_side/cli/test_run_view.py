"""A run that is followed: pages and live events together give what the read models have."""

from collections.abc import Iterator

import pytest

from events.run import RunCompleted, RunFaulted, RunRetried, RunTaskCompleted, RunTaskFaulted
from events.run_parts import JobAwaited, RunError
from infra.refusal import Refused
from read_side.cli import run_view
from read_side.cli.client import Client
from read_side.cli.run_view import RunView
from tests.read_side.cli.local_api import LocalApi, started, task

pytestmark = pytest.mark.outside

NO_CAR = RunError(type="https://example.com/no-car", status=409)


@pytest.fixture
def api() -> Iterator[LocalApi]:
    with LocalApi() as api:
        yield api


async def load(api: LocalApi) -> RunView:
    url = f"http://127.0.0.1:{api.port}"
    async with Client(url, url, "default") as client:
        return await RunView.load(client, "r1")


def standing(view: RunView) -> list[tuple[int, str]]:
    return [(row.task, row.status) for row in view.tasks()]


class TestAViewOfARun:
    async def test_goes_on_from_the_position_that_its_pages_reflect(self, api: LocalApi) -> None:
        api.happen("r1", started(), task(1, "x"))
        view = await load(api)
        assert (view.position, view.run.status, standing(view)) == (2, "running", [(1, "running")])
        api.happen("r1", RunTaskCompleted(task=1), task(2, "y"), RunTaskCompleted(task=2), RunCompleted(output=[1]))
        for event in api.events[view.position :]:
            view.apply(event)
        assert (view.ended, standing(view)) == (True, [(1, "completed"), (2, "completed")])
        assert view.run.model_dump() == (await load(api)).run.model_dump()

    async def test_takes_no_event_twice(self, api: LocalApi) -> None:
        api.happen("r1", started(), task(1, "x"), task(2, "y"), RunTaskFaulted(task=2, error=NO_CAR))
        view = await load(api)
        before = (view.run, view.tasks())
        for event in api.events:
            view.apply(event)
        assert (view.run, view.tasks()) == before
        assert view.run.tasks_started == 2

    async def test_passes_over_events_of_a_later_version(self, api: LocalApi) -> None:
        api.happen("r1", started())
        view = await load(api)
        for change in ({"type": "run.dreamt"}, {"schemaversion": 9}, {"data": {"odd": 1}}):
            view.apply({**api.events[0], "position": 9, **change})
        assert view.run.position == 1

    async def test_shows_what_was_interrupted_at_work_again_when_the_run_is_retried(self, api: LocalApi) -> None:
        api.happen("r1", started(), task(1, "x"), task(2, "y", awaits=JobAwaited(job_id="j1")))
        api.happen("r1", RunFaulted(error=NO_CAR))
        view = await load(api)
        assert standing(view) == [(1, "interrupted"), (2, "interrupted")]
        api.happen("r1", RunRetried())
        view.apply(api.events[-1])
        assert standing(view) == [(1, "running"), (2, "waiting")]

    async def test_keeps_so_many_tasks_and_no_more(self, api: LocalApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(run_view, "TASKS_KEPT_MAX", 2)
        api.happen("r1", started(), task(1, "x"), task(2, "y"))
        view = await load(api)
        assert not view.leaves_out
        api.happen("r1", task(3, "z"), RunTaskCompleted(task=3), RunTaskCompleted(task=1))
        for event in api.events[view.position :]:
            view.apply(event)
        assert (view.leaves_out, standing(view)) == (True, [(1, "completed"), (2, "running")])
        assert (await load(api)).leaves_out

    async def test_of_no_run_is_refused(self, api: LocalApi) -> None:
        with pytest.raises(Refused, match="There is no run r1"):
            await load(api)
