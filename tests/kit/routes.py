"""What the hosts of the kit and the examples answer: these routes and no others."""

import base64
from typing import Any

from tests.infra.calls.grpc_server import PROTO
from tests.kit.outside import Answer, Asked, Route

PETSTORE, HTTPBIN, SWAPI = "https://petstore.swagger.io", "https://httpbin.org", "https://swapi.dev"
KEYCLOAK, REALM = "http://keycloak", "/realms/fake-authority"
HOSPITAL, NURSES, CHAT = "https://fake-hospital.com", "https://hospital.example.com", "https://fake-chat-api.com"
CASINO, RACE, FAKE = "https://superbet-casinos.com", "https://virtual-wf-powered-race.com", "https://fake.com"
EXAMPLE, SERVICE = "https://example.com", "https://external-service.example.com"
FILES, GREETER = "file://app", "grpc://localhost:5011"
CATALOG = "https://raw.githubusercontent.com"

CLIENT = {"grant_type": "client_credentials", "client_id": "workflow-runtime-id"}
CLIENT_SECRET, TOKEN = "workflow-runtime-secret", "a-token-from-keycloak"
TOKEN_OF_OIDC = "a-token-by-discovery"
DOCTOR_DELAY_S = 5.0

SECRETS = {
    "mySecret": {
        "authority": KEYCLOAK + REALM,
        "grant": "client_credentials",
        "client": {"id": CLIENT["client_id"], "secret": CLIENT_SECRET},
    }
}
"""What the examples keep secret."""

PETS: dict[int, dict[str, Any]] = {
    number: {"id": number, "name": name, "status": status, "photoUrls": [], "tags": []}
    for number, name, status in ((1, "milou", "available"), (2, "idefix", "available"), (69, "rantanplan", "sold"))
}
"""The petstore's pets."""

SWAGGER: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "Petstore", "version": "1.0.7"},
    "host": "petstore.swagger.io",
    "basePath": "/v2",
    "schemes": ["https", "http"],
    "paths": {
        "/pet/findByStatus": {
            "get": {
                "operationId": "findPetsByStatus",
                "produces": ["application/json"],
                "parameters": [
                    {
                        "name": "status",
                        "in": "query",
                        "required": True,
                        "type": "array",
                        "items": {"type": "string", "enum": ["available", "pending", "sold"]},
                        "collectionFormat": "multi",
                    }
                ],
                "responses": {"200": {"description": "the pets of that status"}},
            }
        },
        "/pet/{petId}": {
            "get": {
                "operationId": "getPetById",
                "produces": ["application/json"],
                "parameters": [{"name": "petId", "in": "path", "required": True, "type": "integer"}],
                "responses": {"200": {"description": "the pet"}, "404": {"description": "there is no such pet"}},
            }
        },
    },
}
"""How the petstore describes what is used of it."""

LUKE = {"name": "Luke Skywalker", "homeworld": f"{SWAPI}/api/planets/1/"}
TATOOINE = {"name": "Tatooine", "climate": "arid"}

LOG_FUNCTION = b"""
input:
  schema:
    document: {type: object, required: [message, level]}
set:
  logged: '${ "[" + .level + "] " + .message }'
"""
"""A function of a catalog, as a task."""


def asyncapi(version: str, nats_url: str) -> dict[str, Any]:
    """A document of fake.com, in AsyncAPI 2.6.0 or 3.0.0: notifications to take, and pets to be looked for."""
    host = nats_url.removeprefix("nats://")
    about = {"title": "Fake", "version": "1.0.0"}
    if version.startswith("2"):
        server = {"url": nats_url, "protocol": "nats"}
        channel = {"subscribe": {"operationId": "getNotifications"}}
        return {
            "asyncapi": version,
            "info": about,
            "servers": {"staging": server},
            "channels": {"/notifications": channel},
        }
    return {
        "asyncapi": version,
        "info": about,
        "servers": {"staging": {"host": host, "protocol": "nats"}},
        "channels": {"notifications": {"address": "fake.notifications"}, "pets": {"address": "fake.pets"}},
        "operations": {
            "getNotifications": {"action": "receive", "channel": {"$ref": "#/channels/notifications"}},
            "findPetsByStatus": {"action": "send", "channel": {"$ref": "#/channels/pets"}},
        },
    }


def _pet(asked: Asked, number: str) -> Answer:
    found = PETS.get(int(number))
    return Answer(200, found) if found else Answer(404, {"code": 1, "type": "error", "message": "Pet not found"})


def _pets_of(asked: Asked) -> Answer:
    wanted = {value for name, value in asked.query if name == "status"}
    return Answer(200, [pet for pet in PETS.values() if pet["status"] in wanted])


