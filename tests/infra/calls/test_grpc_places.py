"""`call: grpc`: which services it reaches, how, and which proto documents it takes (reference: gRPC Call, External Resource)."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from starlette.responses import PlainTextResponse

from infra.calls.call import CallContext, CallFailed, CallSettings, carry_out, open_resources
from infra.calls.grpc_place import find_place
from tests.infra.calls.certificates import certify
from tests.infra.calls.grpc_server import PROTO, SERVICE, GrpcServer, grpc_server, keep
from tests.infra.calls.other_side import LOOPBACK, OtherSide, calling, silent

pytestmark = pytest.mark.outside

NAME = "greeter.example.com"
HELLO = {"message": "Hello, !"}


@pytest.fixture
def greeter() -> Iterator[GrpcServer]:
    with grpc_server() as running:
        yield running


@pytest.fixture
def proto(server: OtherSide) -> str:
    return server.at("/greet.proto", PlainTextResponse(PROTO))


async def say_hello(context: CallContext, proto: str, host: str, port: Any) -> Any:
    """A call whose document is known already."""
    keep(context, proto)
    return await carry_out("grpc", arguments(proto, host, port), context)


def arguments(proto: str, host: str, port: int | None, **service: Any) -> dict[str, Any]:
    place = {"name": SERVICE, "host": host, **({} if port is None else {"port": port}), **service}
    return {"proto": {"endpoint": proto}, "service": place, "method": "SayHello"}


def refused_port() -> int:
    """One at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def resolving(*addresses: str, **settings: Any) -> AsyncIterator[CallContext]:
    """A context in which every name has these addresses."""

    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    async with open_resources(CallSettings(**({"networks_allowed": LOOPBACK} | settings)), resolve) as resources:
        yield CallContext("k", resources)


