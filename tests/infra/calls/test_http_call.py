"""`call: http`: what goes out, in which form the answer comes back, and what counts as a failure (reference: HTTP Call, HTTP Response)."""

import base64
import gzip
import zlib
from typing import Any

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response

from infra.calls.call import CallContext, CallFailed, carry_out
from tests.infra.calls.other_side import OtherSide, calling

pytestmark = pytest.mark.outside


async def call(context: CallContext, endpoint: Any, method: str = "get", **more: Any) -> Any:
    return await carry_out("http", {"method": method, "endpoint": endpoint, **more}, context)


class TestTheRequest:
    async def test_carries_method_headers_and_query(self, server: OtherSide, context: CallContext) -> None:
        url = server.at("/a", {})
        query = {"name": "a b", "ids": [1, 2], "flag": True, "none": None}
        await call(context, {"uri": f"{url}?first=x%2Fy"}, "PUT", headers={"X-One": 1, "X-Two": True}, query=query)
        seen = server.seen[0]
        assert (seen.method, seen.query) == ("PUT", "first=x%2Fy&name=a+b&ids=1&ids=2&flag=true")
        assert (seen.headers["x-one"], seen.headers["x-two"]) == ("1", "true")

    async def test_leaves_the_endpoints_own_query_as_it_is(self, server: OtherSide, context: CallContext) -> None:
        await call(context, server.at("/a", {}) + "?a=%20b&c=d,e")
        assert server.seen[0].query == "a=%20b&c=d,e"

    @pytest.mark.parametrize("body", [{"a": [1, None, "ü"]}, [1, 2], "text", 5, False])
    async def test_has_a_json_body_unless_told_otherwise(
        self, server: OtherSide, context: CallContext, body: Any
    ) -> None:
        await call(context, server.at("/a", {}), "post", body=body)
        assert server.seen[0].json == body
        assert server.seen[0].headers["content-type"] == "application/json"

    @pytest.mark.parametrize(
        ("content_type", "body", "sent"),
        [
            ("text/plain", "plain text", b"plain text"),
            ("application/xml", "<a/>", b"<a/>"),
            ("application/x-www-form-urlencoded", {"a": "b c", "d": [1, 2]}, b"a=b+c&d=1&d=2"),
            ("application/x-www-form-urlencoded", "a=b", b"a=b"),
            ("application/merge-patch+json", {"a": 1}, b'{"a":1}'),
        ],
    )
    async def test_has_the_body_that_its_content_type_says(
        self, server: OtherSide, context: CallContext, content_type: str, body: Any, sent: bytes
    ) -> None:
        await call(context, server.at("/a", {}), "post", body=body, headers={"content-type": content_type})
        assert (server.seen[0].body, server.seen[0].headers["content-type"]) == (sent, content_type)

    async def test_can_be_a_form_of_several_parts(self, server: OtherSide, context: CallContext) -> None:
        headers = {"Content-Type": "multipart/form-data"}
        for _ in range(2):
            await call(context, server.at("/a", {}), "post", body={"a": "b"}, headers=headers)
        assert b'name="a"\r\n\r\nb\r\n' in server.seen[0].body
        assert server.seen[0].body == server.seen[1].body
        assert server.seen[0].headers["content-type"].startswith("multipart/form-data; boundary=")

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    async def test_carries_the_calls_key_if_it_changes_something(
        self, server: OtherSide, context: CallContext, method: str
    ) -> None:
        url = server.at("/a", {})
        await call(context, url, method)
        await call(context, url, method)
        assert [seen.headers["idempotency-key"] for seen in server.seen] == ["call-1", "call-1"]

    @pytest.mark.parametrize("method", ["get", "head", "options"])
    async def test_carries_no_key_if_it_only_reads(self, server: OtherSide, context: CallContext, method: str) -> None:
        await call(context, server.at("/a", {}), method)
        assert "idempotency-key" not in server.seen[0].headers

    async def test_carries_the_key_that_the_caller_set(self, server: OtherSide, context: CallContext) -> None:
        await call(context, server.at("/a", {}), "post", headers={"idempotency-key": "mine"})
        assert server.seen[0].headers["idempotency-key"] == "mine"

    @pytest.mark.parametrize("header", ["Host", "content-length", "Transfer-Encoding", "connection"])
    async def test_cannot_set_what_belongs_to_the_connection(
        self, server: OtherSide, context: CallContext, header: str
    ) -> None:
        with pytest.raises(CallFailed, match="configuration 400"):
            await call(context, server.at("/a", {}), headers={header: "1"})

    @pytest.mark.parametrize(
        "wrong",
        [
            {"headers": {"X": "a\r\nY: b"}},
            {"headers": {"X\n": "a"}},
            {"headers": {"X": "ü"}},
            {"headers": {"X": {"a": 1}}},
            {"headers": "X: y"},
            {"method": "GE T"},
            {"method": "connect"},
            {"endpoint": "/relative"},
            {"endpoint": 5},
            {"endpoint": "http://a:port/"},
            {"output": "yaml"},
            {"method": "post", "headers": {"Content-Type": "multipart/form-data"}, "body": {"a": None}},
        ],
    )
    async def test_that_is_none_is_a_matter_of_configuration(
        self, server: OtherSide, context: CallContext, wrong: dict[str, Any]
    ) -> None:
        arguments = {"method": "get", "endpoint": server.at("/a", {})} | wrong
        with pytest.raises(CallFailed, match="configuration 400"):
            await carry_out("http", arguments, context)
        assert server.seen == []

    async def test_is_bounded(self, server: OtherSide) -> None:
        async with calling(request_bytes_max=100) as context:
            with pytest.raises(CallFailed, match="configuration 413"):
                await call(context, server.at("/a", {}), "post", body="x" * 100)

    async def test_takes_no_cookies_from_one_call_to_the_next(self, server: OtherSide, context: CallContext) -> None:
        url = server.at("/a", Response(headers={"set-cookie": "session=1; Path=/"}))
        await call(context, url)
        await call(context, url)
        assert "cookie" not in server.seen[1].headers