def _echo(asked: Asked, **_: str) -> Answer:
    return Answer(200, asked.body)


def _accepted(asked: Asked, **_: str) -> Answer:
    return Answer(202, {"accepted": asked.path})


def _basic(asked: Asked, user: str, password: str) -> Answer:
    wanted = base64.b64encode(f"{user}:{password}".encode()).decode()
    if asked.headers.get("authorization") != f"Basic {wanted}":
        return Answer(401, headers={"www-authenticate": 'Basic realm="Fake Realm"'})
    return Answer(200, {"authenticated": True, "user": user})


def _people(asked: Asked) -> Answer:
    wanted = dict(asked.query).get("search", "").lower()
    found = [person for person in (LUKE,) if wanted in person["name"].lower()]
    return Answer(200, {"count": len(found), "next": None, "previous": None, "results": found})


def _is_client(asked: Asked) -> bool:
    """Whether the client says who it is as it does by default: in the form itself."""
    body = asked.body if isinstance(asked.body, dict) else {}
    return CLIENT.items() <= body.items() and body.get("client_secret") == CLIENT_SECRET


def _token(token: str) -> dict[str, Any]:
    return {"access_token": token, "token_type": "Bearer", "expires_in": 300}


def _oauth2_token(asked: Asked, **_: str) -> Answer:
    return Answer(200, _token(TOKEN)) if _is_client(asked) else Answer(401, {"error": "invalid_client"})


def _oidc_token(asked: Asked) -> Answer:
    return Answer(200, _token(TOKEN_OF_OIDC)) if _is_client(asked) else Answer(401, {"error": "invalid_client"})


def _discovery(asked: Asked) -> Answer:
    authority = KEYCLOAK + REALM
    return Answer(200, {"issuer": authority, "token_endpoint": f"{authority}/protocol/openid-connect/token"})


ROUTES = (
    Route(PETSTORE, "GET", r"/v2/swagger\.json", lambda _: Answer(200, SWAGGER)),
    Route(PETSTORE, "GET", r"/v2/pet/findByStatus", _pets_of),
    Route(PETSTORE, "GET", r"/v2/pet/(?P<number>\d+)", _pet),
    Route(PETSTORE, "PUT", r"/v2/pet/(?P<number>\d*)", _echo),
    Route(HTTPBIN, "GET", r"/basic-auth/(?P<user>[^/]+)/(?P<password>[^/]+)", _basic),
    Route(SWAPI, "GET", r"/api/people/", _people),
    Route(SWAPI, "GET", r"/api/people/1/?", lambda _: Answer(200, LUKE)),
    Route(SWAPI, "GET", r"/api/planets/1/", lambda _: Answer(200, TATOOINE)),
    # The reference calls the endpoint relative to the authority, and does not say whether its path or its host is meant.
    Route(KEYCLOAK, "POST", rf"({REALM})?/(auth|oauth2)/token", _oauth2_token),
    Route(KEYCLOAK, "GET", rf"{REALM}/\.well-known/openid-configuration", _discovery),
    Route(KEYCLOAK, "POST", rf"{REALM}/protocol/openid-connect/token", _oidc_token),
    Route(CASINO, "POST", r"/api/bet/on/football", _echo),
    Route(HOSPITAL, "PUT", r"/api/v3/alert/nurses", lambda _: Answer(200, {"comes": "nurse"})),
    Route(HOSPITAL, "PUT", r"/api/v3/alert/doctor", lambda _: Answer(200, {"comes": "doctor"}, delay_s=DOCTOR_DELAY_S)),
    Route(NURSES, "POST", r"/api/v1/notify", _accepted),
    Route(CHAT, "POST", r"/room/(?P<room>[^/]+)", _accepted),
    Route(RACE, "POST", r"/api/v4/cars/(?P<car>[^/]*)/start", _accepted),
    Route(FAKE, "GET", r"/sample", lambda _: Answer(200, {"sample": True})),
    # Its answer is given beforehand: which version of AsyncAPI it speaks differs from test to test.
    Route(FAKE, "GET", r"/docs/asyncapi\.json", lambda _: Answer(503)),
    Route(EXAMPLE, "POST", r"/api/v1/backup/start", _accepted),
    Route(FILES, "GET", r"/greet\.proto", lambda _: Answer(200, PROTO.encode(), {"content-type": "text/plain"})),
    Route(SERVICE, "GET", r"/api", lambda _: Answer(503, {"message": "not now"})),
    Route(
        CATALOG,
        "GET",
        r"/serverlessworkflow/catalog/(refs/heads/)?main/functions/log/1\.0\.0/function\.yaml",
        lambda _: Answer(200, LOG_FUNCTION, {"content-type": "application/yaml"}),
    ),
)
