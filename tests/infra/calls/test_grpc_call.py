"""`call: grpc`: a method of a service that a proto document describes (reference: gRPC Call)."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from infra.calls.call import CallContext, CallFailed, carry_out
from tests.infra.calls.grpc_server import PROTO, SERVICE, GrpcServer, grpc_server, keep
from tests.infra.calls.other_side import OtherSide, calling

pytestmark = pytest.mark.outside


@pytest.fixture
def greeter() -> Iterator[GrpcServer]:
    with grpc_server() as running:
        yield running


class Greet:
    """Calls a method of the service, whose document is at the other side."""

    def __init__(self, server: OtherSide, greeter: GrpcServer) -> None:
        self.proto = server.at("/greet.proto", PlainTextResponse(PROTO))
        self.greeter = greeter

    def arguments(self, method: str, arguments: Any = None, **service: Any) -> dict[str, Any]:
        place = {"name": SERVICE, "host": "localhost", "port": self.greeter.port, **service}
        return {"proto": {"endpoint": self.proto}, "service": place, "method": method, "arguments": arguments or {}}

    async def __call__(self, context: CallContext, method: str, arguments: Any = None, **service: Any) -> Any:
        keep(context, self.proto)
        return await carry_out("grpc", self.arguments(method, arguments, **service), context)


@pytest.fixture
def greet(server: OtherSide, greeter: GrpcServer) -> Greet:
    return Greet(server, greeter)


class TestACall:
    async def test_gives_the_answer(self, greet: Greet, context: CallContext) -> None:
        assert await greet(context, "SayHello", {"name": "Ann"}) == {"message": "Hello, Ann!"}

    async def test_needs_no_arguments(self, greet: Greet, context: CallContext) -> None:
        arguments = greet.arguments("SayHello")
        del arguments["arguments"]
        assert await carry_out("grpc", arguments, context) == {"message": "Hello, !"}

    async def test_carries_its_key(self, greet: Greet) -> None:
        async with calling("tenant/run/7") as context:
            await greet(context, "SayHello")
        [heard] = greet.greeter.heard
        assert heard.metadata["idempotency-key"] == "tenant/run/7"
        assert heard.metadata["user-agent"].startswith("foldwork")

    @pytest.mark.parametrize(
        ("policy", "sent"),
        [
            ({"bearer": {"token": "t0"}}, "Bearer t0"),
            ({"basic": {"username": "ann", "password": "pass"}}, "Basic YW5uOnBhc3M="),
        ],
    )
    async def test_is_authenticated(self, greet: Greet, context: CallContext, policy: Any, sent: str) -> None:
        await greet(context, "SayHello", authentication=policy)
        assert greet.greeter.heard[0].metadata["authorization"] == sent

    async def test_gets_a_token_anew_once_one_was_refused(
        self, greet: Greet, server: OtherSide, context: CallContext
    ) -> None:
        server.at("/oauth2/token", {"access_token": "t1", "token_type": "Bearer", "expires_in": 300})
        client = {"id": "a", "secret": "b"}
        policy = {"oauth2": {"authority": server.url, "grant": "client_credentials", "client": client}}
        await greet(context, "SayHello", authentication=policy)
        with pytest.raises(CallFailed, match="communication 401"):
            await greet(context, "Fail", {"name": "UNAUTHENTICATED"}, authentication=policy)
        await greet(context, "SayHello", authentication=policy)
        assert [each.metadata["authorization"] for each in greet.greeter.heard] == ["Bearer t1"] * 3
        assert [each.path for each in server.seen].count("/oauth2/token") == 2

    @pytest.mark.parametrize(
        ("policy", "said"),
        [
            ({"digest": {"username": "ann", "password": "pass"}}, "does not know the authentication 'digest'"),
            ({"bearer": {"token": "t\n0"}}, "what gRPC cannot carry"),
        ],
    )
    async def test_cannot_be_authenticated_in_every_way(
        self, greet: Greet, context: CallContext, policy: Any, said: str
    ) -> None:
        with pytest.raises(CallFailed, match=f"configuration 400: .*{said}"):
            await greet(context, "SayHello", authentication=policy)
        assert greet.greeter.heard == []

    async def test_ends_in_time(self, greet: Greet) -> None:
        async with calling(call_s_max=0.5) as context:
            await greet(context, "SayHello")
            with pytest.raises(CallFailed, match="timeout 408"):
                await greet(context, "Sleep")


class TestArguments:
    async def test_and_answers_are_proto_json(self, greet: Greet, context: CallContext) -> None:
        given = {
            "name": "Ann",
            "familyName": "Lee",
            "times": -3,
            "largeNumber": "9007199254740993",
            "mood": "GLAD",
            "picture": "AAEC",
            "bornAt": "2001-02-03T04:05:06Z",
            "more": {"pets": [{"name": "milou"}, None, True]},
            "friends": [{"name": "Bob"}],
            "is_known": True,
        }
        assert await greet(context, "Repeat", given) == given

    async def test_may_be_named_as_in_the_document(self, greet: Greet, context: CallContext) -> None:
        found = await greet(context, "Repeat", {"family_name": "Lee", "large_number": 5, "mood": 1})
        assert found == {"familyName": "Lee", "largeNumber": "5", "mood": "GLAD"}

    async def test_that_are_their_defaults_are_left_out(self, greet: Greet, context: CallContext) -> None:
        assert await greet(context, "Repeat", {"name": "", "times": 0, "friends": [], "mood": "CALM"}) == {}

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"title": "t0p secret"}, "has no field 'title'"),
            ({"friends": [{"tit": "t0p secret"}]}, "has no field 'friends.tit'"),
            ({"times": "t0p secret"}, "'times' has a value of another kind"),
            ({"mood": "t0p secret"}, "'mood' has a value of another kind"),
            ({"friends": {"t0p secret": 1}}, "do not fit the message GreeterApi.HelloRequest"),
            ({"times": 1 << 40}, "'times' has a value of another kind"),
            ({"more": 5}, "do not fit"),
        ],
    )
    async def test_that_do_not_fit_are_not_valid_and_not_shown(
        self, greet: Greet, context: CallContext, given: Any, said: str
    ) -> None:
        with pytest.raises(CallFailed, match="validation 400") as failed:
            await greet(context, "Repeat", given)
        assert said in failed.value.detail
        assert "t0p secret" not in failed.value.detail
        assert greet.greeter.heard == []

    async def test_that_are_too_large_are_not_sent(self, greet: Greet) -> None:
        async with calling(request_bytes_max=1_000) as context:
            with pytest.raises(CallFailed, match="configuration 413"):
                await greet(context, "Repeat", {"name": "x" * 1_000})


class TestAStreamOfAnswers:
    @pytest.mark.parametrize("count", [0, 1, 3])
    async def test_is_a_list(self, greet: Greet, context: CallContext, count: int) -> None:
        expected = [{"message": str(number)} for number in range(count)]
        assert await greet(context, "Count", {"times": count}) == expected

    async def test_that_fails_is_a_failure(self, greet: Greet, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="communication 503"):
            await greet(context, "FailLater", {"name": "UNAVAILABLE"})

    @pytest.mark.parametrize(("settings", "size"), [({"messages_max": 5}, 0), ({"response_bytes_max": 10_000}, 100)])
    async def test_without_an_end_is_left(self, greet: Greet, settings: dict[str, int], size: int) -> None:
        async with calling(**settings) as context:
            with pytest.raises(CallFailed, match="communication 500: The messages are more than a call can take"):
                await greet(context, "CountForEver", {"times": size})
        # The other side hears of it.
        async with asyncio.timeout(10):
            while not greet.greeter.stopped:
                await asyncio.sleep(0.01)

    async def test_of_requests_cannot_be_sent(self, greet: Greet, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="configuration 400: The method 'Listen' takes a stream of messages"):
            await greet(context, "Listen")


class TestAFailure:
    @pytest.mark.parametrize(
        ("code", "status"),
        [
            ("CANCELLED", 499),
            ("UNKNOWN", 500),
            ("INVALID_ARGUMENT", 400),
            ("DEADLINE_EXCEEDED", 504),
            ("NOT_FOUND", 404),
            ("ALREADY_EXISTS", 409),
            ("PERMISSION_DENIED", 403),
            ("RESOURCE_EXHAUSTED", 429),
            ("FAILED_PRECONDITION", 400),
            ("ABORTED", 409),
            ("OUT_OF_RANGE", 400),
            ("UNIMPLEMENTED", 501),
            ("INTERNAL", 500),
            ("UNAVAILABLE", 503),
            ("DATA_LOSS", 500),
            ("UNAUTHENTICATED", 401),
        ],
    )
    async def test_has_the_http_status_that_fits(
        self, greet: Greet, context: CallContext, code: str, status: int
    ) -> None:
        with pytest.raises(CallFailed) as failed:
            await greet(context, "Fail", {"name": code, "familyName": "no Ann"})
        assert (failed.value.type, failed.value.status) == ("communication", status)
        assert f"{code}: It went wrong: no Ann" in failed.value.detail
        assert failed.value.title == code.replace("_", " ").capitalize()

    async def test_shows_no_credentials(self, greet: Greet, context: CallContext) -> None:
        policy = {"bearer": {"token": "t0p-secret"}}
        with pytest.raises(CallFailed) as failed:
            await greet(context, "Fail", {"name": "INTERNAL", "familyName": "t0p-secret"}, authentication=policy)
        assert "It went wrong: ***" in failed.value.detail

    async def test_to_understand_the_answer_is_one_of_the_communication(
        self, greet: Greet, context: CallContext
    ) -> None:
        with pytest.raises(CallFailed, match=r"communication 500: The answer is not the message GreeterApi.HelloReply"):
            await greet(context, "Babble")

    async def test_is_an_answer_that_is_too_large(self, greet: Greet, context: CallContext) -> None:
        for size in (context.settings.response_bytes_max + 1, 16 << 20):
            with pytest.raises(CallFailed, match="communication 500: The answer has more than 900000 bytes"):
                await greet(context, "Grow", {"times": size})

    async def test_is_an_answer_that_grows_too_large_as_json(self, greet: Greet) -> None:
        async with calling(response_bytes_max=100_000) as context:
            with pytest.raises(CallFailed, match="communication 500: The answer has more than 100000 bytes"):
                await greet(context, "Repeat", {"flags": [False] * 50_000})

    async def test_is_a_method_that_the_service_does_not_have(self, greet: Greet, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="communication 501"):
            await greet(context, "Missing")

    async def test_is_what_the_document_does_not_have(self, greet: Greet, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="configuration 400: The service has no method 'Wave', but: Babble, "):
            await greet(context, "Wave")
        with pytest.raises(CallFailed, match=r"no service 'Greeter', but: GreeterApi.Greeter"):
            await greet(context, "SayHello", name="Greeter")


class TestWithoutTheExtra:
    async def test_a_call_says_what_is_missing(
        self, greet: Greet, context: CallContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "grpc", None)
        with pytest.raises(CallFailed, match=r"configuration 400: .*foldwork\[grpc\]"):
            await greet(context, "SayHello")

    def test_nothing_of_it_is_loaded(self) -> None:
        modules = "write_side.api, sagas.performing, infra.calls.call, read_side.api"
        program = f"import {modules}, sys; print({{'grpc', 'grpc_tools', 'google.protobuf'}} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()"