class TestTheOutput:
    @pytest.mark.parametrize(
        ("content", "media_type", "expected"),
        [
            (b'{"a": 1}', "application/json", {"a": 1}),
            (b"[1]", "application/problem+json; charset=utf-8", [1]),
            (b"plain", "text/plain", "plain"),
            ("ü".encode("latin-1"), "text/plain; charset=iso-8859-1", "ü"),
            (b"<a/>", "application/atom+xml", "<a/>"),
            (b"\x00\x01", "application/octet-stream", "AAE="),
            (b"a", None, "YQ=="),
            (b"", "application/json", None),
        ],
    )
    async def test_is_by_default_the_content_by_its_type(
        self, server: OtherSide, context: CallContext, content: bytes, media_type: str | None, expected: Any
    ) -> None:
        headers = {"content-type": media_type} if media_type else {}
        assert await call(context, server.at("/a", Response(content, headers=headers))) == expected

    async def test_raw_is_the_body_in_base64(self, server: OtherSide, context: CallContext) -> None:
        url = server.at("/a", {"a": 1})
        assert base64.b64decode(await call(context, url, output="raw")) == b'{"a":1}'

    async def test_response_is_the_whole_exchange(self, server: OtherSide, context: CallContext) -> None:
        url = server.at("/a", JSONResponse({"id": 1}, 201, headers={"X-Answer": "yes"}))
        endpoint = {"uri": url, "authentication": {"basic": {"username": "anna", "password": "secret"}}}
        found = await call(
            context, endpoint, "post", output="response", headers={"X-Ask": "1", "Cookie": "session=secret"}
        )
        assert (found["statusCode"], found["content"], found["headers"]["x-answer"]) == (201, {"id": 1}, "yes")
        assert (found["request"]["method"], found["request"]["uri"]) == ("post", url)
        assert found["request"]["headers"]["X-Ask"] == "1"
        assert server.seen[0].headers["authorization"].startswith("Basic ")
        assert not {"authorization", "cookie"} & {name.lower() for name in found["request"]["headers"]}

    async def test_of_packed_content_is_the_content(self, server: OtherSide, context: CallContext) -> None:
        for encoding, packed in (
            ("gzip", gzip.compress(b"[1]")),
            ("gzip", gzip.compress(b"[") + gzip.compress(b"") + gzip.compress(b"1]") + bytes(100)),
            ("deflate", zlib.compress(b"[1]")),
            ("deflate", zlib.compress(b"[1]")[2:-4]),
        ):
            headers = {"content-encoding": encoding, "content-type": "application/json"}
            assert await call(context, server.at("/a", Response(packed, headers=headers))) == [1]

    @pytest.mark.parametrize(
        "body", [rb'{"a": "\u0000"}', rb'{"\u0000": 1}', b"[" * 40 + b"]" * 40, b"18446744073709551615"]
    )
    async def test_that_no_event_can_hold_is_a_failed_communication(
        self, server: OtherSide, context: CallContext, body: bytes
    ) -> None:
        url = server.at("/a", Response(body, media_type="application/json"))
        with pytest.raises(CallFailed, match="communication 500: The output cannot be recorded"):
            await call(context, url)
        assert await call(context, url, output="raw") == base64.b64encode(body).decode()

    async def test_that_claims_to_be_json_and_is_not_is_a_failed_communication(
        self, server: OtherSide, context: CallContext
    ) -> None:
        url = server.at("/a", Response(b"{", media_type="application/json"))
        with pytest.raises(CallFailed, match="communication 500"):
            await call(context, url)


