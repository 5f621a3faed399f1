"""Functions that workflows can call: those of this process, and how they are called."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from infra import functions
from infra.functions import THREADS_MAX, call, function_names, installed, register


@pytest.fixture
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "_registered", {})


async def double(number: int) -> int:
    return 2 * number


def thread_of(number: int) -> dict[str, int]:
    return {"number": number, "thread": threading.get_ident()}


@pytest.mark.usefixtures("nothing_registered")
class TestARegisteredFunction:
    def test_can_be_named_by_definitions_from_then_on(self) -> None:
        assert "double" not in function_names()
        register("double", double)
        assert "double" in function_names()

    def test_is_what_its_name_leads_to(self) -> None:
        register("double", double)
        assert installed()["double"] is double

    def test_goes_before_one_of_the_same_name(self) -> None:
        register("double", thread_of)
        register("double", double)
        assert installed()["double"] is double


class TestACall:
    async def test_gives_the_arguments_by_name(self) -> None:
        assert await call(double, {"number": 21}) == 42

    async def test_of_a_function_that_is_not_async_leaves_this_thread(self) -> None:
        found = await call(thread_of, {"number": 1})
        assert isinstance(found, dict)
        assert found["number"] == 1
        assert found["thread"] != threading.get_ident()

    async def test_that_takes_long_holds_up_nothing_else_of_the_process(self) -> None:
        gate = threading.Event()
        waiting = [asyncio.create_task(call(gate.wait, {})) for _ in range(THREADS_MAX)]
        try:
            async with asyncio.timeout(5):
                assert await asyncio.to_thread(lambda: "at once") == "at once"
        finally:
            gate.set()
            await asyncio.gather(*waiting)

    async def test_sees_what_its_caller_does(self) -> None:
        seen = ContextVar("seen", default=0)
        seen.set(7)
        assert await call(seen.get, {}) == 7
