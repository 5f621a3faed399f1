"""Cursors: where a page of a list ended, as an opaque text that is good for that list, tenant and set of filters only."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import orjson

from infra.adapters.problem import InvalidFields, Malformed
from infra.adapters.web_parameters import Parameter
from infra.errors import NotFound
from infra.patterns.projection import Key

_DIGEST_BYTES = 12

Filters = Mapping[str, str | int | bool]


class CursorMalformed(Malformed):
    """This is not a cursor."""


class CursorUnknown(NotFound):
    """There is no such page: a cursor goes with the list, the tenant and the filters that it was given for."""


class _CursorParameter(Parameter):
    """What does not even look like a cursor is malformed, not merely out of bounds."""

    def read(self, text: str) -> str:
        try:
            return str(super().read(text))
        except InvalidFields:
            raise CursorMalformed from None


CURSOR = _CursorParameter(
    "cursor",
    "query",
    {"type": "string", "pattern": r"^[A-Za-z0-9_-]{24,1024}$"},
    "`next_cursor` of the page before; none for the first page.",
)


def write_cursor(listing: str, tenant_id: str, filters: Filters, key: Key) -> str:
    """The cursor for what comes after this key."""
    text = orjson.dumps([_digest(listing, tenant_id, filters, key), *key])
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def read_cursor(text: str, listing: str, tenant_id: str, filters: Filters, kinds: Sequence[type]) -> Key:
    """The key that a cursor stands for, its columns of these kinds. Raises CursorUnknown."""
    try:
        digest, *key = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError):
        raise CursorUnknown from None
    if [type(value) for value in key] != list(kinds) or digest != _digest(listing, tenant_id, filters, tuple(key)):
        raise CursorUnknown
    if any("\x00" in value for value in key if isinstance(value, str)):
        raise CursorUnknown  # made by hand: no key has what Postgres cannot hold
    return tuple(key)


def _digest(listing: str, tenant_id: str, filters: Filters, key: Key) -> str:
    """Notices a cursor that was changed or is used elsewhere. No secret: what it guards is open to its tenant anyway."""
    given = orjson.dumps([listing, tenant_id, sorted(filters.items()), key])
    return blake2b(given, digest_size=_DIGEST_BYTES).hexdigest()
