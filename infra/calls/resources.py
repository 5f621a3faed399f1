"""What the calls of a process share: one HTTP client without a memory, the tokens that still hold, the documents read lately."""

from asyncio import Lock, Semaphore
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakValueDictionary

import httpx
import orjson

from infra.calls.addresses import Addresses, CheckedTransport, Resolve, resolve
from infra.calls.contract import CallSettings

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool

REDIRECTS_MAX = 5

T = TypeVar("T")


class Shelf(Generic[T]):
    """Keeps up to `size_max` values, each for a time of its own; the one that was used longest ago makes room."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._kept: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def get(self, key: str) -> T | None:
        until, value = self._kept.get(key, (0.0, None))
        if value is None or until < monotonic():
            self._kept.pop(key, None)
            return None
        self._kept.move_to_end(key)
        return value

    def drop(self, key: str) -> None:
        self._kept.pop(key, None)

    def put(self, key: str, value: T, for_s: float) -> None:
        self._kept[key] = (monotonic() + for_s, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._size_max:
            self._kept.popitem(last=False)


@dataclass(frozen=True, slots=True)
class CallResources:
    """Shared by all calls; made by `open_resources`.

    `asking` holds who asks for which token at the moment, `compiling` lets in so many who compile a proto document.
    """

    settings: CallSettings
    addresses: Addresses
    http: httpx.AsyncClient
    tokens: Shelf[str]
    documents: Shelf[dict[str, object]]
    asking: WeakValueDictionary[str, Lock]
    protos: "Shelf[DescriptorPool]"
    compiling: Semaphore


@asynccontextmanager
async def open_resources(settings: CallSettings, resolve: Resolve = resolve) -> AsyncIterator[CallResources]:
    """Open what calls need; closes the connections at the end."""
    addresses = Addresses(settings, resolve)
    # Nothing of one call may reach another: no cookies, no proxies or passwords of this machine's environment.
    client = httpx.AsyncClient(
        transport=CheckedTransport(settings, addresses),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
        follow_redirects=False,
        max_redirects=REDIRECTS_MAX,
        timeout=httpx.Timeout(settings.call_s_max, connect=settings.connect_s_max),
        headers={"User-Agent": "foldwork", "Accept-Encoding": "gzip, deflate"},
    )
    async with client:
        tokens: Shelf[str] = Shelf(settings.tokens_max)
        documents: Shelf[dict[str, object]] = Shelf(settings.documents_max)
        protos: Shelf[DescriptorPool] = Shelf(settings.protos_max)
        compiling = Semaphore(settings.proto_compilers_max)
        yield CallResources(settings, addresses, client, tokens, documents, WeakValueDictionary(), protos, compiling)


def digest_of(*values: object) -> str:
    """The key of what is kept: it tells any two requests apart and gives no credentials away."""
    return sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()
