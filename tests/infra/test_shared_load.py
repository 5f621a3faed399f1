"""Loads that are made together end apart: what is wrong with one of them fails nobody who asked for another."""

import asyncio
from collections.abc import Sequence

import pytest

from infra.adapters.shared_load import SharedLoad
from infra.errors import StoreUnavailable


class Shelf:
    """What there is, by key; `broken` ones cannot be read, `away` makes all loads fail."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.away = False
        self.asked: list[list[str]] = []

    async def load(self, keys: Sequence[str]) -> dict[str, str]:
        self.asked.append(list(keys))
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("The shelf cannot be reached.")
        if not self.broken.isdisjoint(keys):
            raise ValueError("cannot be read")
        return {key: key.upper() for key in keys if key != "nothing"}


async def ask(shelf: Shelf, *keys: str) -> list[object]:
    shared = SharedLoad(shelf.load, 10)
    return list(await asyncio.gather(*(shared.get(key) for key in keys), return_exceptions=True))


class TestLoadsOfTheSameMoment:
    async def test_are_one(self) -> None:
        shelf = Shelf()
        assert await ask(shelf, "a", "b", "a", "nothing") == ["A", "B", "A", None]
        assert shelf.asked == [["a", "b", "nothing"]]

    async def test_fail_only_where_something_is_wrong(self) -> None:
        shelf = Shelf()
        shelf.broken = {"b"}
        first, second, third = await ask(shelf, "a", "b", "c")
        assert (first, third) == ("A", "C")
        assert isinstance(second, ValueError)

    async def test_fail_together_where_nobody_answers(self) -> None:
        shelf = Shelf()
        shelf.away = True
        assert {type(each) for each in await ask(shelf, "a", "b", "c")} == {StoreUnavailable}
        assert len(shelf.asked) == 1

    async def test_go_on_after_a_failure(self) -> None:
        shelf = Shelf()
        shelf.broken = {"b"}
        shared = SharedLoad(shelf.load, 10)
        with pytest.raises(ValueError, match="read"):
            await shared.get("b")
        assert await shared.get("a") == "A"
