"""`call: openapi`: operations of Swagger 2.0 and OpenAPI 3 documents, their parameters and their servers (reference: OpenAPI Call)."""

from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
import yaml
from starlette.responses import JSONResponse, RedirectResponse, Response

from infra.calls.call import CallContext, CallFailed, carry_out
from tests.infra.calls.openapi_documents import NEW, OLD
from tests.infra.calls.other_side import OtherSide, Seen, calling

pytestmark = pytest.mark.outside


def echo(seen: Seen) -> Response:
    return JSONResponse({"path": seen.path, "method": seen.method})


@pytest.fixture
def old(server: OtherSide) -> str:
    for path in ("/v2/pet/findByStatus", "/v2/pet/1", "/v2/pet"):
        server.at(path, echo)
    return server.at("/v2/swagger.json", OLD)


@pytest.fixture
def new(server: OtherSide) -> str:
    for path in ("/v3/api/things/a", "/elsewhere/form", "/v3/api/shared"):
        server.at(path, echo)
    return server.at("/docs/openapi.yaml", Response(yaml.safe_dump(NEW), media_type="text/yaml"))


async def call(context: CallContext, document: Any, operation: str, parameters: Any = None, **more: Any) -> Any:
    arguments = {"document": {"endpoint": document}, "operationId": operation, **more}
    return await carry_out(
        "openapi", arguments | ({"parameters": parameters} if parameters is not None else {}), context
    )


class TestSwagger:
    async def test_writes_queries_and_headers(self, server: OtherSide, context: CallContext, old: str) -> None:
        parameters = {"status": ["sold", "pending"], "tags": ["a", "b"], "pipes": [1, 2], "X-Tenant": "acme"}
        await call(context, old, "findPetsByStatus", parameters)
        seen = server.seen[-1]
        expected = [("status", "sold"), ("status", "pending"), ("tags", "a,b"), ("pipes", "1|2")]
        assert parse_qsl(seen.query) == expected
        assert (seen.path, seen.headers["x-tenant"]) == ("/v2/pet/findByStatus", "acme")

    async def test_takes_a_plain_value_for_a_list(self, server: OtherSide, context: CallContext, old: str) -> None:
        await call(context, old, "findPetsByStatus", {"status": "available"})
        assert server.seen[-1].query == "status=available"

    async def test_writes_paths(self, context: CallContext, old: str) -> None:
        assert await call(context, old, "getPetById", {"petId": 1}) == {"path": "/v2/pet/1", "method": "GET"}

    async def test_writes_forms(self, server: OtherSide, context: CallContext, old: str) -> None:
        await call(context, old, "updatePetWithForm", {"petId": 1, "name": "a b"})
        seen = server.seen[-1]
        assert (seen.body, seen.headers["content-type"]) == (b"name=a+b", "application/x-www-form-urlencoded")

    @pytest.mark.parametrize("parameters", [{"pet": {"name": "a"}}, {"body": {"name": "a"}}, {"name": "a"}])
    async def test_writes_bodies(
        self, server: OtherSide, context: CallContext, old: str, parameters: dict[str, Any]
    ) -> None:
        await call(context, old, "addPet", parameters)
        seen = server.seen[-1]
        assert (seen.json, seen.headers["content-type"]) == ({"name": "a"}, "application/json")
        assert seen.headers["idempotency-key"] == "call-1"

    async def test_goes_to_the_host_of_the_document_by_its_scheme(self, server: OtherSide) -> None:
        document = OLD | {"host": "petstore.example.com", "schemes": ["http", "https"]}
        server.at("/v2/swagger.json", document)
        server.at("/v2/pet/1", echo)
        async with calling(origins={"https://petstore.example.com": server.url}) as context:
            await call(context, "https://petstore.example.com/v2/swagger.json", "getPetById", {"petId": 1})
        assert server.seen[-1].headers["host"] == "petstore.example.com"


