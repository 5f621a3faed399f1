"""Which addresses a call may reach: public ones, and what the operator named; what was checked is what is connected to.

Guarantee: a name is resolved here, once per connection, all its addresses are judged, and the connection goes to one of exactly those:
a name that resolves to something else a moment later gains nothing.
"""

import asyncio
import functools
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeVar

import httpcore
import httpx

from infra.calls.contract import CallFailed, CallSettings
from infra.calls.unpacking import bounded

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives the addresses of a host, in the order in which to try them; OSError if there are none."""

Address = IPv4Address | IPv6Address
T = TypeVar("T")

LOOKUPS_MAX = 64
"""How many hosts of calls are looked up at once. A name server may take its time: what the process looks up itself does not wait for it."""

# IANA's special-purpose registries, beyond what `ipaddress` of every supported Python knows, and Azure's metadata address.
_REFUSED = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "2001::/23",
            "2001:db8::/32",
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
_GLOBAL_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
_METADATA_HOSTS = {
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
}
_LAST_LABEL_OF_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)")


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, from the system's resolver."""
    look_up = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_threads(), look_up)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(LOOKUPS_MAX, "look-up")


class Addresses:
    """Judges hosts by what the operator allowed."""

    def __init__(self, settings: CallSettings, resolve: Resolve = resolve) -> None:
        self._networks = [ip_network(network, strict=False) for network in settings.networks_allowed]
        self._hosts = {host.lower() for host in settings.hosts_allowed}
        self._resolve = resolve

    async def allowed(self, host: str, port: int) -> list[str]:
        """The addresses to connect to, checked; CallFailed("authorization") if one of them may not be reached,
        CallFailed("communication") if there are none.
        """
        name = host.lower().strip("[]").removesuffix(".")
        place = f"[{name}]" if ":" in name else name
        trusted = not self._hosts.isdisjoint((name, place, f"{place}:{port}"))
        literal = _literal(name)
        if not trusted and name in _METADATA_HOSTS:
            raise _refused(host)
        if literal is None and _LAST_LABEL_OF_A_NUMBER.fullmatch(name):
            raise CallFailed("authorization", f"{host[:200]!r} is an address in a notation that is not accepted.")
        found = [literal] if literal else await self._look_up(name, port)
        if not trusted and not all(self._is_allowed(address) for address in found):
            raise _refused(host)
        return [str(address) for address in found]

    async def _look_up(self, name: str, port: int) -> list[Address]:
        try:
            found = [ip_address(text) for text in await self._resolve(name, port)]
        except (OSError, ValueError) as unknown:
            raise CallFailed("communication", f"The host {name[:200]!r} has no address.") from unknown
        if not found:
            raise CallFailed("communication", f"The host {name[:200]!r} has no address.")
        return found

    def _is_allowed(self, address: Address) -> bool:
        inner = _embedded(address) or address
        return is_public(address) or any(inner in network or address in network for network in self._networks)


def is_public(address: Address) -> bool:
    """Whether anybody on the internet can reach it; an address that wraps an IPv4 one is judged by that."""
    inner = _embedded(address)
    if inner is not None:
        return not isinstance(inner, IPv6Address) and is_public(inner)
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    special = address.is_multicast or address.is_private or address.is_reserved or address.is_loopback
    return not special and not any(address in network for network in _REFUSED)


def _embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address inside an IPv4-mapped, 6to4 or NAT64 one."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _literal(name: str) -> Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _refused(host: str) -> CallFailed:
    return CallFailed(
        "authorization",
        f"The address of {host[:200]!r} is not public and the operator has not allowed it"
        " (FOLDWORK_CALL_NETWORKS_ALLOWED, FOLDWORK_CALL_HOSTS_ALLOWED).",
    )


def in_turn(places: Sequence[T], within_s: float) -> Iterator[tuple[T, float | None]]:
    """Each place, and by when on the loop's clock to be there: one that says nothing takes its share of the time. The last has no limit."""
    clock = asyncio.get_running_loop().time
    until = clock() + within_s
    for left, place in zip(range(len(places), 0, -1), places, strict=True):
        yield place, None if left == 1 else clock() + (until - clock()) / left


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the addresses that were checked, and to no others."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                until = None if timeout is None else asyncio.get_running_loop().time() + timeout
                return await self._connect(await self._addresses.allowed(host, port), port, local_address, until)
        except TimeoutError as late:
            raise httpcore.ConnectTimeout(f"No connection within {timeout:g} s.") from late

    async def _connect(
        self, addresses: list[str], port: int, local: str | None, until: float | None
    ) -> httpcore.AsyncNetworkStream:
        """One after another; one that says nothing takes its share of the time and leaves the others theirs."""
        for number, address in enumerate(addresses[:-1]):
            share_s = until and (until - asyncio.get_running_loop().time()) / (len(addresses) - number)
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._network.connect_tcp(address, port, share_s, local)
        return await self._network.connect_tcp(addresses[-1], port, local_address=local)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@functools.cache
def certificates() -> ssl.SSLContext:
    """Whom to trust; read once, which takes 50 ms."""
    return ssl.create_default_context()


class _Pool(httpx.AsyncHTTPTransport):
    """httpx's transport on a network of our own: httpx has no argument for it, httpcore has."""

    def __init__(self, connections_max: int, network: httpcore.AsyncNetworkBackend | None) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=certificates(),
            max_connections=connections_max,
            max_keepalive_connections=connections_max // 4,
            keepalive_expiry=5.0,
            network_backend=network,
        )


class CheckedTransport(httpx.AsyncBaseTransport):
    """HTTP to allowed addresses only, with answers within bounds.

    An origin that the operator mapped is reached at the other one, under its own name.
    """

    def __init__(self, settings: CallSettings, addresses: Addresses) -> None:
        self._origins = {_origin(httpx.URL(old)): httpx.URL(new) for old, new in settings.origins.items()}
        self._checked = _Pool(settings.connections_max, _CheckedNetwork(addresses))
        self._mapped = _Pool(settings.connections_max, None)
        self._bytes_max = settings.response_bytes_max

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme not in {"http", "https", "file"} or not request.url.host:
            raise CallFailed("authorization", "Only http and https addresses can be called.")
        target = self._origins.get(_origin(request.url))
        if target is None and request.url.scheme == "file":
            detail = "Files are not read here, unless the operator says where they are found (FOLDWORK_CALL_ORIGINS)."
            raise CallFailed("authorization", detail)
        if target is None:
            return bounded(await self._checked.handle_async_request(request), self._bytes_max)
        url = request.url.copy_with(scheme=target.scheme, host=target.host, port=target.port)
        extensions = request.extensions
        sent = httpx.Request(request.method, url, headers=request.headers, stream=request.stream, extensions=extensions)
        return bounded(await self._mapped.handle_async_request(sent), self._bytes_max)

    async def aclose(self) -> None:
        await self._checked.aclose()
        await self._mapped.aclose()


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host.removesuffix("."), url.port or {"http": 80, "https": 443}.get(url.scheme)
