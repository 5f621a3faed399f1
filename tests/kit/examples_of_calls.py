"""Examples that call somebody: HTTP with every authentication, OpenAPI, AsyncAPI, gRPC, MCP, and functions."""

from tests.kit.example import Ask, Own, Plays, Said
from tests.kit.routes import CATALOG, FAKE, FILES, LUKE, PETS, PETSTORE, SWAPI, TATOOINE, TOKEN, TOKEN_OF_OIDC

AVAILABLE = [pet for pet in PETS.values() if pet["status"] == "available"]
FOUND = {"count": 1, "next": None, "previous": None, "results": [LUKE]}


def _pet(number: int, **headers: str) -> Ask:
    return Ask("GET", f"{PETSTORE}/v2/pet/{number}", headers=headers)


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


CALLS: dict[str, Said] = {
    "authentication-bearer": Plays({"token": "t0"}, output=PETS[1], asks=(_pet(1, **_bearer("t0")),)),
    "authentication-bearer-uri-format": Plays(
        {"petId": 2, "token": "t0"}, output=PETS[2], asks=(_pet(2, **_bearer("t0")),)
    ),
    "authentication-oauth2": Plays({"petId": 1}, output=PETS[1], asks=(_pet(1, **_bearer(TOKEN)),)),
    "authentication-oauth2-secret": Plays({"petId": 1}, output=PETS[1], asks=(_pet(1, **_bearer(TOKEN)),)),
    "authentication-oidc": Plays({"petId": 1}, output=PETS[1], asks=(_pet(1, **_bearer(TOKEN_OF_OIDC)),)),
    "authentication-oidc-secret": Plays({"petId": 1}, output=PETS[1], asks=(_pet(1, **_bearer(TOKEN_OF_OIDC)),)),
    "authentication-reusable": Plays({"petId": 69, "token": "t0"}, output=PETS[69], asks=(_pet(69, **_bearer("t0")),)),
    "call-asyncapi-publish": Own("test_publishes_the_pet"),
    "call-asyncapi-subscribe-consume-amount": Own("test_takes_five_messages"),
    "call-asyncapi-subscribe-consume-forever-foreach": Own("test_passes_on_each_message_for_ever"),
    "call-asyncapi-subscribe-consume-until": Own("test_takes_messages_until_there_are_five"),
    "call-asyncapi-subscribe-consume-while": Own("test_takes_messages_while_there_are_less_than_five"),
    "call-custom-function-cataloged": Plays(
        output={"logged": "[information] Hello, world!"},
        asks=(Ask("GET", f"{CATALOG}/serverlessworkflow/catalog/main/functions/log/1.0.0/function.yaml"),),
    ),
    "call-custom-function-inline": Plays(output=PETS[69], asks=(_pet(69),)),
    "call-grpc": Plays(
        {"user": {"preferredDisplayName": "Ann"}},
        output={"message": "Hello, Ann!"},
        asks=(Ask("GET", f"{FILES}/greet.proto"),),
    ),
    "call-http-endpoint-interpolation": Plays(
        {"petId": 1}, output=PETS[1], asks=(_pet(1, **{"content-type": "application/json"}),)
    ),
    "call-http-endpoint-interpolation-shorthand": Plays({"petId": 1}, output=PETS[1], asks=(_pet(1),)),
    "call-http-query-headers-expressions": Plays(
        {"searchQuery": "luke"},
        output=FOUND,
        asks=(Ask("GET", f"{SWAPI}/api/people/", {"search": "luke"}, {"accept": "application/json"}),),
    ),
    "call-http-query-parameters": Plays(
        {"searchQuery": "luke"}, output=FOUND, asks=(Ask("GET", f"{SWAPI}/api/people/", {"search": "luke"}),)
    ),
    "call-http-redirect": Plays(
        {"searchQuery": "luke"}, output=FOUND, asks=(Ask("GET", f"{SWAPI}/api/people/", {"search": "luke"}),)
    ),
    "call-mcp": Plays(output={"content": [{"type": "text", "text": "C1234567890: Hello, world! :wave:"}]}),
    "call-openapi": Plays(
        output=AVAILABLE, asks=(Ask("GET", f"{PETSTORE}/v2/pet/findByStatus", {"status": "available"}),)
    ),
    "call-openapi-redirect": Plays(
        output=AVAILABLE, asks=(Ask("GET", f"{PETSTORE}/v2/pet/findByStatus", {"status": "available"}),)
    ),
    # The second task is given a pet, which has no `petId`: nothing stands in its place.
    "do-multiple": Plays(
        {"petId": 1},
        output={**PETS[1], "status": "sold"},
        asks=(_pet(1), Ask("PUT", f"{PETSTORE}/v2/pet/", body={**PETS[1], "status": "sold"})),
    ),
    "do-single": Plays({"petId": 1}, output=PETS[1], asks=(_pet(1),)),
    # Its extension is for another host, and would ask for members that the description of a task does not have.
    "mock-service-extension": Plays(output={"sample": True}, asks=(Ask("GET", f"{FAKE}/sample"),)),
    "star-wars-homeworld": Plays(
        {"id": 1},
        output=TATOOINE,
        asks=(Ask("GET", f"{SWAPI}/api/people/1"), Ask("GET", f"{SWAPI}/api/planets/1/")),
    ),
}
