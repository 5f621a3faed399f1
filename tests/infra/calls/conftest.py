"""What the tests of calls share: the other side, and a context that may reach it."""

from collections.abc import AsyncIterator

import pytest

from infra.calls.call import CallContext
from tests.infra.calls.other_side import OtherSide, calling, other_side


@pytest.fixture
async def server() -> AsyncIterator[OtherSide]:
    async with other_side() as running:
        yield running


@pytest.fixture
async def context() -> AsyncIterator[CallContext]:
    async with calling() as made:
        yield made
