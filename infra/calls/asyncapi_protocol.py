"""What AsyncAPI calls ask of a protocol: publish one message on a channel, and listen to what is said there."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from infra.calls.asyncapi_document import Channel
from infra.calls.contract import Arguments, CallContext, CallFailed


class Cut(CallFailed):
    """The connection of who listens has ended, and may be made again: what is said until then is lost, no protocol here says it again."""

    def __init__(self, detail: str) -> None:
        super().__init__("communication", detail)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is on its way."""

    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Receive = Callable[[], Awaitable[Message]]
"""Waits for the next message, for as long as it takes; Cut if the connection ends, CallFailed if there is no use in another one."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How messages go; both take the authentication policy of the call, and raise CallFailed.

    `publish` returns once the other side has the message. `listen` is a context: within it what is said on the channel is received.
    Neither takes longer than `connect_s_max` to get to the other side.
    """

    publish: Callable[[Channel, Message, Arguments, CallContext], Awaitable[None]]
    listen: Callable[[Channel, Arguments, CallContext], AbstractAsyncContextManager[Receive]]
