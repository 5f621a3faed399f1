"""A plugin of pytest: four processes run the tests of one session, after one of them has loaded all, where the answer has to come soon.

When everything is collected the process forks, and each takes one module after another from a pipe until there is none left. Four on two
processors, since tests also wait. What the children have to say stands behind what their parent says; their failures fail the session.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from typing import TextIO

import pytest

_CHILDREN = 3
_NUMBER_BYTES = 4
_SAID = pytest.StashKey[list[TextIO]]()
"""What each child prints; nothing in a child."""


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


def _fork(config: pytest.Config) -> int:
    """The child's number, 0 in the child, which prints to a file from now on."""
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # open to the end of the session
    sys.stdout.flush()
    child = os.fork()
    if child:
        config.stash[_SAID].append(said)
    else:
        config.stash[_SAID].clear()
        config.get_terminal_writer()._file = said
        config.add_cleanup(said.flush)
    return child


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    modules = sorted(
        (list(group) for _, group in groupby(session.items, lambda item: item.path)), key=len, reverse=True
    )
    if len(modules) < 2 or session.testsfailed or session.config.option.collectonly:
        return None
    session.config.stash[_SAID] = []
    pipe, giving = os.pipe()
    os.write(giving, b"".join(number.to_bytes(_NUMBER_BYTES, "big") for number in range(len(modules))))
    os.close(giving)
    children: list[int] = []
    while len(children) < _CHILDREN:
        children.append(_fork(session.config))
        if not children[-1]:
            _run(session, _taken(modules, pipe))
            return True
    try:
        _run(session, _taken(modules, pipe))
    finally:
        os.read(pipe, _NUMBER_BYTES * len(modules))  # if this one gives up, the others shall not take more
        session.testsfailed += sum(bool(os.waitpid(child, 0)[1]) for child in children)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for said in config.stash.get(_SAID, []):
        said.seek(0)
        terminalreporter.ensure_newline()
        terminalreporter.write(said.read())
