"""What becomes of a batch on its way to JetStream: its answers are one end."""

import asyncio
from collections.abc import Sequence

import orjson

from infra.adapters.event_stream import FencedOff, Flight, StreamRefused
from infra.adapters.nats_client import raise_for
from infra.errors import Fault

_WRONG_LAST_SEQUENCE = (10071, 10164)


def land(flight: Flight, answers: "Sequence[asyncio.Future[bytes]]", answer: "asyncio.Future[bytes]") -> None:
    """Called with each of the answers, which are never cancelled; the last one is for the last position.

    The flight has landed when all say that what they are for was stored where it belongs.
    """
    answer.exception()  # of one that comes after a failure nobody will ask
    if flight.landed.done():
        return
    for position, each in enumerate(answers, flight.last - len(answers) + 1):
        if not each.done():
            return
        fault = each.exception() or _fault_in(each.result(), position)
        if fault is not None:
            flight.landed.set_exception(fault)
            return
    flight.landed.set_result(None)


def _fault_in(answer: bytes, last: int) -> BaseException | None:
    """Why it was not stored, None if it was. Format: the PubAck of the JetStream API."""
    try:
        found = orjson.loads(answer)
        raise_for(found.get("error"))
        stored_at = found["seq"]
    except StreamRefused as refused:
        return FencedOff(str(refused)) if refused.err_code in _WRONG_LAST_SEQUENCE else refused
    except Fault as other:
        return other
    except (ValueError, LookupError, TypeError, AttributeError):
        return StreamRefused("The answer to a batch is no PubAck.")
    return None if stored_at == last else FencedOff(f"The batch was to end at {last} and ended at {stored_at}.")
