"""Decides commands on what is known of their streams: at once, or by a thread of its own where that has to wait for a guarded child.

Guarantee: all states that a decision was made on belong together, and were still the newest known ones when it was taken.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakValueDictionary

from events.event import Event
from infra.engines.command_request import Change, Request, Thought
from infra.engines.stream_cache import CachedStream, Key, StreamCache
from infra.errors import Rejection, VersionConflict
from infra.expressions.guard import HERE
from infra.patterns.decider import HISTORY, Command, Decider, DeciderCatalog, Others, no_companions, no_history

_NO_OTHERS: dict[str, Any] = {}


class Deciding:
    """One for each command bus. While a thread thinks about one command, others are decided; what it came to counts if nothing moved."""

    def __init__(self, deciders: DeciderCatalog, streams: StreamCache) -> None:
        self._deciders = deciders
        self._streams = streams
        self._thread = ThreadPoolExecutor(1, "deciding")
        self._turns: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    def turn(self, request: Request) -> asyncio.Lock:
        """Held while a command is thought about and queued: what comes for the same stream is thought about once, after it."""
        key = (request.origin.tenant_id, request.decider.stream_of(request.command))
        return self._turns.setdefault(key, asyncio.Lock())

    async def think(self, request: Request) -> None:
        """Have a thread decide a command, on the streams that it was looked at last: `thought` is what it came to."""
        own, *consulted = request.looked_at
        others = self._others(request, consulted)
        streams, about = _standing(request.looked_at), (request.decider, request.command, own.stream.state, others)
        came_to = await asyncio.get_running_loop().run_in_executor(self._thread, _thought, *about)
        request.thought = Thought(streams, came_to)

    def decide(self, request: Request, missing: list[str]) -> Sequence[Change]:
        """The changes a command asks for, decided without a pause, so that all states belong together.

        The own stream comes first, then companions, then consulted streams. Raises a Rejection, or WouldWait where that would take long:
        then `think` first.
        """
        command, decider = request.command, request.decider
        own = self._look(request, decider, decider.stream_of(command), missing, creates=command.creates)
        request.looked_at = changes = [own]
        for stream_id in decider.consults(command, own.stream.state):
            changes.append(self._look(request, self._deciders.of_stream(stream_id), stream_id, missing))
        recalled = None if decider.recalls is no_history else decider.recalls(command)
        if recalled is not None and request.recalled is None:
            missing.append(recalled)
        if missing:
            return changes
        expected = request.expected_version
        if expected is not None and own.stream.version != expected:
            actual = own.stream.version
            message = f"Stream {own.stream_id} is at version {actual}, not {expected}."
            raise VersionConflict(message, stream_id=own.stream_id, expected=expected, actual=actual)
        others: Others = _NO_OTHERS
        if len(changes) > 1 or request.recalled is not None:
            others = self._others(request, changes[1:])
        thought = request.thought
        if thought is None or not thought.holds(_standing(changes)):
            # At once, or WouldWait is raised: everything else in this process stands still meanwhile.
            HERE.may_wait = False
            try:
                own.events = decider.decide_all(command, own.stream.state, others)
            finally:
                HERE.may_wait = True
        elif isinstance(thought.came_to, Rejection):
            raise thought.came_to
        else:
            own.events = thought.came_to
        if not own.events or decider.companions is no_companions:
            return changes
        for number, companion in enumerate(decider.companions(command, own.stream.state), 1):
            other = self._deciders.of(type(companion))
            beside = self._look(request, other, other.stream_of(companion), missing)
            changes.insert(number, beside)
            if not missing:
                beside.events = other.decide_all(companion, beside.stream.state, _NO_OTHERS)
        return changes

    def _look(
        self, request: Request, decider: Decider, stream_id: str, missing: list[str], *, creates: bool = False
    ) -> Change:
        key = (request.origin.tenant_id, stream_id)
        stream = self._streams.find(key)
        if stream is None:
            stream = CachedStream(0, decider.initial)
            if creates and not request.fresh:
                # Most likely new: the append will tell if it is not.
                self._streams.begin(key, stream)
            else:
                missing.append(stream_id)
        return Change(stream_id, decider, stream)

    @staticmethod
    def _others(request: Request, consulted: Sequence[Change]) -> Others:
        others = {change.stream_id: change.stream.state for change in consulted}
        return others if request.recalled is None else {**others, HISTORY: request.recalled}


def _standing(looked_at: Sequence[Change]) -> list[tuple[CachedStream, int]]:
    return [(change.stream, change.stream.version) for change in looked_at]


def _thought(decider: Decider, command: Command, state: Any, others: Others) -> Sequence[Event] | Rejection:
    try:
        return decider.decide_all(command, state, others)
    except Rejection as rejection:
        return rejection
