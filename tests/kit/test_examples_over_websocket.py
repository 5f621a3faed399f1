"""The example that takes messages over WebSocket."""

from typing import Any

import orjson
import pytest

from tests.infra.calls.websocket_server import WebSocketServer, says
from tests.kit.outside import Answer, Outside
from tests.kit.playing import begin
from tests.kit.routes import FAKE
from tests.kit.system import Workflows

pytestmark = [pytest.mark.data, pytest.mark.servers]

CONTACT = {"firstName": "Ann", "lastName": "Lee"}
USER = "u1"


def message(n: int, **other: Any) -> dict[str, Any]:
    return {"to": USER, "from": CONTACT, "n": n, **other}


def document(address: str) -> dict[str, Any]:
    """The one of fake.com: whom a notification is for is what it is correlated by."""
    notification = {"correlationId": {"location": "$message.payload#/to"}}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Fake", "version": "1.0.0"},
        "servers": {
            "other": {"host": "kafka.fake.com", "protocol": "kafka"},
            "notifier": {"host": address, "pathname": "/v1", "protocol": "ws"},
        },
        "channels": {"notifications": {"address": "/notifications", "messages": {"notification": notification}}},
        "operations": {"getNotifications": {"action": "receive", "channel": {"$ref": "#/channels/notifications"}}},
    }


class TestCallAsyncapiSubscribeConsumeAmountExample:
    def test_takes_five_messages(self, workflows: Workflows, outside: Outside, talker: WebSocketServer) -> None:
        wanted = [message(n) for n in range(7)]
        unwanted = [message(8, to="u2"), message(9, **{"from": {"firstName": "Bob", "lastName": "Lee"}})]
        told = [*unwanted, *wanted[:3], *unwanted, *wanted[3:]]
        talker.behaves["/v1/notifications"] = says("no JSON", *(orjson.dumps(each).decode() for each in told))
        outside.first(f"{FAKE}/docs/asyncapi.json", Answer(200, document(talker.address)))
        given = {"userId": USER, "contact": CONTACT}
        found = begin(workflows, "call-asyncapi-subscribe-consume-amount", given).ended()
        assert (found["status"], found["error"]) == ("completed", None)
        assert found["output"] == [{"payload": each, "headers": {}, "correlationId": USER} for each in wanted[:5]]
        assert [each.path for each in talker.shaken] == ["/v1/notifications"]
