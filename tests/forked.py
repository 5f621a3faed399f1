"""A plugin of pytest: four processes load and run the tests of one session, where the answer has to come soon.

One process finds the modules of tests, and loads with their `conftest.py` most of what they are about. Then it forks, and each takes one
share after another from a pipe, loads it and runs its tests, until there is none left. A share is a module; those whose tests wait most of
the time are one, the first, so that they do so beside the work of the others. Four on two processors, since other tests wait too. What the
children have to say stands behind what their parent says; their failures fail the session.
"""

import gc
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from typing import TextIO

import pytest

_CHILDREN = 3
_NUMBER_BYTES = 4
_WAITING = re.compile(r"^pytestmark = pytest\.mark\.waits$", re.MULTILINE)
_Node = pytest.Item | pytest.Collector
_SHARES = pytest.StashKey[list[list[_Node]]]()
"""Modules that are not loaded yet, and tests that were asked for one by one."""
_SAID = pytest.StashKey[list[TextIO]]()
"""What each child prints; nothing in a child."""


def _below(node: _Node) -> Iterator[_Node]:
    """What lies in a folder, not loaded yet. What was asked for inside a module counts as one."""
    if isinstance(node, pytest.Directory):
        for inside in node.ihook.pytest_make_collect_report(collector=node).result:
            yield from _below(inside)
    else:
        yield node


def _shares(nodes: list[_Node]) -> list[list[_Node]]:
    """The modules that wait in one, then each of the others, long ones first: nobody shall be busy alone at the end."""
    texts = {found: found.path.read_text() for node in nodes for found in _below(node)}
    waiting = [node for node, text in texts.items() if _WAITING.search(text)]
    working = sorted((node for node in texts if node not in waiting), key=lambda node: len(texts[node]), reverse=True)
    return [waiting, *([node] for node in working)] if waiting else [[node] for node in working]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[_Node]) -> Iterator[None]:
    """Nobody shall choose among modules: only among their tests, once they are loaded."""
    if any(isinstance(item, pytest.Collector) for item in items):
        config.stash[_SHARES] = _shares(items)
        items.clear()
    yield


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> bool | None:
    if session.config.option.collectonly:
        return None
    session.perform_collect(genitems=False)
    session.testscollected += len(session.config.stash.get(_SHARES, ()))
    return True


def _taken(session: pytest.Session, pipe: int) -> Iterator[pytest.Item]:
    """The tests of this process: those of a share whose number it is the one to read."""
    shares = session.config.stash[_SHARES]
    while number := os.read(pipe, _NUMBER_BYTES):
        items = [item for node in shares[int.from_bytes(number, "big")] for item in session.genitems(node)]
        session.config.hook.pytest_collection_modifyitems(session=session, config=session.config, items=items)
        gc.freeze()  # what is loaded stays to the end: the collector need not look at it again and again
        yield from items


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


def _fork(session: pytest.Session) -> int:
    """The child's number, 0 in the child, which prints to a file from now on."""
    config, said = session.config, tempfile.TemporaryFile("w+")  # noqa: SIM115  # open to the end of the session
    sys.stdout.flush()
    child = os.fork()
    if child:
        config.stash[_SAID].append(said)
    else:
        config.stash[_SAID].clear()
        config.get_terminal_writer()._file = said
        config.add_cleanup(partial(_leave, session, said))
    return child


def _leave(session: pytest.Session, said: TextIO) -> None:
    """End without taking apart first what goes with the process: that takes half a second."""
    said.flush()
    os._exit(session.exitstatus)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    if _SHARES not in session.config.stash or session.testsfailed:
        return None  # as pytest does it: nothing to run, or a reason not to
    numbers = range(len(session.config.stash[_SHARES]))
    session.config.stash[_SAID] = []
    pipe, giving = os.pipe()
    os.write(giving, b"".join(number.to_bytes(_NUMBER_BYTES, "big") for number in numbers))
    os.close(giving)
    children: list[int] = []
    while len(children) < min(_CHILDREN, len(numbers) - 1):
        children.append(_fork(session))
        if not children[-1]:
            _run(session, _taken(session, pipe))
            return True
    try:
        _run(session, _taken(session, pipe))
    finally:
        os.read(pipe, _NUMBER_BYTES * len(numbers))  # if this one gives up, the others shall not take more
        session.testsfailed += sum(bool(os.waitpid(child, 0)[1]) for child in children)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for said in config.stash.get(_SAID, []):
        said.seek(0)
        terminalreporter.ensure_newline()
        terminalreporter.write(said.read())
