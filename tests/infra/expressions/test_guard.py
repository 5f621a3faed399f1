"""The guarded child: reused, killed, replaced, and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from infra.expressions.bounds import BOUNDS
from infra.expressions.failure import ExpressionFailed
from infra.expressions.guard import Guard
from infra.expressions.program import evaluate_guarded

pytestmark = pytest.mark.outside

SLOW = "last(repeat(1))"


def request(program: str, data: bytes = b"null", output_bytes_max: int = 1_000) -> bytes:
    text = f"({program}) | tojson".encode()
    return output_bytes_max.to_bytes(4, "big") + len(text).to_bytes(4, "big") + text + data


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard("infra.expressions.child", replace(BOUNDS, seconds_max=0.3))
    yield guard
    guard.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int, within_s: float) -> bool:
    end = time.monotonic() + within_s
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


class TestAChild:
    def test_is_started_late_and_used_again(self, guard: Guard) -> None:
        assert guard.pid is None
        pids = set()
        for number in range(300):
            assert guard.ask(request(".+1", str(number).encode()), 100) == b"d" + str(number + 1).encode()
            pids.add(guard.pid)
        assert len(pids) == 1

    def test_takes_and_gives_much(self) -> None:
        guard = Guard("infra.expressions.child", replace(BOUNDS, seconds_max=20.0))
        data = b'"' + b"x" * 3_000_000 + b'"'
        assert guard.ask(request(".", data, 4_000_000), 4_000_001) == b"d" + data
        assert guard.ask(request(".", data), 1_001) == b"l"
        guard.close()

    def test_is_killed_reaped_and_replaced_when_it_is_late(self, guard: Guard) -> None:
        guard.ask(request("."), 100)
        first = guard.pid
        assert first is not None
        with pytest.raises(ExpressionFailed, match="too slow"):
            guard.ask(request(SLOW), 100)
        assert not Path(f"/proc/{first}").exists()
        assert guard.pid not in (None, first)
        assert guard.ask(request("1"), 100) == b"d1"

    def test_is_replaced_without_a_word_when_it_was_killed_from_outside(self, guard: Guard) -> None:
        guard.ask(request("."), 100)
        assert guard.pid is not None
        os.kill(guard.pid, signal.SIGKILL)
        assert guard.ask(request("2"), 100) == b"d2"

    def test_is_replaced_when_it_was_killed_at_work(self) -> None:
        guard = Guard("infra.expressions.child", replace(BOUNDS, seconds_max=20.0))
        guard.ask(request("."), 100)
        first = guard.pid
        assert first is not None
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(guard.ask, request("last(range(20000))"), 100)
            time.sleep(0.01)
            os.kill(first, signal.SIGKILL)
            assert asked.result() == b"d19999"
        guard.close()

    def test_sees_no_environment_and_can_write_no_file(self, guard: Guard) -> None:
        os.environ["FOLDWORK_TEST_SECRET"] = "sekret"
        try:
            answer = guard.ask(request("$ENV | keys"), 10_000)
        finally:
            del os.environ["FOLDWORK_TEST_SECRET"]
        assert b"SECRET" not in answer
        limits = Path(f"/proc/{guard.pid}/limits").read_text().splitlines()
        found = {line[:26].strip(): line[26:].split()[0] for line in limits}
        assert found["Max file size"] == "0"
        assert found["Max open files"] == "16"
        assert found["Max address space"] == str(BOUNDS.child_memory_bytes_max)
        assert os.readlink(f"/proc/{guard.pid}/cwd") == "/"

    def test_serves_many_threads(self) -> None:
        def ask(number: int) -> object:
            return evaluate_guarded("[.[] | . * 2]", [number, number + 1], {})

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(ask, range(400))) == [[n * 2, n * 2 + 2] for n in range(400)]

    def test_works_while_an_event_loop_runs(self, guard: Guard) -> None:
        async def ask() -> bytes:
            ticking = asyncio.create_task(asyncio.sleep(0))
            with pytest.raises(ExpressionFailed):
                guard.ask(request(SLOW), 100)
            await ticking
            answers = await asyncio.gather(*(asyncio.to_thread(guard.ask, request("3"), 100) for _ in range(20)))
            assert set(answers) == {b"d3"}
            return guard.ask(request("4"), 100)

        assert asyncio.run(ask()) == b"d4"
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(ask()) == b"d4"


PARENT = """
import os, sys, threading, time
from infra.expressions.program import BOUNDS, evaluate_guarded, guard_of
assert evaluate_guarded("1", None, {}) == 1
print(guard_of(BOUNDS).pid, flush=True)
if sys.argv[1] == "busy":
    evaluate_guarded("last(repeat(1))", None, {})
elif sys.argv[1] == "fork":
    ours = guard_of(BOUNDS).pid
    if os.fork() == 0:
        ok = evaluate_guarded("2", None, {}) == 2 and guard_of(BOUNDS).pid != ours
        print("right" if ok else "wrong", flush=True)
        os._exit(0)
    os.wait()
    print(evaluate_guarded("3", None, {}), guard_of(BOUNDS).pid == ours, flush=True)
    sys.exit()
time.sleep(60)
"""


class TestAParent:
    def start(self, mode: str) -> tuple["subprocess.Popen[str]", int]:
        parent = subprocess.Popen([sys.executable, "-c", PARENT, mode], stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        return parent, int(parent.stdout.readline())

    @pytest.mark.parametrize("mode", ["idle", "busy"])
    def test_that_is_killed_takes_its_child_with_it(self, mode: str) -> None:
        parent, child = self.start(mode)
        assert alive(child)
        parent.kill()
        parent.communicate()
        assert gone(child, 10.0)

    def test_that_forks_shares_no_child(self) -> None:
        parent, child = self.start("fork")
        said = parent.communicate(timeout=30)[0].split()
        assert said == ["right", "3", "True"]
        assert gone(child, 10.0)
