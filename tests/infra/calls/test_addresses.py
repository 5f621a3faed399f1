"""Which addresses a call may reach."""

import asyncio
import contextlib
import socket
import threading
from ipaddress import ip_address
from typing import Any

import httpx
import pytest
from starlette.responses import RedirectResponse

from infra.calls.addresses import LOOKUPS_MAX, Addresses, is_public, resolve
from infra.calls.call import CallFailed, CallSettings, carry_out, open_resources
from infra.calls.contract import CallContext
from tests.infra.calls.other_side import OtherSide, calling

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::7f00:1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "2001::1",
    "64:ff9b:1::1",
    "100::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
]
PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]


def addresses(*found: str, **settings: tuple[str, ...]) -> Addresses:
    async def resolve(host: str, port: int) -> list[str]:
        return list(found)

    return Addresses(CallSettings(**settings), resolve)  # type: ignore[arg-type]  # both are tuples of text


class TestAnAddress:
    def test_is_known_as_public_if_it_is(self) -> None:
        assert [address for address in (*PRIVATE, *PUBLIC) if is_public(ip_address(address))] == list(PUBLIC)


class TestAHost:
    async def test_is_refused_if_it_resolves_to_no_public_address(self) -> None:
        for address in PRIVATE:
            with pytest.raises(CallFailed) as failed:
                await addresses(address).allowed("inner.example.com", 80)
            assert (failed.value.type, failed.value.status) == ("authorization", 403)

    async def test_is_refused_if_it_is_written_as_such_an_address(self) -> None:
        for address in PRIVATE:
            with pytest.raises(CallFailed, match="authorization 403"):
                await addresses("1.1.1.1").allowed(address, 80)

    async def test_is_refused_if_only_one_of_its_addresses_is_not_public(self) -> None:
        with pytest.raises(CallFailed, match="authorization 403"):
            await addresses("1.1.1.1", "10.0.0.1").allowed("example.com", 80)

    @pytest.mark.parametrize(
        "host", ["2130706433", "0x7f.1", "0x7f000001", "127.1", "0177.0.0.1", "127.0.0.01", "example.0x10", "1.1.1.1.1"]
    )
    async def test_is_refused_in_an_odd_notation(self, host: str) -> None:
        with pytest.raises(CallFailed, match="authorization 403"):
            await addresses("1.1.1.1").allowed(host, 80)

    @pytest.mark.parametrize(
        "host", ["metadata.google.internal", "METADATA.google.internal.", "metadata", "instance-data"]
    )
    async def test_is_refused_if_it_gives_out_metadata(self, host: str) -> None:
        with pytest.raises(CallFailed, match="authorization 403"):
            await addresses("1.1.1.1").allowed(host, 80)

    async def test_is_reached_at_the_addresses_that_were_checked(self) -> None:
        assert await addresses("1.1.1.1", "2606:4700::1").allowed("Example.com.", 443) == ["1.1.1.1", "2606:4700::1"]

    async def test_is_reached_in_a_network_that_the_operator_allowed(self) -> None:
        allowed = addresses("10.1.2.3", "::ffff:10.1.2.4", networks_allowed=("10.0.0.0/8",))
        assert await allowed.allowed("inner.example.com", 80) == ["10.1.2.3", "::ffff:a01:204"]

    async def test_is_reached_if_the_operator_named_it(self) -> None:
        assert await addresses("10.1.2.3", hosts_allowed=("inner.example.com",)).allowed("INNER.example.com", 80)

    async def test_is_reached_at_no_other_port_than_the_operator_named(self) -> None:
        named = addresses("10.1.2.3", hosts_allowed=("inner.example.com:8080",))
        assert await named.allowed("inner.example.com", 8080)
        with pytest.raises(CallFailed, match="authorization 403"):
            await named.allowed("inner.example.com", 80)

    @pytest.mark.parametrize("written", ["::1", "[::1]", "[::1]:8080"])
    async def test_is_reached_at_the_address_of_version_6_that_the_operator_named(self, written: str) -> None:
        for host in ("::1", "[::1]"):
            assert await addresses(hosts_allowed=(written,)).allowed(host, 8080) == ["::1"]

    async def test_is_reached_at_no_other_port_of_an_address_of_version_6(self) -> None:
        for written in ("[::1]:8080", "[::2]", "::1:80"):
            with pytest.raises(CallFailed, match="authorization 403"):
                await addresses(hosts_allowed=(written,)).allowed("[::1]", 80)

    async def test_without_an_address_is_a_failed_communication(self) -> None:
        with pytest.raises(CallFailed, match="communication 500"):
            await addresses().allowed("nowhere.example.com", 80)


def get(uri: str, **more: object) -> dict[str, object]:
    return {"method": "get", "endpoint": uri, **more}