class TestOpenApi:
    async def test_writes_each_style(self, server: OtherSide, context: CallContext, new: str) -> None:
        parameters = {
            "ids": "a",
            "limit": 5,
            "many": ["x", "y"],
            "csv": ["x", "y"],
            "piped": ["x", "y"],
            "deep": {"a": 1, "b": True},
            "flat": {"c": 2},
            "filter": {"d": [3]},
            "X-Ids": [1, 2],
            "session": "s 1",
        }
        await call(context, new, "getThings", parameters)
        seen = server.seen[-1]
        assert seen.path == "/v3/api/things/a"
        assert parse_qsl(seen.query) == [
            ("limit", "5"),
            ("many", "x"),
            ("many", "y"),
            ("csv", "x,y"),
            ("piped", "x|y"),
            ("deep[a]", "1"),
            ("deep[b]", "true"),
            ("c", "2"),
            ("filter", '{"d":[3]}'),
        ]
        assert (seen.headers["x-ids"], seen.headers["cookie"]) == ("1,2", "session=s%201")

    async def test_writes_a_value_as_one_part_of_the_path(
        self, server: OtherSide, context: CallContext, new: str
    ) -> None:
        with pytest.raises(CallFailed, match="communication 404"):
            await call(context, new, "getThings", {"ids": ["a/../b?c", "d e"]})
        assert unquote(server.seen[-1].path) == "/v3/api/things/a/../b?c,d e"
        assert server.seen[-1].query == ""

    @pytest.mark.parametrize("value", ["", ".", ".."])
    async def test_lets_no_value_climb_in_the_path(self, context: CallContext, new: str, value: str) -> None:
        with pytest.raises(CallFailed, match="validation 400"):
            await call(context, new, "getThings", {"ids": value})

    async def test_writes_a_value_wherever_its_name_is_declared(
        self, server: OtherSide, context: CallContext, new: str
    ) -> None:
        server.at("/v3/api/things/a/copies", echo)
        await call(context, new, "copyThing", {"id": "a", "name": "n"})
        seen = server.seen[-1]
        assert (seen.path, seen.query, seen.headers["id"]) == ("/v3/api/things/a/copies", "id=a", "a")
        assert seen.json == {"name": "n"}

    async def test_makes_the_body_of_what_is_not_declared(
        self, server: OtherSide, context: CallContext, new: str
    ) -> None:
        await call(context, new, "putThing", {"ids": "a", "name": "n", "size": 2})
        assert (server.seen[-1].method, server.seen[-1].json) == ("PUT", {"name": "n", "size": 2})

    async def test_takes_the_whole_body_as_one(self, server: OtherSide, context: CallContext, new: str) -> None:
        await call(context, new, "putThing", {"ids": "a", "body": [1, 2]})
        assert server.seen[-1].json == [1, 2]

    async def test_writes_forms_at_the_paths_own_server(
        self, server: OtherSide, context: CallContext, new: str
    ) -> None:
        await call(context, new, "sendForm", {"a": "b c", "d": [1, 2]})
        assert (server.seen[-1].path, server.seen[-1].body) == ("/elsewhere/form", b"a=b+c&d=1&d=2")

    async def test_finds_what_the_document_only_refers_to(self, context: CallContext, new: str) -> None:
        assert await call(context, new, "shared") == {"path": "/v3/api/shared", "method": "GET"}

    async def test_gives_the_output_that_is_asked_for(self, context: CallContext, new: str) -> None:
        found = await call(context, new, "shared", output="response")
        assert (found["statusCode"], found["content"]["path"]) == (200, "/v3/api/shared")

    async def test_authenticates_the_operation(self, server: OtherSide, context: CallContext, new: str) -> None:
        await call(context, new, "shared", authentication={"bearer": {"token": "t1"}})
        assert server.seen[-1].headers["authorization"] == "Bearer t1"
        assert "authorization" not in server.seen[0].headers


