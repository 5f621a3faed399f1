"""What tests share: the embedded servers, started once per run when the first test needs them, and a database for each test."""

import asyncio
import functools
import gc
import itertools
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats
import psycopg
import pytest

from infra.adapters.migrations import migrate
from infra.embedded.nats import EmbeddedNats
from infra.embedded.postgres import EmbeddedPostgres
from infra.settings import Settings
from tests import sizes

_GARBAGE_MIN = 50_000
_TEMPLATE = "foldwork_template"
_SERVERS = {"postgres", "embedded_nats"}
_ONLY_NOT = re.compile(r"not \w+( and not \w+)*")
_MODULE_MARKS = re.compile(r"^pytestmark = .*", re.MULTILINE)
_MARK = re.compile(r"pytest\.mark\.(\w+)")
_ALLOWED = ("servers", "outside", "faults")
_GUARDED = "infra.expressions.child"  # evaluates expressions for all tests: started once, and asked in a fraction of a millisecond
_watched: pytest.Item | None = None  # the test that runs, if it is not marked for what it starts


class StartedUnmarked(Exception):
    """A test listens on a port or starts a process, and is not marked `outside`."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    global _watched
    _watched = None if any(item.get_closest_marker(name) for name in _ALLOWED) else item


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """What ends here may belong to all the tests of the run."""
    global _watched
    _watched = None


def _watch(owner: type, name: str) -> None:
    """Fails the test that gets to a method if it is not marked so: else the quick tests would become slow again unnoticed."""
    known = getattr(owner, name)

    @functools.wraps(known)
    def watched(*given: Any, **named: Any) -> Any:
        if _watched is not None and not any(_GUARDED in words for words in given if isinstance(words, list)):
            raise StartedUnmarked(_watched.nodeid)
        return known(*given, **named)

    setattr(owner, name, watched)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A module that is marked as a whole is not even loaded where its mark is not wanted (`-m "not servers and not faults"`)."""
    unwanted = config.getoption("markexpr")
    if collection_path.suffix != ".py" or not _ONLY_NOT.fullmatch(unwanted):
        return None
    marked = _MODULE_MARKS.search(collection_path.read_text())
    return True if marked and not {*_MARK.findall(marked[0])}.isdisjoint(unwanted.split()) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for a server is marked so, whether or not its author thought of it."""
    for item in items:
        if _SERVERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)


def pytest_configure() -> None:
    _watch(socket.socket, "listen")
    _watch(subprocess.Popen, "__init__")
    # Nearly all that is made while tests are loaded stays: the collector looks less often.
    gc.set_threshold(_GARBAGE_MIN)
    # As in service, and before a test loads gRPC: else it stops the world at each fork, and some processes forked in its midst end at once.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")


def pytest_collection_finish() -> None:
    """What is loaded by now stays to the end: the collector need not look at it again and again."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Where the answer has to come at once nobody waits for the collector to look at all that the tests left; `just check` does."""
    if sizes.is_fast():
        gc.freeze()


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="foldwork-tests-"))
    # The account that Postgres runs as under root has to come through.
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The embedded Postgres of this run."""
    server = EmbeddedPostgres(server_folder, server_folder / "postgres.log")
    asyncio.run(server.start())
    # Nobody pulls the plug here: what a killed process has written is there without it, and databases are made much faster.
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server
    asyncio.run(server.stop())
    server.erase()


@pytest.fixture(scope="session")
def embedded_nats(server_folder: Path) -> Iterator[EmbeddedNats]:
    """The embedded NATS of this run."""
    server = EmbeddedNats(server_folder, server_folder / "nats.log")
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture
async def own_nats(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    """A NATS of the test's own, to stop, kill or damage; its files are below `tmp_path`."""
    server = EmbeddedNats(tmp_path, tmp_path / "log")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> Callable[[str], str]:
    """Makes a migrated database of a given name, as a copy of one that was migrated before; gives its URL."""

    def url_of(name: str) -> str:
        return urlsplit(postgres.url)._replace(path=f"/{name}").geturl()

    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {_TEMPLATE}".encode())
    asyncio.run(migrate(url_of(_TEMPLATE)))

    def clone(name: str) -> str:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}".encode())
        return url_of(name)

    return clone


_numbers = itertools.count(1)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, template: Callable[[str], str]) -> Iterator[str]:
    """A migrated database of the test's own. Ask for it in the signature: it cannot be made inside a running loop."""
    name = f"test_{next(_numbers)}"
    yield template(name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def nats_url(embedded_nats: EmbeddedNats) -> str:
    """A JetStream without any streams. Ask for it in the signature: it cannot be emptied inside a running loop."""

    async def empty() -> None:
        client = await nats.connect(embedded_nats.url)
        jetstream = client.jetstream()
        for stream in await jetstream.streams_info():
            await jetstream.delete_stream(str(stream.config.name))
        await client.close()

    asyncio.run(empty())
    return embedded_nats.url


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The defaults, whatever this machine's environment says, but with polls so short that no test waits for them."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FOLDWORK_{name.upper()}", raising=False)
    return _settings()


@functools.cache
def _settings() -> Settings:
    """Read once: the settings are frozen, and to look for each of them in the environment takes longer than most tests."""
    return Settings(
        consumer_control_poll_s=0.02,
        consumer_lease_poll_s=0.02,
        timer_poll_s=0.01,
        heartbeat_flush_s=0.02,
        heartbeat_check_s=0.02,
        relay_poll_s_max=0.02,
        work_watch_s=0.05,
    )
