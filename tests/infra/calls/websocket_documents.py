"""AsyncAPI documents of a WebSocket server, and calls that refer to them."""

from typing import Any

from tests.infra.calls.other_side import OtherSide


def version_3(host: str, protocol: str = "ws", **channel: Any) -> dict[str, Any]:
    """One channel at `/news` below `/v1`."""
    described = {"address": "/news", **channel}
    return {
        "asyncapi": "3.0.0",
        "servers": {"main": {"host": host, "pathname": "/v1", "protocol": protocol}},
        "channels": {"news": described},
        "operations": {
            "tell": {"action": "send", "channel": {"$ref": "#/channels/news"}},
            "hear": {"action": "receive", "channel": {"$ref": "#/channels/news"}},
        },
    }


def version_2(url: str, protocol: str = "ws", **channel: Any) -> dict[str, Any]:
    """One channel, `/news`."""
    described = {"publish": {}, "subscribe": {}, **channel}
    return {
        "asyncapi": "2.6.0",
        "servers": {"main": {"url": url, "protocol": protocol}},
        "channels": {"/news": described},
    }


def telling(other: OtherSide, document: dict[str, Any], message: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The arguments of a call that publishes."""
    place = {"operation": "tell"} if document["asyncapi"].startswith("3") else {"channel": "/news"}
    return {"document": {"endpoint": other.at("/d.json", document)}, **place, "message": message, **more}


def hearing(other: OtherSide, document: dict[str, Any], consume: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The arguments of a call that subscribes."""
    place = {"operation": "hear"} if document["asyncapi"].startswith("3") else {"channel": "/news"}
    return {
        "document": {"endpoint": other.at("/d.json", document)},
        **place,
        "subscription": {"consume": consume},
        **more,
    }
