"""`run: shell` and `run: script`: what a process gets and gives, and that it keeps within its limits (reference: Process Result)."""

import asyncio
import os
import pwd
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import uvloop
from starlette.responses import PlainTextResponse

from infra.calls.call import CallContext, CallFailed, run_process
from tests.infra.calls.other_side import OtherSide, calling

pytestmark = pytest.mark.outside

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")


async def run(kind: str, described: dict[str, Any], returns: str | None = None, **settings: Any) -> Any:
    async with calling(**({"processes_allowed": True, "process_s_max": 20} | settings)) as context:
        more = {} if returns is None else {"return": returns}
        return await run_process({kind: described, **more}, context)


async def shell(command: str, returns: str | None = None, **settings: Any) -> Any:
    return await run("shell", {"command": command}, returns, **settings)


async def python(code: str, returns: str | None = None, **settings: Any) -> Any:
    return await run("script", {"language": "python", "code": code}, returns, **settings)


def living(marker: str) -> list[int]:
    """The processes whose command line holds a marker."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def exists(folder: str) -> bool:
    return Path(folder).exists()


@pytest.fixture
async def nobody() -> AsyncIterator[None]:
    """Root may do everything: as somebody else for the length of a test. What is loaded when it is needed is loaded before."""
    await shell("true")
    own, account = os.getresuid(), pwd.getpwnam("nobody")
    if os.geteuid() == 0:
        os.setresuid(account.pw_uid, account.pw_uid, 0)
    yield
    os.setresuid(*own)


class TestAShellCommand:
    async def test_gives_what_it_wrote(self) -> None:
        assert await shell("echo hello; echo problem >&2") == "hello\n"

    def test_runs_in_the_loop_that_our_processes_have(self) -> None:
        assert uvloop.run(run("shell", {"command": "cat; exit 3", "stdin": "x"}, "all")) == {
            "code": 3,
            "stdout": "x",
            "stderr": "",
        }

    async def test_gets_arguments_environment_and_input(self) -> None:
        described = {
            "command": 'input=$(cat); echo "$input|$1|$2|$NAME"',
            "arguments": ["Foo", 5],
            "environment": {"NAME": "value"},
            "stdin": "Hello World",
        }
        assert await run("shell", described) == "Hello World|Foo|5|value\n"

    async def test_knows_nothing_of_the_servers_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOLDWORK_SECRET", "secret")
        names = {line.partition("=")[0] for line in (await shell("env")).splitlines()}
        assert names <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}

    @pytest.mark.parametrize(
        ("returns", "expected"),
        [
            ("stderr", "err\n"),
            ("code", 3),
            ("all", {"code": 3, "stdout": "out\n", "stderr": "err\n"}),
            ("none", None),
        ],
    )
    async def test_may_fail_if_its_output_is_not_wanted(self, returns: str, expected: Any) -> None:
        assert await shell("echo out; echo err >&2; exit 3", returns) == expected

    async def test_may_not_fail_if_its_output_is_wanted(self) -> None:
        with pytest.raises(CallFailed) as failed:
            await shell("echo why >&2; exit 3")
        assert (failed.value.type, failed.value.status) == ("runtime", 500)
        assert "exit code 3: why" in failed.value.detail

    async def test_that_fails_gives_nothing_of_its_environment_away(self) -> None:
        described = {"command": 'echo "bad $PASSWORD" >&2; exit 1', "environment": {"PASSWORD": "hunter22"}}
        with pytest.raises(CallFailed, match=r"bad \*\*\*"):
            await run("shell", described)

    async def test_that_does_not_read_its_input_is_fine(self) -> None:
        assert await run("shell", {"command": "echo done", "stdin": "x" * 500_000}) == "done\n"

    async def test_works_in_a_folder_of_its_own_that_goes_with_it(self) -> None:
        folder = (await shell("ls -A; touch file; pwd")).strip()
        assert "\n" not in folder
        assert not exists(folder)

    async def test_leaves_nothing_in_folders_that_it_closed(self, nobody: None) -> None:
        closed = "mkdir -p a/b && touch a/b/c && ln -s /tmp a/d && chmod 500 a/b && chmod 0 a && pwd && chmod 100 ."
        folder = (await shell(closed)).strip()
        assert folder
        assert not exists(folder)

    async def test_is_refused_unless_the_operator_allowed_it(self) -> None:
        with pytest.raises(CallFailed) as failed:
            await shell("echo hello", processes_allowed=False)
        assert (failed.value.type, failed.value.status) == ("authorization", 403)

    @pytest.mark.parametrize("wrong", [{"shell": {}}, {"script": {"language": "cobol", "code": ""}}, {}, {"shell": 5}])
    async def test_that_is_none_is_a_matter_of_configuration(self, wrong: dict[str, Any]) -> None:
        async with calling(processes_allowed=True) as context:
            with pytest.raises(CallFailed, match="configuration 400"):
                await run_process(wrong, context)

    async def test_with_a_nul_is_a_matter_of_configuration(self) -> None:
        with pytest.raises(CallFailed, match="configuration 400"):
            await shell("echo \x00")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
    async def test_is_not_run_by_root(self) -> None:
        assert await shell("id -un") == "nobody\n"


class TestAScript:
    async def test_in_python_gets_arguments_environment_and_input(self) -> None:
        described = {
            "language": "python",
            "code": "import os, sys\nprint(sys.argv[1:], os.environ['NAME'], sys.stdin.read())",
            "arguments": ["hello", "world"],
            "environment": {"NAME": "value"},
            "stdin": "in",
        }
        assert await run("script", described) == "['hello', 'world'] value in\n"

    @needs_node
    async def test_in_javascript_gets_arguments_environment_and_input(self) -> None:
        code = """
            const [_, __, first, second] = process.argv;
            const input = require('fs').readFileSync(0, 'utf8');
            console.log(first, second, process.env.NAME, input)
        """
        described = {
            "language": "js",
            "code": code,
            "arguments": ["hello", "world"],
            "environment": {"NAME": "value"},
            "stdin": "in",
        }
        assert await run("script", described) == "hello world value in\n"

    async def test_can_come_from_elsewhere(self, server: OtherSide) -> None:
        url = server.at("/script.py", PlainTextResponse("print('from afar')"))
        described = {"language": "python", "source": {"endpoint": url}}
        assert await run("script", described) == "from afar\n"

    async def test_that_breaks_is_a_failure(self) -> None:
        with pytest.raises(CallFailed, match="ValueError: oh"):
            await python("raise ValueError('oh')")

    async def test_that_writes_what_no_event_can_hold_is_a_failure(self) -> None:
        with pytest.raises(CallFailed, match="runtime 500: The output cannot be recorded"):
            await python("print(chr(0))")


class TestTheLimits:
    async def test_end_what_does_not_end(self) -> None:
        began = monotonic()
        with pytest.raises(CallFailed) as failed:
            await shell("sleep 61.25; true", process_s_max=0.3)
        assert (failed.value.type, failed.value.status) == ("timeout", 408)
        assert monotonic() - began < 5
        assert living("61.25") == []

    async def test_end_what_writes_without_end(self) -> None:
        with pytest.raises(CallFailed, match="runtime 500: The process wrote more than 262144 bytes"):
            await shell("yes endless.output")
        assert living("endless.output") == []

    async def test_end_what_takes_too_much_memory(self) -> None:
        code = "try:\n    bytearray(1 << 30)\nexcept MemoryError:\n    print('bounded')"
        assert await python(code) == "bounded\n"

    @needs_node
    async def test_end_a_script_in_javascript_that_takes_too_much_memory(self) -> None:
        code = "const kept = []; for (;;) kept.push(Buffer.alloc(1 << 24, 1))"
        described = {"language": "js", "code": code}
        assert await run("script", described, "code", process_memory_bytes_max=256 << 20) != 0

    async def test_end_what_writes_too_large_a_file(self) -> None:
        command = "head -c 100000000 /dev/zero > file; wc -c < file"
        assert int(await shell(command, process_file_bytes_max=1_000_000)) <= 1_000_000

    async def test_end_what_uses_the_processor_too_long(self) -> None:
        with pytest.raises(CallFailed, match="timeout 408"):
            await shell("while :; do :; done", process_s_max=0.5)

    async def test_bound_the_number_of_processes(self) -> None:
        command = "i=0; while [ $i -lt 100 ]; do sleep 62.25 & i=$((i+1)); done; echo started"
        assert "fork" in await shell(command, "stderr", process_count_max=20)
        assert living("62.25") == []

    async def test_end_a_fork_bomb(self) -> None:
        code = "import os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.01)  # 63.25"
        with pytest.raises(CallFailed, match="timeout 408"):
            await python(code, process_s_max=0.5, process_count_max=20)
        assert living("63.25") == []

    async def test_end_what_it_left_running(self) -> None:
        began = monotonic()
        assert await shell("sleep 64.25 & nohup sleep 64.25 & setsid sleep 64.25 & echo done") == "done\n"
        assert monotonic() - began < 5
        assert living("64.25") == []

    async def test_end_what_it_started_when_our_own_process_is_killed(self) -> None:
        program = (
            "import asyncio, sys\nfrom tests.infra.calls.test_processes import shell\nasyncio.run(shell(sys.argv[1]))"
        )
        command = "sleep 67.25 & (trap '' HUP TERM; sleep 67.25) & sleep 67.25; true"
        start = asyncio.create_subprocess_exec(sys.executable, "-c", program, command, cwd=Path(__file__).parents[3])
        ours = await start
        while len(sleeping := living("sleep\x0067.25")) < 3:
            await asyncio.sleep(0.02)
        folder = os.readlink(f"/proc/{sleeping[0]}/cwd")
        while not living(folder):  # who looks after them
            await asyncio.sleep(0.02)
        ours.kill()
        await ours.wait()
        async with asyncio.timeout(5):
            while living("67.25") or exists(folder):
                await asyncio.sleep(0.02)

    async def test_end_it_when_the_call_is_cancelled(self) -> None:
        running = asyncio.create_task(shell("sleep 65.25; true"))
        while not living("sleep\x0065.25"):
            await asyncio.sleep(0.02)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert living("65.25") == []

    async def test_hold_for_the_length_of_the_command(self) -> None:
        with pytest.raises(CallFailed, match="configuration 400"):
            await shell("#" + "x" * 200_000)

    async def test_let_many_run_side_by_side(self) -> None:
        found = await asyncio.gather(*(shell(f"echo {number}") for number in range(10)))
        assert found == [f"{number}\n" for number in range(10)]


async def test_the_context_of_a_call_is_not_needed_to_be_refused(context: CallContext) -> None:
    with pytest.raises(CallFailed, match="authorization 403"):
        await run_process({"script": {"language": "python", "code": ""}}, context)