class TestTheDocument:
    async def test_is_fetched_once(self, server: OtherSide, context: CallContext, new: str) -> None:
        for _ in range(3):
            await call(context, new, "shared")
        assert [seen.path for seen in server.seen].count("/docs/openapi.yaml") == 1

    async def test_is_fetched_anew_with_other_credentials(
        self, server: OtherSide, context: CallContext, new: str
    ) -> None:
        for token in ("t1", "t2"):
            endpoint = {"uri": new, "authentication": {"bearer": {"token": token}}}
            await call(context, endpoint, "shared")
        fetched = [seen for seen in server.seen if seen.path == "/docs/openapi.yaml"]
        assert [seen.headers["authorization"] for seen in fetched] == ["Bearer t1", "Bearer t2"]

    async def test_is_fetched_where_it_moved_to(self, server: OtherSide, context: CallContext, new: str) -> None:
        moved = server.at("/old", RedirectResponse("/docs/openapi.yaml"))
        assert (await call(context, moved, "shared"))["method"] == "GET"

    async def test_takes_no_credentials_along_when_it_moved_elsewhere(self, server: OtherSide, new: str) -> None:
        server.at("/old", RedirectResponse("http://two.example.com/docs/openapi.yaml"))
        async with calling(origins={f"http://{name}.example.com": server.url for name in ("one", "two")}) as context:
            endpoint = {"uri": "http://one.example.com/old", "authentication": {"bearer": {"token": "t1"}}}
            await call(context, endpoint, "shared")
        assert ["authorization" in seen.headers for seen in server.seen] == [True, False, False]

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"openapi": "4.0.0", "paths": {}},
            {"openapi": "3.0.0", "paths": {"/a": {"$ref": "#/paths/~1a"}}},
            {"openapi": "3.0.0", "paths": {"/a": {"$ref": "other.yaml#/a"}}},
            {"openapi": "3.0.0", "paths": []},
            {"swagger": "2.0", "host": "a:port", "paths": {"/a": {"get": {"operationId": "a"}}}},
            [],
        ],
    )
    async def test_that_cannot_be_used_is_a_matter_of_configuration(
        self, server: OtherSide, context: CallContext, document: Any
    ) -> None:
        with pytest.raises(CallFailed, match="configuration 400"):
            await call(context, server.at("/d.json", document), "a")

    async def test_that_cannot_be_read_is_a_matter_of_configuration(
        self, server: OtherSide, context: CallContext
    ) -> None:
        with pytest.raises(CallFailed, match="configuration 400"):
            await call(context, server.at("/d.json", Response(b"{broken")), "a")

    async def test_that_is_not_there_is_a_failed_communication(self, server: OtherSide, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="communication 404"):
            await call(context, server.url + "/unknown", "a")


class TestTheArguments:
    @pytest.mark.parametrize(
        ("operation", "parameters"),
        [
            ("findPetsByStatus", {}),
            ("getPetById", {}),
            ("addPet", {}),
            ("getPetById", {"petId": 1, "unknown": 2}),
        ],
    )
    async def test_that_do_not_fit_are_not_valid(
        self, server: OtherSide, context: CallContext, old: str, operation: str, parameters: dict[str, Any]
    ) -> None:
        with pytest.raises(CallFailed, match="validation 400"):
            await call(context, old, operation, parameters)
        assert [seen.path for seen in server.seen] == ["/v2/swagger.json"]

    async def test_that_name_an_unknown_operation_are_a_matter_of_configuration(
        self, context: CallContext, old: str
    ) -> None:
        with pytest.raises(CallFailed, match="configuration 400"):
            await call(context, old, "unknown")

    async def test_say_whether_redirection_is_an_error(self, server: OtherSide, context: CallContext, new: str) -> None:
        server.at("/v3/api/shared", RedirectResponse("/b"))
        with pytest.raises(CallFailed, match="communication 307"):
            await call(context, new, "shared")
        assert await call(context, new, "shared", redirect=True) is None
