"""Approvals over HTTP, as a real projector keeps them in a real database."""

from collections.abc import AsyncIterator

import pytest

from infra.settings import Settings
from tests.read_side.test_query_api import World, system
from write_side.approval import CancelApproval, DecideApproval, RequestApproval


@pytest.fixture
async def world(database_url: str, settings: Settings) -> AsyncIterator[World]:
    async with system(database_url, settings) as world:
        yield world


def request(approval_id: str, *people: str, groups: tuple[str, ...] = ()) -> RequestApproval:
    return RequestApproval(approval_id=approval_id, title="Pay", people=people, groups=groups)


async def found(world: World, query: str) -> list[str]:
    return [row["approval_id"] for row in (await world.ask(f"/v1/approvals?{query}"))["data"]]


class TestAnApproval:
    async def test_shows_who_was_asked_and_what_was_decided(self, world: World) -> None:
        await world.do(request("p1", "ada", "bob", groups=("travel desk",)))
        decide = DecideApproval(approval_id="p1", decision="approve", answer={"budget": [1, None]}, comment="Well.")
        await world.do(decide.sent_by("eve", ("travel desk",)))
        row = await world.ask("/v1/approvals/p1")
        assert (row["status"], row["people"], row["groups"]) == ("approved", ["ada", "bob"], ["travel desk"])
        (decision,) = row["decisions"]
        assert (decision["actor"], decision["decision"], decision["comment"]) == ("eve", "approve", "Well.")
        assert row["answer"] == decision["answer"] == {"budget": [1, None]}

    async def test_that_is_not_there_is_not_found(self, world: World) -> None:
        assert (await world.ask("/v1/approvals/p1", status=404))["type"].endswith("/approval-unknown")


class TestTheApprovals:
    async def test_can_be_filtered_by_whom_they_ask(self, world: World) -> None:
        await world.do(request("p1", "ada", "bob"), request("p2", "bob", groups=("travel desk", "staff")))
        await world.do(request("p3", "ada", groups=("staff",)), CancelApproval(approval_id="p3"))
        await world.do(request("p4", "ada"), tenant="other")
        for query, expected in (
            ("person=ada", ["p1", "p3"]),
            ("person=ada&status=requested", ["p1"]),
            ("person=bob&group=staff", ["p2"]),
            ("group=travel%20desk", ["p2"]),
            ("group=travel", []),
            ("person=", []),
            ("person=people", []),
        ):
            assert await found(world, query) == expected, query

    async def test_can_be_read_page_by_page_for_one_person(self, world: World) -> None:
        await world.do(*(request(f"p{number}", "ada" if number % 2 else "bob") for number in range(6)))
        page = await world.ask("/v1/approvals?person=ada&limit=2")
        assert [row["approval_id"] for row in page["data"]] == ["p1", "p3"]
        assert await found(world, f"person=ada&limit=2&cursor={page['next_cursor']}") == ["p5"]
        await world.ask(f"/v1/approvals?person=bob&cursor={page['next_cursor']}", status=404)

    @pytest.mark.parametrize("query", ["people=ada", "person=a&person=b", "group=%00", "status=open"])
    async def test_are_refused_for_a_query_that_is_not_as_documented(self, world: World, query: str) -> None:
        assert (await world.http.get(f"/v1/approvals?{query}")).status_code == 422
