"""Child processes and the data folder, without any server."""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.embedded import process
from infra.embedded.folder import AlreadyRunning, DataFolder, SystemState
from infra.embedded.ports import free_port, is_free
from infra.embedded.process import Child, Launch, ServerNotStarted, evict, last_lines, occupants

pytestmark = pytest.mark.outside

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def launch(folder: Path, code: str, **more: object) -> Launch:
    arguments = (sys.executable, "-c", code)
    return Launch(name="child", arguments=arguments, log=folder / "child.log", folder=folder, **more)  # type: ignore[arg-type]  # options of one test


class TestAChild:
    async def test_is_killed_when_it_does_not_go_in_time(self, tmp_path: Path) -> None:
        farewell = ((signal.SIGTERM, 0.1), (signal.SIGKILL, 5.0))
        child = Child(launch(tmp_path, STUBBORN, farewell=farewell))

        async def is_up() -> bool:
            return "up" in last_lines(tmp_path / "child.log")

        await child.ready(is_up, 10)
        await child.stop()
        assert child.exit_code == -signal.SIGKILL

    async def test_has_a_session_of_its_own(self, tmp_path: Path) -> None:
        child = Child(launch(tmp_path, "import time; time.sleep(60)"))
        assert os.getsid(child.pid) == child.pid
        await child.stop()

    async def test_that_dies_while_starting_shows_the_end_of_its_log(self, tmp_path: Path) -> None:
        async def never() -> bool:
            return False

        child = Child(launch(tmp_path, "raise SystemExit('no room left')"))
        with pytest.raises(ServerNotStarted, match=r"child ended while starting(.|\n)*no room left"):
            await child.ready(never, 10)

    async def test_that_is_too_slow_is_given_up(self, tmp_path: Path) -> None:
        async def never() -> bool:
            return False

        child = Child(launch(tmp_path, "import time; time.sleep(60)"))
        with pytest.raises(ServerNotStarted, match=r"did not answer within 0\.1 s"):
            await child.ready(never, 0.1)
        await child.stop()

    def test_that_does_not_exist_is_a_plain_error(self, tmp_path: Path) -> None:
        with pytest.raises(ServerNotStarted, match="cannot be started"):
            Child(Launch(name="ghost", arguments=("/no/such/program",), log=tmp_path / "ghost.log"))

    async def test_puts_a_log_that_grew_too_long_aside(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "LOG_BYTES_MAX", 10)
        (tmp_path / "child.log").write_text("a long log of the last run")
        child = Child(launch(tmp_path, "print('new')"))
        await child.ended()
        assert (tmp_path / "child.log").read_text() == "new\n"
        assert (tmp_path / "child.log.1").read_text() == "a long log of the last run"

    def test_gives_a_log_up_that_cannot_be_put_aside(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "LOG_BYTES_MAX", 10)
        (tmp_path / "child.log").write_text("a longer log")
        (tmp_path / "child.log.1").mkdir()
        process.rotate(tmp_path / "child.log")
        assert (tmp_path / "child.log").read_text() == ""

    async def test_goes_on_writing_when_its_log_is_put_aside(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process, "LOG_BYTES_MAX", 10)
        log, go = tmp_path / "child.log", tmp_path / "go"
        code = f"import os, time\nprint('a long log', flush=True)\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\nprint('new')"
        child = Child(launch(tmp_path, code))
        async with asyncio.timeout(10):
            while not log.stat().st_size:
                await asyncio.sleep(0.01)
        process.rotate(log)
        go.touch()
        await child.ended()
        assert log.read_text() == "new\n"
        assert (tmp_path / "child.log.1").read_text() == "a long log\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs procfs")
class TestWhatAnEarlierRunLeft:
    async def test_is_found_by_its_folder_and_ended(self, tmp_path: Path) -> None:
        child = Child(launch(tmp_path, "import time; time.sleep(60)"))
        program = Path(os.readlink(f"/proc/{child.pid}/exe")).name
        assert occupants(tmp_path, program) == [child.pid]
        assert occupants(tmp_path, "postgres") == []
        assert occupants(tmp_path.parent, program) == []
        ending = asyncio.create_task(child.ended())
        await evict(tmp_path, program, ((signal.SIGTERM, 5.0),))
        await ending
        assert child.exit_code == -signal.SIGTERM


class TestADataFolder:
    def test_belongs_to_one_at_a_time(self, tmp_path: Path) -> None:
        first, second = DataFolder(tmp_path / "data"), DataFolder(tmp_path / "data")
        first.acquire()
        with pytest.raises(AlreadyRunning):
            second.acquire()
        first.release()
        second.acquire()
        second.release()

    def test_does_not_take_the_note_of_a_dead_process_for_a_running_one(self, tmp_path: Path) -> None:
        folder = DataFolder(tmp_path)
        state = SystemState(
            pid=os.getpid(), started_at=datetime.now(UTC), shard=0, database_url="", nats_url="", processes={}
        )
        folder.note(state)
        assert folder.state() == state
        folder.note(state.model_copy(update={"pid": 2**22 + 1}))
        assert folder.state() is None


class TestAFreePort:
    def test_can_be_listened_on_and_is_none_of_those_taken(self) -> None:
        port = free_port()
        assert is_free("127.0.0.1", port)
        assert free_port(taken=frozenset({port})) != port

    @pytest.mark.parametrize("number", [-1, 65_536])
    def test_is_not_free_where_its_number_is_none(self, number: int) -> None:
        assert not is_free("127.0.0.1", number)
