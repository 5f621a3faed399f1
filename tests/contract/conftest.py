"""What tests of the ports share."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.line import Line


@pytest.fixture
async def line(database_url: str) -> AsyncIterator[Line]:
    line = Line(database_url)
    await line.open()
    yield line
    await line.close()