class TestAnAddress:
    @pytest.mark.parametrize(
        "host", ["localhost", "127.0.0.1", "metadata.google.internal", "169.254.169.254", "0x7f.1"]
    )
    async def test_that_is_not_allowed_is_not_reached(
        self, greeter: GrpcServer, server: OtherSide, proto: str, host: str
    ) -> None:
        async with calling(networks_allowed=(), origins={"http://docs.example.com": server.url}) as context:
            with pytest.raises(CallFailed, match="authorization 403"):
                await say_hello(context, "http://docs.example.com/greet.proto", host, greeter.port)
        assert greeter.heard == []

    async def test_is_refused_if_a_public_name_leads_to_it(
        self, greeter: GrpcServer, server: OtherSide, proto: str
    ) -> None:
        given = {"networks_allowed": (), "origins": {"http://docs.example.com": server.url}}
        async with resolving("93.184.215.14", "127.0.0.1", **given) as context:
            with pytest.raises(CallFailed, match="authorization 403"):
                await say_hello(context, "http://docs.example.com/greet.proto", NAME, greeter.port)
        assert greeter.heard == []

    async def test_is_the_one_that_was_checked(
        self, greeter: GrpcServer, proto: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither the system's resolver nor a proxy has a say in it."""
        for name in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{refused_port()}")
        async with resolving("127.0.0.1") as context:
            assert await say_hello(context, proto, NAME, greeter.port) == HELLO

    @pytest.mark.parametrize("others", [("::1",), ("127.0.0.2",), ("::1", "127.0.0.2")])
    async def test_may_be_one_of_several(self, greeter: GrpcServer, proto: str, others: Sequence[str]) -> None:
        async with resolving(*others, "127.0.0.1") as context:
            assert await say_hello(context, proto, NAME, greeter.port) == HELLO

    @pytest.mark.parametrize("other", ["::1", "127.0.0.98"])
    async def test_that_says_nothing_leaves_time_for_the_next(
        self, greeter: GrpcServer, proto: str, other: str
    ) -> None:
        with silent(other, greeter.port):
            async with resolving(other, "127.0.0.1", connect_s_max=2) as context:
                keep(context, proto)
                assert await say_hello(context, proto, NAME, greeter.port) == HELLO

    async def test_at_which_nobody_listens_is_a_failed_communication(self, proto: str, context: CallContext) -> None:
        port = refused_port()
        with pytest.raises(CallFailed, match=f"communication 503: localhost:{port}, spoken to in plain text"):
            await say_hello(context, proto, "localhost", port)

    async def test_that_does_not_answer_in_time_is_given_up(self, proto: str) -> None:
        with socket.socket() as mute:
            mute.bind(("127.0.0.1", 0))
            mute.listen()
            async with calling(connect_s_max=0.3) as context:
                with pytest.raises(CallFailed, match=r"timeout 408: No connection to localhost:\d+ within 0.3 s"):
                    await say_hello(context, proto, "localhost", mute.getsockname()[1])

    @pytest.mark.parametrize(
        ("host", "port"),
        [("a b", 1), ("", 1), ("a/b", 1), ("a:1", 1), ("a", 0), ("a", 70_000), ("a", "1"), ("a", True)],
    )
    async def test_is_a_host_and_a_port(self, proto: str, context: CallContext, host: str, port: Any) -> None:
        with pytest.raises(CallFailed, match="configuration 400"):
            await say_hello(context, proto, host, port)

    async def test_may_be_where_the_operator_says(self, greeter: GrpcServer, server: OtherSide) -> None:
        server.at("/greet.proto", PlainTextResponse(PROTO))
        origins = {"file://app": server.url, "grpc://greeter.example.com:5011": f"grpc://127.0.0.1:{greeter.port}"}
        async with calling(networks_allowed=(), origins=origins) as context:
            found = await carry_out("grpc", arguments("file://app/greet.proto", NAME, 5011), context)
            assert found == HELLO
            with pytest.raises(CallFailed, match="authorization 403"):
                await say_hello(context, "file://app/greet.proto", "localhost", greeter.port)


class TestTls:
    @pytest.fixture
    def secured(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GrpcServer]:
        """A service with a certificate for localhost, which this machine trusts for the length of the test."""
        file = certify("localhost", tmp_path / "certificate.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        both = file.read_bytes()
        with grpc_server(grpc.ssl_server_credentials([(both, both)])) as running:
            yield running

    async def test_is_spoken_where_the_operator_says(self, secured: GrpcServer, proto: str) -> None:
        async with calling(origins={f"grpc://{NAME}": f"grpcs://localhost:{secured.port}"}) as context:
            assert await say_hello(context, proto, NAME, None) == HELLO

    async def test_is_spoken_only_with_whom_the_certificate_names(self, secured: GrpcServer, proto: str) -> None:
        async with calling(origins={f"grpc://{NAME}": f"grpcs://127.0.0.1:{secured.port}"}) as context:
            with pytest.raises(CallFailed, match=f"communication 503: {NAME}:443, spoken to over TLS"):
                await say_hello(context, proto, NAME, None)
        assert secured.heard == []

    async def test_is_not_spoken_with_whom_nobody_trusts(
        self, secured: GrpcServer, proto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certify("localhost", tmp_path / "other.pem")))
        async with calling(origins={f"grpc://{NAME}": f"grpcs://localhost:{secured.port}"}) as context:
            with pytest.raises(CallFailed, match="communication 503"):
                await say_hello(context, proto, NAME, None)

    @pytest.mark.parametrize(
        ("addresses", "port", "tls"),
        [
            (("93.184.215.14",), 50_051, True),
            (("93.184.215.14",), None, True),
            (("10.1.2.3",), 50_051, False),
            (("10.1.2.3",), 443, True),
            (("10.1.2.3",), None, True),
            (("10.1.2.3", "93.184.215.14"), 50_051, True),
        ],
    )
    async def test_is_spoken_on_its_port_and_with_the_public(
        self, addresses: Sequence[str], port: int | None, tls: bool
    ) -> None:
        async with resolving(*addresses, networks_allowed=("10.0.0.0/8",)) as context:
            place = await find_place({"host": NAME, **({} if port is None else {"port": port})}, context)
        assert (place.addresses, place.port, place.tls) == (tuple(addresses), port or 443, tls)


class TestAProtoDocument:
    async def call(self, server: OtherSide, greeter: GrpcServer, text: str, **settings: Any) -> Any:
        async with calling(**settings) as context:
            proto = server.at("/greet.proto", PlainTextResponse(text))
            return await carry_out("grpc", arguments(proto, "localhost", greeter.port), context)

    async def test_is_kept_for_a_while(self, server: OtherSide, greeter: GrpcServer, proto: str) -> None:
        async with calling() as context:
            calls = [carry_out("grpc", arguments(proto, "localhost", greeter.port), context) for _ in range(3)]
            assert await calls[0] == HELLO
            assert await asyncio.gather(*calls[1:]) == [HELLO] * 2
        assert len(server.seen) == 1

    async def test_may_be_of_any_edition(self, server: OtherSide, greeter: GrpcServer) -> None:
        """The messages are the same, whichever way they are described."""
        described = "message HelloRequest { %s string name = 1; } message HelloReply { %s string message = 1; }"
        service = "service Greeter { rpc SayHello (HelloRequest) returns (HelloReply); }"
        for head, label in (('syntax = "proto2";', "optional"), ('edition = "2023";', "")):
            text = f"{head} package GreeterApi; {described % (label, label)} {service}"
            assert await self.call(server, greeter, text) == HELLO

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "no service 'GreeterApi.Greeter', but: none"),
            ("\n\nmessage {", "wrong: service.proto:3:9: Expected message name."),
            ("\x00\xff", "is wrong"),
            ('syntax = "proto3"; import "other.proto";', "other.proto: File not found"),
            ('syntax = "proto3"; import "../../../../etc/passwd";', "is wrong"),
            ('syntax = "proto3"; import "/etc/passwd";', "is wrong"),
            ('syntax = "proto3"; message A { B b = 1; }', '"B" is not defined'),
            ("message A {" * 5_000, "is wrong"),
            (f"// {'x' * 300_000}", "has more than 262144 bytes"),
        ],
    )
    async def test_that_is_none_is_refused(self, server: OtherSide, greeter: GrpcServer, text: str, said: str) -> None:
        with pytest.raises(CallFailed, match="configuration 400") as failed:
            await self.call(server, greeter, text)
        assert said in failed.value.detail
        assert "root:" not in failed.value.detail

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"proto_s_max": 0.001}, "could not be compiled within 0.001 s"),
            ({"proto_memory_bytes_max": 1 << 24}, "more than its compiler can take"),
            ({"proto_descriptor_bytes_max": 200}, "wrong"),
        ],
    )
    async def test_is_compiled_within_bounds(
        self, server: OtherSide, greeter: GrpcServer, settings: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(CallFailed, match="configuration 400") as failed:
            await self.call(server, greeter, PROTO, **settings)
        assert said in failed.value.detail

    async def test_that_is_not_there_is_a_failed_communication(
        self, server: OtherSide, greeter: GrpcServer, context: CallContext
    ) -> None:
        with pytest.raises(CallFailed, match="communication 404"):
            await carry_out("grpc", arguments(f"{server.url}/none.proto", "localhost", greeter.port), context)

    @pytest.mark.parametrize("uri", ["file:///etc/passwd", "file://app/greet.proto", "file://localhost/etc/passwd"])
    async def test_is_not_read_from_this_machine(self, greeter: GrpcServer, context: CallContext, uri: str) -> None:
        with pytest.raises(CallFailed, match="authorization 403"):
            await carry_out("grpc", arguments(uri, "localhost", greeter.port), context)
