"""The supervisor with small parts of its own: what it starts, starts again, says and leaves behind."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest

from infra.embedded import process
from infra.embedded.folder import AlreadyRunning, DataFolder
from infra.embedded.ports import free_port
from infra.embedded.process import ServerNotStarted
from infra.parts import Part
from infra.settings import Settings
from infra.supervisor import Supervisor

pytestmark = pytest.mark.servers

ECHO = """
import asyncio, os
from infra.settings import Settings
from infra.telemetry import new_registry, serve_health

async def main():
    async with serve_health(Settings().command_port, lambda: True, registry=new_registry()):
        print("serving", os.environ["FOLDWORK_DATABASE_URL"], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
ECHO_PART = Part("echo", ("echo_part",), "command_port")
DYING_PART = Part("dying", ("dying_part",), "query_port")


async def nothing(settings: Settings) -> None:
    """These parts need no tables."""


@pytest.fixture(autouse=True)
def parts_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "echo_part.py").write_text(ECHO)
    (tmp_path / "dying_part.py").write_text("raise SystemExit('nothing to do here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture
def supervisor(tmp_path: Path) -> Callable[..., Supervisor]:
    def build(*parts: Part, **given: object) -> Supervisor:
        urls = {"database_url": "postgresql://elsewhere/foldwork", "nats_url": "nats://elsewhere"}
        settings = Settings.model_validate({"data_dir": tmp_path / "data", **urls, **given})
        return Supervisor(settings, ports="auto", parts=parts, prepare=nothing)

    return build


def is_alive(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


class TestAPart:
    @pytest.mark.parametrize(
        ("host", "told"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]")]
    )
    def test_is_found_by_its_url_wherever_it_listens(self, host: str, told: str) -> None:
        assert ECHO_PART.url(Settings(host=host, command_port=8000)) == f"http://{told}:8000"


class TestASupervisor:
    async def test_starts_its_parts_and_leaves_nothing_behind(self, supervisor: Callable[..., Supervisor]) -> None:
        async with supervisor(ECHO_PART) as system:
            pid = system.pid("echo")
            async with httpx.AsyncClient() as http:
                assert (await http.get(system.url("echo") + "/healthz")).status_code == 200
            assert "serving postgresql://elsewhere/foldwork" in system.folder.log("echo").read_text()
            assert is_alive(pid)
        assert not is_alive(pid)
        assert system.folder.state() is None

    async def test_tells_other_commands_what_runs(self, supervisor: Callable[..., Supervisor]) -> None:
        async with supervisor(ECHO_PART) as system:
            state = DataFolder(system.settings.data_dir).state()
            assert state is not None
            assert state.processes["echo"].pid == system.pid("echo")
            assert state.processes["echo"].url == system.url("echo")
            assert (system.folder.path / "state.json").stat().st_mode & 0o777 == 0o600

    async def test_takes_no_note_of_a_killed_system_for_what_runs(self, supervisor: Callable[..., Supervisor]) -> None:
        async with supervisor(ECHO_PART) as system:
            folder, note = DataFolder(system.settings.data_dir), system.folder.path / "state.json"
            left_behind = note.read_text()
        note.write_text(left_behind)  # its process id is another's by now: ours
        assert folder.state() is not None
        folder.acquire()
        assert folder.state() is None
        folder.release()

    async def test_starts_a_killed_part_again_on_the_same_port(self, supervisor: Callable[..., Supervisor]) -> None:
        async with supervisor(ECHO_PART) as system:
            before, url = system.pid("echo"), system.url("echo")
            system.kill("echo")
            await until(lambda: system.restarts("echo") > 0)
            await system.until_ready("echo", within_s=10)
            assert system.pid("echo") != before
            assert system.url("echo") == url
            state = system.folder.state()
            assert state is not None
            assert state.processes["echo"].pid == system.pid("echo")

    async def test_puts_a_log_aside_that_grows_too_long(
        self, supervisor: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process, "LOG_BYTES_MAX", 10)
        async with supervisor(ECHO_PART) as system:
            log = system.folder.log("echo")
            await until(lambda: log.with_name("echo.log.1").exists() and not log.stat().st_size)
            assert system.alive("echo")

    async def test_keeps_everything_alive_where_nothing_can_be_written(
        self, supervisor: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("infra.supervisor.BACKOFF_S_MAX", 0.1)
        async with supervisor(ECHO_PART) as system:
            log = system.folder.log("echo")
            full = system.folder.path / "state.json.new", log
            log.unlink()
            for path in full:
                path.mkdir()
            system.kill("echo")
            await until(lambda: system.restarts("echo") > 2)
            log.rmdir()
            await system.until_ready("echo", within_s=10)
            full[0].rmdir()
            system.kill("echo")
            await until(lambda: not system.alive("echo"))
            await system.until_ready("echo", within_s=10)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(system.wait())), 0.1)
            state = system.folder.state()
            assert state is not None
            assert state.processes["echo"].pid == system.pid("echo")

    async def test_says_why_a_part_does_not_come_up(
        self, supervisor: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("infra.supervisor.DEATHS_BEFORE_READY_MAX", 2)
        system = supervisor(ECHO_PART, DYING_PART)
        with pytest.raises(
            ServerNotStarted, match=r"dying died again and again before it was ready(.|\n)*nothing to do here"
        ):
            await system.start()
        assert not system.alive("echo")

    async def test_is_refused_where_another_runs(self, supervisor: Callable[..., Supervisor]) -> None:
        async with supervisor(ECHO_PART):
            with pytest.raises(AlreadyRunning, match=rf"already runs in .*data .process {os.getpid()}."):
                await supervisor(ECHO_PART).start()

    async def test_names_the_setting_when_a_port_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("infra.supervisor.PORT_FREE_S_MAX", 0.1)
        with socket.create_server(("127.0.0.1", free_port())) as taken:
            settings = Settings(data_dir=tmp_path / "data", command_port=taken.getsockname()[1])
            with pytest.raises(ServerNotStarted, match=r"meant for echo, is in use(.|\n)*FOLDWORK_COMMAND_PORT"):
                await Supervisor(settings, parts=[ECHO_PART], prepare=nothing).start()

    async def test_gives_no_port_to_two_parts(self, tmp_path: Path) -> None:
        port = free_port()
        settings = Settings(
            data_dir=tmp_path / "data", database_url="x", nats_url="y", command_port=port, query_port=port
        )
        with pytest.raises(ServerNotStarted, match=f"Port {port} is meant for two parts(.|\n)*FOLDWORK_QUERY_PORT"):
            await Supervisor(settings, parts=[ECHO_PART, DYING_PART], prepare=nothing).start()

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
    async def test_takes_its_parts_along_when_it_is_killed(self, tmp_path: Path) -> None:
        program = f"""
import asyncio
from infra.parts import Part
from infra.settings import Settings
from infra.supervisor import Supervisor
async def nothing(settings):
    pass
async def main():
    parts = [Part("echo", ("echo_part",), "command_port")]
    settings = Settings(data_dir={str(tmp_path / "data")!r}, database_url="x", nats_url="y")
    async with Supervisor(settings, ports="auto", parts=parts, prepare=nothing) as system:
        print(system.pid("echo"), flush=True)
        await system.wait()
asyncio.run(main())
"""
        running = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
        assert running.stdout is not None
        part = int(await running.stdout.readline())
        assert is_alive(part)
        running.kill()
        await running.wait()
        await until(lambda: not is_alive(part))


class TestASupervisorOfServers:
    async def test_starts_killed_servers_again_under_the_same_urls(self, tmp_path: Path) -> None:
        settings = Settings(data_dir=tmp_path / "data", database_url=None, nats_url=None)
        system = Supervisor(settings, ports="auto", parts=[ECHO_PART])
        try:
            async with system:
                urls = (system.settings.database_url, system.settings.nats_url)
                assert system.names == ("postgres", "nats", "echo")
                for name in ("postgres", "nats"):
                    system.kill(name)
                await until(lambda: system.restarts("postgres") > 0 and system.restarts("nats") > 0)
                assert urls[0] is not None
                assert await _log_head(urls[0]) == 0
                assert (system.settings.database_url, system.settings.nats_url) == urls
                pids = [system.pid(name) for name in system.names]
            assert not any(map(is_alive, pids))
        finally:
            system.erase()


async def _log_head(url: str) -> int:
    async with asyncio.timeout(20):
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(url) as connection:
                    row = await (await connection.execute("SELECT position FROM log_head")).fetchone()
                    return -1 if row is None else int(row[0])
            except psycopg.OperationalError:
                await asyncio.sleep(0.02)
