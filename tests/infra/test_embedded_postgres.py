"""The embedded Postgres: its data outlives everything that can happen to its processes."""

import asyncio
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import structlog

from infra.embedded import postgres as embedded
from infra.embedded.postgres import EmbeddedPostgres
from infra.embedded.postgres_home import PACKAGE, PostgresHome, settle
from infra.embedded.process import ServerNotStarted, occupants

AS_ROOT = os.geteuid() == 0
pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One data folder for all tests here, since making the data takes most of the time."""
    path = Path(tempfile.mkdtemp(prefix="foldwork-test-"))
    yield path
    EmbeddedPostgres(path, path / "log").erase()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def postgres(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder, folder / "log")
    await server.start()
    yield server
    await server.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def sockets(folder: Path) -> Path:
    return Path((folder / "postgres.socket").read_text())


def owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def a_stranger(home: PostgresHome) -> "subprocess.Popen[bytes]":
    """A process of the account that Postgres runs as, but no Postgres."""
    return subprocess.Popen(["sleep", "60"], user=home.account.uid if home.account else None)


def a_home(place: Path, home: PostgresHome) -> Path:
    """A private folder with something in it, of the account that Postgres runs as."""
    own = place / "home"
    own.mkdir(mode=0o700)
    (own / "kept").touch()
    if home.account:
        place.chmod(0o755)
        os.chown(own, home.account.uid, home.account.gid)
    return own


async def ask(url: str, query: str) -> list[str]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(query.encode())
        return [str(row[0]) for row in await cursor.fetchall()] if cursor.description else []


class TestAnEmbeddedPostgres:
    async def test_keeps_what_was_committed(self, postgres: EmbeddedPostgres) -> None:
        safe = "'fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums'"
        assert await ask(postgres.url, f"SELECT setting FROM pg_settings WHERE name IN ({safe})") == ["on"] * 4

    async def test_listens_on_a_private_socket_only(self, postgres: EmbeddedPostgres, folder: Path) -> None:
        assert await ask(postgres.url, "SHOW listen_addresses") == [""]
        assert mode(sockets(folder)) == 0o700
        assert len(os.fsencode(sockets(folder) / ".s.PGSQL.5432.lock")) <= 107

    @pytest.mark.skipif(not AS_ROOT, reason="only root has to change the user")
    async def test_does_not_run_as_root(self, postgres: EmbeddedPostgres) -> None:
        assert postgres.pid is not None
        assert owner(postgres.pid) != 0

    async def test_keeps_its_data_over_a_restart(self, postgres: EmbeddedPostgres, folder: Path) -> None:
        await ask(postgres.url, "CREATE TABLE kept AS SELECT 1 AS x")
        await postgres.stop()
        assert not postgres.alive
        await postgres.start()
        assert await ask(postgres.url, "SELECT x FROM kept") == ["1"]

    async def test_comes_back_under_the_same_url_after_a_kill(self, postgres: EmbeddedPostgres) -> None:
        url = postgres.url
        await ask(url, "CREATE TABLE survived AS SELECT generate_series(1, 1000) AS x")
        postgres.kill()
        await until(lambda: not postgres.alive)
        await postgres.start()
        assert postgres.url == url
        assert await ask(url, "SELECT count(*) FROM survived") == ["1000"]

    async def test_is_waited_for_while_it_says_that_it_recovers(
        self, postgres: EmbeddedPostgres, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It recovers from an archive that is slow to say that it has nothing."""
        await postgres.stop()
        monkeypatch.setattr(embedded, "START_S_MAX", 1.5)
        data = settle(folder).data
        config = data / "postgresql.conf"
        kept = config.read_text()
        config.write_text(f"{kept}\nhot_standby = off\nrestore_command = 'sleep 1; false'\n")
        (data / "recovery.signal").touch()
        try:
            with structlog.testing.capture_logs() as said:
                await postgres.start()
            assert await ask(postgres.url, "SELECT 1") == ["1"]
            assert {line["event"] for line in said} == {"postgres recovers"}
            assert all(" LOG: " in line["progress"] for line in said)
        finally:
            config.write_text(kept)

    async def test_ends_a_postmaster_that_outlived_its_supervisor(
        self, postgres: EmbeddedPostgres, folder: Path
    ) -> None:
        orphan, url = postgres.pid, postgres.url
        successor = EmbeddedPostgres(folder, folder / "log")
        await successor.start()
        try:
            assert not postgres.alive
            assert successor.pid != orphan
            assert successor.url == url
            assert await ask(url, "SELECT 1") == ["1"]
        finally:
            await successor.stop()

    async def test_is_not_kept_away_by_a_pid_that_is_somebody_elses_now(self, folder: Path) -> None:
        home = settle(folder)
        stranger = a_stranger(home)
        (home.data / "postmaster.pid").write_text(f"{stranger.pid}\n{home.data}\n1\n5432\n\n\n\n\n")
        server = EmbeddedPostgres(folder, folder / "log")
        try:
            await server.start()
            assert stranger.poll() is None
        finally:
            await server.stop()
            stranger.kill()
            stranger.wait()

    async def test_leaves_no_process_and_no_socket_behind(self, folder: Path) -> None:
        server = EmbeddedPostgres(folder, folder / "log")
        await server.start()
        place = sockets(folder)
        await server.stop()
        assert not list(place.parent.glob(place.name))
        assert occupants(settle(folder).data, "postgres") == []

    @pytest.mark.parametrize("note", ["", ".", "{home}"])
    async def test_takes_no_folder_for_its_own_that_a_damaged_note_names(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: str
    ) -> None:
        home = a_home(tmp_path, settle(folder))
        monkeypatch.chdir(home)
        (folder / "postgres.socket").write_text(note.format(home=home))
        server = EmbeddedPostgres(folder, folder / "log")
        try:
            await server.start()
            assert await ask(server.url, "SELECT 1") == ["1"]
        finally:
            await server.stop()
        assert (home / "kept").exists()

    async def test_shows_its_log_when_it_cannot_start(self, folder: Path) -> None:
        config = settle(folder).data / "postgresql.conf"
        kept = config.read_text()
        config.write_text("no_such_setting = 1\n")
        server = EmbeddedPostgres(folder, folder / "log")
        try:
            with pytest.raises(ServerNotStarted, match=r"ended while starting(.|\n)*no_such_setting"):
                await server.start()
        finally:
            await server.stop()
            config.write_text(kept)

    async def test_does_not_touch_the_data_of_another_version(self, tmp_path: Path) -> None:
        (tmp_path / "postgres").mkdir()
        (tmp_path / "postgres" / "PG_VERSION").write_text("17\n")
        with pytest.raises(ServerNotStarted, match=r"was made by Postgres 17"):
            await EmbeddedPostgres(tmp_path, tmp_path / "log").start()


