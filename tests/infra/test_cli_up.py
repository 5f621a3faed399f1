"""`foldwork up` as whoever calls it sees it: from which settings it starts, what it says, and when it goes on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra import cli
from infra.settings import Settings
from infra.supervisor import Supervisor


class TestUp:
    def test_welcomes_without_the_passwords_of_the_servers(self, capsys: pytest.CaptureFixture[str]) -> None:
        urls = {"database_url": "postgresql://me:hunter2@db/x", "nats_url": "nats://hunter2@mirror:4222"}
        cli._welcome(Supervisor(Settings.model_validate(urls)))
        shown = capsys.readouterr().out
        assert "hunter2" not in shown
        assert "@db/x" in shown
        assert "@mirror:4222" in shown

    @pytest.mark.outside
    def test_goes_on_under_nohup_when_its_terminal_is_closed(self, tmp_path: Path) -> None:
        """A supervisor that starts nothing, and hangs up in its place."""
        code = f"""
import asyncio, os, signal
from infra import cli
from infra.settings import Settings
class Nothing:
    def __init__(self, given): self.folder = None
    async def start(self): os.kill(os.getpid(), signal.SIGHUP); await asyncio.sleep(0.1)
    async def wait(self): print("goes on", flush=True)
    async def stop(self): pass
cli.Supervisor, cli._welcome = Nothing, lambda _: None
signal.signal(signal.SIGHUP, signal.SIG_IGN)
asyncio.run(cli._up(Settings(data_dir={str(tmp_path)!r})))
"""
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[2])
        assert (ended.returncode, ended.stdout) == (0, b"goes on\n")

    @pytest.mark.outside
    @pytest.mark.parametrize("closed", ["0<&-", "2>&-", "0<&- 2>&-"])
    def test_starts_though_its_input_or_errors_are_closed(self, tmp_path: Path, closed: str) -> None:
        """A supervisor that starts nothing, and says what the numbers of the closed ones are."""
        code = f"""
import os, sys
from infra import cli, program
class Nothing:
    def __init__(self, given): pass
    async def start(self): print(*(os.readlink(f"/proc/self/fd/{{number}}") for number in {re.findall("[0-9]", closed)}))
    async def wait(self): pass
    async def stop(self): pass
cli.Supervisor, cli._welcome = Nothing, lambda _: print("up")
sys.argv[1:] = ["up"]
program.main()
"""
        command = ["/bin/sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code]
        environment = {**os.environ, "FOLDWORK_DATA_DIR": str(tmp_path)}
        ended = subprocess.run(command, capture_output=True, cwd=Path(__file__).parents[2], env=environment)
        assert set(ended.stdout.split()) == {b"/dev/null", b"up"}
        assert ended.returncode == 0

    def test_names_the_log_levels_that_there_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOLDWORK_LOG_LEVEL", "LOUD")
        result = CliRunner().invoke(cli.app, ["status"])
        levels = "'DEBUG', 'INFO', 'WARN', 'WARNING', 'ERROR' or 'CRITICAL'"
        assert (result.exit_code, result.stderr) == (1, f"error: FOLDWORK_LOG_LEVEL: Input should be {levels}.\n")

    def test_takes_a_log_level_in_small_letters(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOLDWORK_LOG_LEVEL", "debug")
        assert Settings().log_level == "DEBUG"

    def test_takes_what_is_empty_for_unset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names = ("DATABASE_URL", "NATS_URL", "DATA_DIR", "COMMAND_PORT", "CALL_HOSTS_ALLOWED", "SECRETS_DIR")
        for name in names:
            monkeypatch.setenv(f"FOLDWORK_{name}", "")
        found = Settings()
        for name in names:
            assert getattr(found, name.lower()) == Settings.model_fields[name.lower()].default
