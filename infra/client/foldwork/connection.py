"""A connection to NATS, tried for ever.

Guarantee: the log says once per outage that nobody answers, and where; closing ends every attempt to connect.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client as Nats
from nats.errors import Error as NatsError
from nats.protocol.parser import PERMISSIONS_ERR

from foldwork.ending import end, ended

log = logging.getLogger("foldwork")


class Connection(Nats):
    """`place` is where it goes, without credentials; `trouble` what was last the matter."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.place = place_of(url)
        self.trouble = ""
        self._servers = url.split(",")
        self._is_told = False

    async def open(
        self, s_max: float | None = None, *, on_return: Callable[[], None] | None = None, **options: Any
    ) -> None:
        """Connect, however long it takes or for so long; `on_return` is called after each outage. Raises TimeoutError."""

        async def returned() -> None:
            self._is_told = False
            log.info("NATS answers again at %s", self.place)
            if on_return is not None:
                on_return()

        given = {"max_reconnect_attempts": -1, **options}
        await ended(self.connect(self._servers, error_cb=self._note, reconnected_cb=returned, **given), s_max)
        self._is_told = False

    async def close(self) -> None:
        """Also ends the attempt to reconnect for certain: nats-py cancels it once, which can get lost."""
        if self._flush_queue is not None:  # else it was never begun
            await super().close()
        attempt = self._reconnection_task
        if attempt is not None and attempt is not asyncio.current_task():
            await end(attempt)

    async def _process_err(self, err_msg: str) -> None:
        """What the server says against a connection, for example that its user may not come in any more: that may be mended.

        nats-py closes the connection for good then, and whoever uses it would wait for ever.
        """
        if PERMISSIONS_ERR in err_msg:
            await super()._process_err(err_msg)  # about one subject: only noted
        else:
            await self._process_op_err(NatsError(err_msg.strip("'")))

    async def _note(self, error: Exception) -> None:
        self.trouble = str(error).rstrip(".") or type(error).__name__
        if self.is_connected:
            log.warning("the connection to NATS at %s: %s", self.place, self.trouble)
            return
        # Each try fails in the same way, several times a second.
        log.log(
            logging.DEBUG if self._is_told else logging.WARNING,
            "NATS does not answer at %s, and is tried again: %s. The port of `foldwork up` is in .foldwork/nats.port.",
            *(self.place, self.trouble),
        )
        self._is_told = True


def place_of(url: str) -> str:
    """The servers of a URL, with nothing that could be secret."""
    shown = []
    for server in url.split(","):
        parts = urlsplit(server if "://" in server else f"nats://{server}")
        shown.append(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    return ",".join(shown)
