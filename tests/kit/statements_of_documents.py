"""Statements of the reference about what lies elsewhere: functions by their address and of catalogs, schemas, and who asks for them."""

import base64

from tests.kit.example import Ask, Plays, Statement
from tests.kit.routes_of_statements import GITHUB_RAW, HERE
from tests.write_side.dsl_case import STANDARD

FUNCTION = "functions/double/1.0.0/function.yaml"
BASIC = "Basic " + base64.b64encode(b"ann:s3cret").decode()
WHO = "{basic: {username: ann, password: s3cret}}"
TWICE = {"twice": 8}


def call(function: str) -> str:
    return f"do: [{{c: {{call: '{function}', with: {{n: 4}}}}}}]"


def catalog(endpoint: str, more: str = "") -> str:
    return f"use: {{catalogs: {{ours: {{endpoint: {endpoint}}}}}{more}}}\n" + call("double:1.0.0@ours")


def checked(part: str, address: str = f"{HERE}/schema.json") -> str:
    return f"do: [{{a: {{{part}: {{schema: {{resource: {{endpoint: '{address}'}}}}}}, set: {{x: 1}}}}}}]"


def failed(status: int, type_: str | None = None) -> dict[str, object]:
    found: dict[str, object] = {"status": status, "instance": "/do/0/c"}
    return found if type_ is None else {**found, "type": STANDARD + type_}


STATEMENTS = (
    Statement(
        "Using a Custom Function",
        "a function is called by its address",
        call(f"{HERE}/catalog/{FUNCTION}"),
        Plays(output=TWICE, asks=(Ask("GET", f"{HERE}/catalog/{FUNCTION}"),)),
    ),
    Statement(
        "Using Cataloged Functions",
        "a function of a catalog is called by its name, its version and the catalog",
        catalog(f"'{HERE}/catalog'"),
        Plays(output=TWICE, asks=(Ask("GET", f"{HERE}/catalog/{FUNCTION}"),)),
    ),
    Statement(
        "File Structure",
        "the raw document of a function is fetched from a catalog on GitHub",
        catalog("'https://github.com/kit/catalog/tree/main'"),
        Plays(output=TWICE, asks=(Ask("GET", f"{GITHUB_RAW}/kit/catalog/refs/heads/main/{FUNCTION}"),)),
    ),
    Statement(
        "Default Catalog",
        "a catalog called default takes the place of the runtime's own",
        f"use: {{catalogs: {{default: {{endpoint: '{HERE}/catalog'}}}}}}\n" + call("double:1.0.0@default"),
        Plays(output=TWICE),
    ),
    Statement(
        "Catalog",
        "a catalog is asked with the authentication of its endpoint",
        catalog(f"{{uri: '{HERE}/catalog', authentication: {WHO}}}"),
        Plays(output=TWICE, asks=(Ask("GET", f"{HERE}/catalog/{FUNCTION}", headers={"authorization": BASIC}),)),
    ),
    Statement(
        "Catalog",
        "a catalog may be asked with a policy that is declared",
        catalog(f"{{uri: '{HERE}/catalog', authentication: {{use: staff}}}}", f", authentications: {{staff: {WHO}}}"),
        Plays(output=TWICE, asks=(Ask("GET", f"{HERE}/catalog/{FUNCTION}", headers={"authorization": BASIC}),)),
    ),
    Statement(
        "Catalog",
        "a function that is not there is an error of the task",
        call(f"{HERE}/status/404"),
        Plays(error=failed(404)),
    ),
    Statement(
        "Catalog",
        "what is no document is an error of configuration",
        call(f"{HERE}/bytes"),
        Plays(error=failed(400, "configuration")),
    ),
    Statement(
        "Catalog",
        "what is no function is an error of configuration",
        call(f"{HERE}/schema.json"),
        Plays(error=failed(400, "configuration")),
    ),
    Statement(
        "Catalog",
        "nothing is fetched from an address that calls may not reach",
        call("http://169.254.169.254/function.yaml"),
        Plays(error=failed(403, "authorization")),
    ),
    Statement(
        "Schema",
        "data is checked by a schema that lies elsewhere",
        checked("input"),
        Plays({"n": 1}, error={"type": f"{STANDARD}validation", "status": 400, "instance": "/do/0/a"}),
    ),
    Statement(
        "Schema",
        "data that is as a schema elsewhere says is taken",
        checked("input"),
        Plays({"id": 1}, output={"x": 1}, asks=(Ask("GET", f"{HERE}/schema.json"),)),
    ),
    Statement(
        "Schema",
        "the workflow's own input is checked by a schema that lies elsewhere",
        f"input: {{schema: {{resource: {{endpoint: '{HERE}/schema.json'}}}}}}\ndo: [{{a: {{set: {{x: 1}}}}}}]",
        Plays({"n": 1}, error={"type": f"{STANDARD}validation", "status": 400, "instance": "/"}),
    ),
    Statement(
        "External Resource",
        "is fetched with the authentication of its endpoint",
        "do: [{a: {output: {schema: {resource: {endpoint: "
        f"{{uri: '{HERE}/schema.json', authentication: {WHO}}}}}}}}}, set: {{id: 1}}}}}}]",
        Plays(output={"id": 1}, asks=(Ask("GET", f"{HERE}/schema.json", headers={"authorization": BASIC}),)),
    ),
)
