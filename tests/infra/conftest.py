"""What tests of the command bus share: a slow store of boxes, and the buses of two processes on it."""

import pytest

from infra.engines.command_bus import CommandBus
from infra.settings import Settings
from tests.infra.boxes import DECIDERS, EVENTS, NOW, SlowStore


@pytest.fixture
async def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def bus(store: SlowStore, settings: Settings) -> CommandBus:
    return CommandBus(store, DECIDERS, EVENTS, settings, lambda: NOW)


@pytest.fixture
def elsewhere(store: SlowStore, settings: Settings) -> CommandBus:
    """The bus of another process."""
    return CommandBus(store, DECIDERS, EVENTS, settings)
