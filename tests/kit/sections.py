"""The specification, section by section: which test covers which of its statements, and which statements no test covers yet.

A statement is one that says must, should or may not, or what holds where nothing is said. Where a file alone is named, the
statement is a case in its table. Sections are those of dsl-reference.md and, behind them, of dsl.md.
"""

from tests.kit.sections_of_lifecycle import LIFECYCLE
from tests.kit.sections_of_parts import PARTS
from tests.kit.sections_of_tasks import TASKS

SECTIONS: dict[str, dict[str, str]] = {**TASKS, **PARTS, **LIFECYCLE}

UNCOVERED: dict[str, dict[str, None]] = {
    "Workflow": {
        "the workflow in a run is the one that was registered, by namespace, name and version": None,
    },
    "Schedule": {
        "cron starts runs at the times that it says": None,
        "read: raw hands over the raw data": None,
    },
    "Call": {
        "each of the functions of the language can be called, or its definition is refused": None,
    },
    "AsyncAPI Call": {
        "the first server that fits the channel is the default": None,
        "the protocol chooses the server, and is ignored beside server": None,
        "channel and message publish, channel and subscription subscribe, in a document of 2.6": None,
    },
    "A2A Call": {
        "the server is required without a card": None,
        "message/stream and tasks/resubscribe yield a list of all results": None,
    },
    "MCP Call": {
        "a call that takes too long fails": None,
    },
    "Listen": {
        "read: raw yields the raw data": None,
    },
    "Container Process": {
        "an image is pulled if it is not there by default": None,
        "stdin, command, arguments and environment reach the container": None,
    },
    "OAUTH2 Authentication": {
        "a client may be authenticated by a JWT, and the grants refresh_token and token-exchange are asked for": None,
        "a token of an issuer that is not listed is refused": None,
        "/oauth2/token, /oauth2/revoke and /oauth2/introspect are the default paths": None,
    },
    "OAUTH2 Token": {
        "subject and actor are sent with their types": None,
    },
    "OpenIdConnect Authentication": {
        "the other grants, ways to authenticate a client and encodings are sent as they are asked for": None,
    },
    "Retry Limit": {
        "the duration of attempts bounds them": None,
    },
    "Schema": {
        "json is the format that is supported": None,
    },
    "Container Lifetime": {
        "a container is never deleted by default": None,
        "always deletes it at once, eventually after its time": None,
    },
    "AsyncAPI Inbound Message": {
        "a message has its headers and its correlation id": None,
    },
    "AsyncAPI Subscription": {
        "what is done with a message is done before the next one is looked at": None,
    },
    "AsyncAPI Subscription Lifetime": {
        "amount ends the subscription": None,
        "for ends the subscription": None,
    },
    "MCP HTTP Transport": {
        "headers go with every request": None,
    },
    "Distinguishing event-driven scheduling from start `listen` Tasks": {
        "a fault of a schedule is no fault of a run": None,
    },
    "Runtime Expressions": {
        "what comes with an input is never evaluated, also as a regular expression or an address": None,
    },
    "Runtime expression arguments": {
        "$secrets is at hand in input.from": None,
        "$authorization is the scheme and the parameter that a call was made with": None,
    },
    "Default Catalog": {
        "name:version@default is found in what the runtime knows": None,
    },
}
"""What nobody tests yet."""

UNCOVERED_MAX = 32
"""It only ever shrinks."""
