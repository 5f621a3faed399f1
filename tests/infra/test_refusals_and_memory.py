"""What is refused is given back at once: a refusal that holds its own frames would stay until the collector looks for rings."""

import gc
from collections.abc import Iterator

import pytest

from infra.adapters.web import refusal
from infra.engines.command_bus import CommandBus
from infra.errors import Rejection
from tests.infra.boxes import BoxFull, FillBox, MakeBox, origin


def refusals_left() -> int:
    """How many refusals nobody holds any more and are still there."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return sum(isinstance(left, Rejection) for left in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.fixture(autouse=True)
def _only_by_hand() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_refusals_in_a_batch_leave_nothing(bus: CommandBus) -> None:
    await bus.execute(MakeBox(box_id="1", size=1), origin())
    results = await bus.execute_many([(FillBox(box_id="1"), origin(), False) for _ in range(20)])
    assert sum(isinstance(result, BoxFull) for result in results) == 19
    del results
    assert refusals_left() == 0


async def test_a_refused_request_leaves_nothing(bus: CommandBus) -> None:
    async def ask() -> int:
        try:
            await bus.execute(FillBox(box_id="none"), origin())
        except Exception as error:
            return refusal(error, {"path": "/"}).status
        return 200

    assert [await ask() for _ in range(5)] == [404] * 5
    assert refusals_left() == 0