@pytest.mark.outside
class TestACall:
    async def test_reaches_nothing_on_this_machine_unless_allowed(self, server: OtherSide) -> None:
        server.at("/", {"secret": 1})
        port = httpx.URL(server.url).port
        async with calling(networks_allowed=()) as context:
            for host in ("127.0.0.1", "localhost", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"):
                with pytest.raises(CallFailed) as failed:
                    await carry_out("http", get(f"http://{host}:{port}/"), context)
                assert (failed.value.type, failed.value.status) == ("authorization", 403), host
        assert server.seen == []

    @pytest.mark.parametrize(
        "uri", ["file:///etc/passwd", "ftp://example.com/", "unix:/run/docker.sock", "gopher://example.com/"]
    )
    async def test_speaks_only_http(self, context: CallContext, uri: str) -> None:
        with pytest.raises(CallFailed, match="authorization 403"):
            await carry_out("http", get(uri), context)

    async def test_connects_to_the_address_that_was_checked_and_keeps_the_name(self, server: OtherSide) -> None:
        server.at("/", {"ok": True})
        port, asked = httpx.URL(server.url).port, []

        async def resolve(host: str, port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

        async with open_resources(CallSettings(networks_allowed=("127.0.0.0/8",)), resolve) as resources:
            arguments = get(f"http://no-such-host.invalid:{port}/")
            assert await carry_out("http", arguments, CallContext("k", resources)) == {"ok": True}
        assert asked == ["no-such-host.invalid"]
        assert server.seen[0].headers["host"] == f"no-such-host.invalid:{port}"

    async def test_tries_the_next_address_if_one_does_not_answer(self, server: OtherSide) -> None:
        server.at("/", {"ok": True})

        async def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.99", "127.0.0.1"]

        async with open_resources(CallSettings(networks_allowed=("127.0.0.0/8",)), resolve) as resources:
            arguments = get(f"http://some.invalid:{httpx.URL(server.url).port}/")
            assert await carry_out("http", arguments, CallContext("k", resources)) == {"ok": True}

    async def test_leaves_an_address_that_says_nothing_in_time_for_the_next(self, server: OtherSide) -> None:
        server.at("/", {"ok": True})
        port = httpx.URL(server.url).port

        async def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.98", "127.0.0.1"]

        with contextlib.ExitStack() as stack:
            silent = stack.enter_context(socket.socket())
            silent.bind(("127.0.0.98", port))
            silent.listen(0)
            for _ in range(3):  # nobody accepts them: whoever comes next gets no answer
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.98", port))
            settings = CallSettings(networks_allowed=("127.0.0.0/8",), connect_s_max=1.0)
            async with open_resources(settings, resolve) as resources:
                assert await carry_out("http", get(f"http://some.invalid:{port}/"), CallContext("k", resources)) == {
                    "ok": True
                }

    async def test_goes_where_the_operator_sends_an_origin_under_its_own_name(self, server: OtherSide) -> None:
        server.at("/v2/pet/1", {"id": 1})
        origins = {"https://petstore.example.com": server.url}
        async with calling(networks_allowed=(), origins=origins) as context:
            arguments = get("https://petstore.example.com/v2/pet/1?a=b")
            assert await carry_out("http", arguments, context) == {"id": 1}
            assert (server.seen[0].headers["host"], server.seen[0].query) == ("petstore.example.com", "a=b")
            with pytest.raises(CallFailed, match="authorization 403"):
                await carry_out("http", get(server.url + "/v2/pet/1"), context)

    async def test_takes_no_way_around_through_a_redirected_document(self, server: OtherSide) -> None:
        origins = {"https://documents.example.com": server.url}
        server.at("/openapi.json", RedirectResponse(server.url + "/inner.json"))
        server.at("/inner.json", {"openapi": "3.0.0"})
        async with calling(networks_allowed=(), origins=origins) as context:
            document = {"endpoint": "https://documents.example.com/openapi.json"}
            with pytest.raises(CallFailed, match="authorization 403"):
                await carry_out("openapi", {"document": document, "operationId": "a"}, context)
        assert [seen.path for seen in server.seen] == ["/openapi.json"]


class TestALookUp:
    async def test_that_takes_long_holds_up_none_of_the_process_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gate, of_the_system = threading.Event(), socket.getaddrinfo

        def slow(host: str, *given: Any, **named: Any) -> Any:
            if host.endswith(".slow.test"):
                gate.wait()
            return of_the_system("127.0.0.1", *given, **named)

        monkeypatch.setattr(socket, "getaddrinfo", slow)
        waiting = [asyncio.create_task(resolve(f"{number}.slow.test", 80)) for number in range(LOOKUPS_MAX)]
        try:
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
                assert await asyncio.get_running_loop().getaddrinfo("here.test", 80)
        finally:
            gate.set()
            found = await asyncio.gather(*waiting)
        assert found[0] == ["127.0.0.1"]