class TestARedirect:
    async def test_is_an_error_by_default_and_is_not_followed(self, server: OtherSide, context: CallContext) -> None:
        url = server.at("/a", RedirectResponse("/b", 302))
        with pytest.raises(CallFailed, match="communication 302"):
            await call(context, url)
        assert [seen.path for seen in server.seen] == ["/a"]

    async def test_is_the_answer_if_redirection_is_no_error(self, server: OtherSide, context: CallContext) -> None:
        url = server.at("/a", RedirectResponse("/b", 302))
        found = await call(context, url, redirect=True, output="response")
        assert (found["statusCode"], found["headers"]["location"]) == (302, "/b")

    async def test_being_no_error_does_not_make_others_none(self, server: OtherSide, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="communication 404"):
            await call(context, server.url + "/unknown", redirect=True)


class TestAFailure:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
    async def test_has_the_status_of_the_answer(self, server: OtherSide, context: CallContext, status: int) -> None:
        url = server.at("/a", JSONResponse({"reason": "because"}, status))
        with pytest.raises(CallFailed) as failed:
            await call(context, url)
        assert (failed.value.type, failed.value.status) == ("communication", status)
        assert "because" in failed.value.detail

    async def test_gives_no_credentials_away_and_stays_short(self, server: OtherSide, context: CallContext) -> None:
        url = server.at("/a", lambda seen: Response(str(seen.headers) + "x" * 50_000, 500))
        endpoint = {
            "uri": url + "?key=querysecret",
            "authentication": {"basic": {"username": "anna", "password": "hunter22"}},
        }
        with pytest.raises(CallFailed) as failed:
            await call(context, endpoint, headers={"X-Api-Key": "headersecret"})
        detail = failed.value.detail
        assert len(detail) <= 1_000
        assert not any(
            secret in detail for secret in ("hunter22", "headersecret", "querysecret", "YW5uYTpodW50ZXIyMg==")
        )

    async def test_of_what_is_no_uri_quotes_nothing_of_it(self, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="no URI: Invalid port") as failed:
            await call(context, "http://anna:hunter22/x@example.com/")
        assert "hunter22" not in failed.value.detail

    async def test_holds_nothing_that_no_event_can_hold(self, server: OtherSide, context: CallContext) -> None:
        with pytest.raises(CallFailed) as failed:
            await call(context, server.at("/a", Response(b"a\x00b", 500)))
        assert "a\ufffdb" in failed.value.detail

    async def test_to_reach_anybody_is_a_failed_communication(self, server: OtherSide, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="communication 500"):
            await call(context, "http://127.0.0.1:1/")

    async def test_of_an_unknown_function_says_so(self, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="configuration 400"):
            await carry_out("soap", {}, context)
