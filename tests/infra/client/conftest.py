"""What tests of the client share: a system of their own."""

from collections.abc import AsyncIterator

import pytest

from infra.settings import Settings
from tests.infra.client.worker_world import World, world


@pytest.fixture
async def system(database_url: str, nats_url: str, settings: Settings) -> AsyncIterator[World]:
    async with world(database_url, nats_url, settings) as running:
        yield running
