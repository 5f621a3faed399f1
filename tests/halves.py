"""A plugin of pytest: two processes run the tests of one session, after one of them has loaded all, where the answer has to come at once.

When everything is collected the process forks, and each takes one module after another from a pipe until there is none left. What the
child has to say stands behind what its parent says, and its failures are failures of the session.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from typing import TextIO

import pytest

_NUMBER_BYTES = 4
_SAID = pytest.StashKey[TextIO]()
"""What the child has printed."""


def _taken(modules: list[list[pytest.Item]], pipe: int) -> Iterator[pytest.Item]:
    """The tests of this process: those of a module whose number it is the one to read."""
    while number := os.read(pipe, _NUMBER_BYTES):
        yield from modules[int.from_bytes(number, "big")]


def _run(session: pytest.Session, items: Iterator[pytest.Item]) -> None:
    """As pytest does it, but for where the tests come from."""
    item = next(items, None)
    while item is not None:
        following = next(items, None)
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    modules = sorted(
        (list(group) for _, group in groupby(session.items, lambda item: item.path)), key=len, reverse=True
    )
    if len(modules) < 2 or session.testsfailed or session.config.option.collectonly:
        return None
    pipe, giving = os.pipe()
    os.write(giving, b"".join(number.to_bytes(_NUMBER_BYTES, "big") for number in range(len(modules))))
    os.close(giving)
    said = session.config.stash[_SAID] = tempfile.TemporaryFile("w+")  # noqa: SIM115  # open to the end of the session
    sys.stdout.flush()
    child = os.fork()
    if not child:
        session.config.get_terminal_writer()._file = said
        session.config.add_cleanup(said.flush)
        _run(session, _taken(modules, pipe))
        return True
    try:
        _run(session, _taken(modules, pipe))
    finally:
        os.read(pipe, _NUMBER_BYTES * len(modules))  # if this one gives up, the other one shall not take more
        _, status = os.waitpid(child, 0)
        session.testsfailed += bool(status)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    said = config.stash.get(_SAID, None)
    if said is not None and config.get_terminal_writer()._file is not said:
        said.seek(0)
        terminalreporter.ensure_newline()
        terminalreporter.write(said.read())
