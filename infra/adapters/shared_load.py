"""Loads by key where those that are asked for at the same moment share one query."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from itertools import chain
from typing import Generic, TypeVar

from infra.errors import Fault

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedLoad(Generic[K, V]):
    """`load_many(keys)` gives what there is, by key; while it is under way the next keys gather."""

    def __init__(self, load_many: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], keys_max: int) -> None:
        self._load_many = load_many
        self._keys_max = keys_max
        self._wanted: dict[K, list[asyncio.Future[V | None]]] = {}
        self._loader: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """What there is under a key, None if there is nothing. Raises what `load_many` raises."""
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(key, []).append(future)
        if self._loader is None:
            self._loader = asyncio.create_task(self._load_wanted(), name="loader")
        return await future

    async def _load_wanted(self) -> None:
        """Load everything that is asked for until nothing is; each round is one call."""
        try:
            while self._wanted:
                keys = list(self._wanted)[: self._keys_max]
                await self._load({key: self._wanted.pop(key) for key in keys})
        finally:
            self._loader = None

    async def _load(self, wanted: dict[K, list[asyncio.Future[V | None]]]) -> None:
        try:
            found = await self._load_many(list(wanted))
        except Exception as broken:
            if len(wanted) > 1 and not isinstance(broken, Fault):
                # What is wrong with one of them shall not fail those who asked for another.
                for key, futures in wanted.items():
                    await self._load({key: futures})
                return
            for future in chain.from_iterable(wanted.values()):
                if not future.done():
                    future.set_exception(broken)
            return
        for key, futures in wanted.items():
            for future in futures:
                if not future.done():
                    future.set_result(found.get(key))
