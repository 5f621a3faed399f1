"""The application under every HTTP API: finding routes, reading bodies, answering what goes wrong."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest

from infra.adapters.problem import Malformed, of_validation, pointer, problem
from infra.adapters.web import Application, Route
from infra.adapters.web_metrics import WebMetrics
from infra.adapters.web_request import Answer, Request, Stream
from infra.errors import Fault, Rejection, StoreUnavailable
from infra.telemetry import new_registry

SECRET = "user data that must not be in a log"


class TeapotRefuses(Rejection):
    """A teapot does not brew coffee."""

    status = 418


async def hello(request: Request) -> Answer:
    return Answer(200, f'"{request.parameter}"'.encode())


async def echo(request: Request) -> Answer:
    request.require_media_type(b"application/json")
    return Answer(200, await request.body(1_000))


async def refuse(_: Request) -> Answer:
    raise TeapotRefuses(pot="brown", status="never")


async def fail(_: Request) -> Answer:
    raise StoreUnavailable("The event store cannot be reached.")


async def break_down(request: Request) -> Answer:
    await request.body(1_000)
    raise ValueError("unforeseen")


async def count(_: Request) -> Stream:
    async def parts() -> AsyncGenerator[bytes, None]:
        yield b"two "
        yield b"three"

    return Stream(b"one ", parts(), b"text/plain")


ROUTES = [
    Route("GET", "/hello", hello),
    Route("GET", "/hello/{name}", hello),
    Route("POST", "/hello/{name}", echo),
    Route("POST", "/hello/{name}/echo", echo),
    Route("GET", "/refuse", refuse),
    Route("GET", "/fail", fail),
    Route("POST", "/break-down", break_down),
    Route("GET", "/count", count),
]


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Application(ROUTES, WebMetrics(new_registry())))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield http


class TestARoute:
    async def test_is_found_by_its_path(self, http: httpx.AsyncClient) -> None:
        assert (await http.get("/hello")).json() == ""

    async def test_gets_the_open_part_of_its_path(self, http: httpx.AsyncClient) -> None:
        assert (await http.get("/hello/a%20b")).json() == "a b"

    async def test_does_not_take_a_longer_or_shorter_path(self, http: httpx.AsyncClient) -> None:
        for path in ("/hello/a/b", "/hello/a/echo/", "/hell", "/"):
            answer = await http.post(path)
            assert (answer.status_code, answer.json()["title"]) == (404, "There is nothing at this path.")
            assert "/openapi.json" in answer.json()["detail"]

    async def test_answers_head_where_it_answers_get(self, http: httpx.AsyncClient) -> None:
        assert (await http.head("/hello")).status_code == 200

    async def test_names_the_methods_that_it_takes(self, http: httpx.AsyncClient) -> None:
        answer = await http.put("/hello/a")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST, HEAD")
        assert answer.json()["detail"] == "This path takes only GET, POST, HEAD."
        assert answer.json()["title"] == "This path does not take that method."
        assert (await http.get("/break-down")).json()["detail"] == "This path takes only POST."

    async def test_may_answer_with_a_stream(self, http: httpx.AsyncClient) -> None:
        assert (await http.get("/count")).text == "one two three"
        assert (await http.head("/count")).text == ""


class TestABody:
    async def test_may_be_as_large_as_the_bound(self, http: httpx.AsyncClient) -> None:
        headers = {"content-type": "application/json"}
        assert (await http.post("/hello/a/echo", content=b"x" * 1_000, headers=headers)).status_code == 200
        assert (await http.post("/hello/a/echo", content=b"x" * 1_001, headers=headers)).status_code == 413

    async def test_may_come_in_parts(self, http: httpx.AsyncClient) -> None:
        async def parts() -> AsyncIterator[bytes]:
            yield b"[1,"
            yield b"2]"

        headers = {"content-type": "application/json"}
        assert (await http.post("/hello/a/echo", content=parts(), headers=headers)).json() == [1, 2]

    async def test_that_ends_early_is_malformed(self) -> None:
        messages = [{"type": "http.request", "body": b"[1", "more_body": True}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return messages.pop(0)

        with pytest.raises(Malformed):
            await Request({"headers": []}, receive, "").body(1_000)


class TestWhatGoesWrong:
    async def test_by_the_rules_is_answered_with_its_status_and_details(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/refuse")
        assert answer.status_code == 418
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json() == {
            "type": "https://foldwork.dev/problems/teapot-refuses",
            "title": "A teapot does not brew coffee.",
            "status": 418,
            "detail": "A teapot does not brew coffee.",
            "instance": "/refuse",
            "pot": "brown",
        }

    async def test_with_the_machine_is_to_be_tried_again(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/fail")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["detail"] == "The event store cannot be reached."

    async def test_unforeseen_tells_the_log_but_not_the_client(
        self, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = await http.post("/break-down", content=SECRET.encode())
        assert answer.status_code == 500
        assert "unforeseen" not in answer.text
        assert SECRET not in caplog.text
        assert not [line for line in caplog.records if SECRET in str(line.msg)]

    async def test_at_an_odd_path_is_named_in_ascii(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/%F0%9F%92%A9?x=1")
        assert answer.json()["instance"] == "/%F0%9F%92%A9"

    async def test_is_logged_only_if_it_is_a_breakdown(
        self, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        for path in ("/refuse", "/nowhere"):
            await http.get(path)
        assert [line for line in caplog.records if line.levelno >= logging.WARNING] == []


class TestAProblem:
    def test_is_named_after_the_error(self) -> None:
        class OutOfCoffee(Fault):
            """There is no coffee.

            More is on its way.
            """

        document = problem(OutOfCoffee())
        assert (document["type"], document["title"]) == (
            "https://foldwork.dev/problems/out-of-coffee",
            "There is no coffee.",
        )

    def test_points_into_the_body(self) -> None:
        assert pointer(("a", 0, "b/c", "~", "[key]")) == "/a/0/b~1c/~0"

    def test_of_many_fields_lists_only_so_many(self) -> None:
        from pydantic import TypeAdapter, ValidationError

        with pytest.raises(ValidationError) as wrong:
            TypeAdapter(list[int]).validate_python(["x"] * 500)
        assert len(of_validation(wrong.value).details["errors"]) == 100


class TestTheMetrics:
    async def test_count_requests_by_route_and_time_them(self) -> None:
        registry = new_registry()
        transport = httpx.ASGITransport(Application(ROUTES, WebMetrics(registry)))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            for path in ("/hello/a", "/hello/b", "/nowhere", "/elsewhere"):
                await http.get(path)
            await http.request("BREW", "/hello")
        requests = "foldwork_http_requests_total"
        assert registry.get_sample_value(requests, {"method": "GET", "route": "/hello/{name}", "status": "200"}) == 2
        assert registry.get_sample_value(requests, {"method": "GET", "route": "unmatched", "status": "404"}) == 2
        assert registry.get_sample_value(requests, {"method": "other", "route": "/hello", "status": "405"}) == 1
        assert registry.get_sample_value("foldwork_http_request_seconds_count", {"route": "/hello/{name}"}) == 2
        assert registry.get_sample_value("foldwork_http_request_seconds_bucket", {"route": "/hello", "le": "+Inf"}) == 1


class TestAnApplication:
    async def test_starts_and_stops_under_any_server(self) -> None:
        steps = ["lifespan.startup", "lifespan.shutdown"]
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": steps.pop(0)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        application = Application(ROUTES, WebMetrics(new_registry()))
        await asyncio.wait_for(application({"type": "lifespan"}, receive, send), 1)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