@pytest.mark.skipif(not AS_ROOT, reason="about folders that only root can enter")
class TestAnEmbeddedPostgresWhereOnlyRootMayGo:
    async def test_keeps_data_and_programs_outside(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        _hide_the_wheel(private, monkeypatch)
        server = EmbeddedPostgres(private, private / "log")
        try:
            await server.start()
            await ask(server.url, "CREATE TABLE kept AS SELECT 1 AS x")
            await server.stop()
            shelter = (private / "postgres").readlink().parent
            assert not shelter.is_relative_to(private)
            assert list(shelter.glob("binaries-*"))
            assert mode(private) == 0o700

            again = EmbeddedPostgres(private, private / "log")
            await again.start()
            assert await ask(again.url, "SELECT x FROM kept") == ["1"]
            await again.stop()
        finally:
            await server.stop()
            server.erase()
        assert not shelter.exists()

    def test_begins_anew_when_its_data_folder_was_deleted(self, tmp_path: Path) -> None:
        private = tmp_path / "private"
        homes = []
        for _ in range(2):
            private.mkdir(mode=0o700)
            homes.append(settle(private).data)
            assert settle(private).data == homes[-1]
            shutil.rmtree(private)
        try:
            assert homes[0] != homes[1]
        finally:
            for home in homes:
                shutil.rmtree(home.parent)


def _hide_the_wheel(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the wheel's files where only root can see them, as in an environment below /root."""
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None
    assert found.origin is not None
    wheel = Path(found.origin).parent
    for folder in (wheel / "pginstall18", wheel.parent / f"{PACKAGE}.libs"):
        shutil.copytree(folder, private / "site" / folder.relative_to(wheel.parent), copy_function=os.link)
    hidden = importlib.machinery.ModuleSpec(PACKAGE, None, origin=str(private / "site" / PACKAGE / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: hidden)
