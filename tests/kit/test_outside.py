"""What stands for the world outside answers as the hosts do that it stands for, and remembers what it was asked."""

from collections.abc import Callable

import httpx
import pytest

from tests.kit.outside import Answer, Outside
from tests.kit.routes import CLIENT, CLIENT_SECRET, HTTPBIN, KEYCLOAK, PETS, PETSTORE, REALM, SWAPI, TOKEN

pytestmark = pytest.mark.outside

Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(outside: Outside) -> Ask:
    def send(method: str, origin: str, path: str, **more: object) -> httpx.Response:
        with httpx.Client(trust_env=False) as client:
            return client.request(method, outside.origins[origin] + path, **more)  # type: ignore[arg-type]

    return send


class TestTheWorldOutside:
    def test_tells_hosts_apart_by_where_they_are_asked(self, ask: Ask, outside: Outside) -> None:
        ask("GET", SWAPI, "/api/people/", params={"search": "luke"})
        ask("GET", PETSTORE, "/v2/pet/1")
        assert [asked.url for asked in outside.asked()] == [f"{SWAPI}/api/people/", f"{PETSTORE}/v2/pet/1"]
        assert outside.asked(SWAPI)[0].query == [("search", "luke")]

    def test_has_no_other_routes(self, ask: Ask) -> None:
        answer = ask("GET", PETSTORE, "/v2/pet/getPetByName/Milou")
        assert (answer.status_code, answer.json()["code"]) == (404, 404)
        assert ask("GET", SWAPI, "/v2/pet/1").status_code == 404

    def test_first_answers_what_it_was_told_to(self, ask: Ask, outside: Outside) -> None:
        outside.first(f"{PETSTORE}/v2/pet/1", Answer(503), Answer(500))
        assert [ask("GET", PETSTORE, "/v2/pet/1").status_code for _ in range(3)] == [503, 500, 200]


class TestThePetstore:
    def test_finds_pets_by_their_number_and_their_status(self, ask: Ask) -> None:
        assert ask("GET", PETSTORE, "/v2/pet/1").json() == PETS[1]
        assert ask("GET", PETSTORE, "/v2/pet/3").status_code == 404
        assert ask("GET", PETSTORE, "/v2/pet/findByStatus?status=sold").json() == [PETS[69]]


class TestHttpbin:
    def test_wants_the_name_and_the_password_that_its_path_says(self, ask: Ask) -> None:
        assert ask("GET", HTTPBIN, "/basic-auth/ann/secret", auth=("ann", "secret")).status_code == 200
        assert ask("GET", HTTPBIN, "/basic-auth/ann/secret", auth=("ann", "wrong")).status_code == 401


class TestKeycloak:
    def test_gives_its_token_to_the_client_it_knows(self, ask: Ask) -> None:
        form = {**CLIENT, "client_secret": CLIENT_SECRET}
        assert ask("POST", KEYCLOAK, f"{REALM}/auth/token", data=form).json()["access_token"] == TOKEN
        assert ask("POST", KEYCLOAK, f"{REALM}/auth/token", data=CLIENT).status_code == 401
