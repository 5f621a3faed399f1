"""Processes and runs that nobody waits for: the task goes on at once with its own input."""

import pytest

from tests.write_side.running import run

CHILD = {"workflow": {"namespace": "test", "name": "child", "version": "1.0.0"}, "await": False}
SHELL = {"shell": {"command": "true"}, "await": False}


class TestARunTaskThatDoesNotWait:
    @pytest.mark.parametrize("what", [CHILD, SHELL])
    def test_is_completed_with_its_input(self, what):
        running = run([{"start": {"run": what}}, {"after": {"set": {"seen": "${ . }"}}}], {"a": 1})
        assert (running.status, running.output) == ("completed", {"seen": {"a": 1}})
        assert [awaited.awaited for awaited in running.asked] == [False]
