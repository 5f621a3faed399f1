"""The AsyncAPI 3.0 document of an API of requests over NATS, written from the operations that the OpenAPI document is written from.

Format: asyncapi.com, specification 3.0.0. A request's channel is its subject, its reply comes on the subject that NATS made for it.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from infra.adapters.web_docs import PROBLEM_SCHEMA, Operation, Schema, reference
from infra.adapters.web_parameters import TENANT

_ANSWER_HEADERS: Schema = {
    "type": "object",
    "required": ["Foldwork-Status", "Content-Type"],
    "properties": {
        "Foldwork-Status": {"type": "string", "pattern": "^[1-5][0-9]{2}$", "description": "The status over HTTP."},
        "Content-Type": {"enum": ["application/json", "application/problem+json"]},
        "Foldwork-Position": {"type": "string", "pattern": "^[0-9]+$"},
        "Location": {"type": "string"},
        "Retry-After": {"type": "string", "description": "Seconds; with a status of 503."},
    },
}


def asyncapi_document(
    title: str, description: str, prefix: str, operations: Iterable[Operation], schemas: Schema
) -> bytes:
    """The document as JSON; the subject of an operation is `<prefix>.<tenant>.<id>`."""
    channels: dict[str, Any] = {"Answer": {"address": None, "messages": {}}}
    messages: dict[str, Any] = {}
    described: dict[str, Any] = {}
    for operation in operations:
        name = operation.id
        messages[name] = _request(operation)
        channels[name] = {
            "address": f"{prefix}.{{tenant}}.{name}",
            "parameters": {"tenant": {"description": TENANT.description}},
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        answers = {_name_of(operation, reply.schema): reply for reply in operation.replies.values()}
        for answer, reply in answers.items():
            messages[answer] = {"headers": _ANSWER_HEADERS, "payload": reply.schema, "contentType": reply.content_type}
            channels["Answer"]["messages"][answer] = {"$ref": f"#/components/messages/{answer}"}
        described[name] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": operation.summary,
            "description": operation.description,
            "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
            "reply": {
                "channel": {"$ref": "#/channels/Answer"},
                "messages": [{"$ref": f"#/channels/Answer/messages/{answer}"} for answer in answers],
            },
        }
    whole = {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": "1", "description": description},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": described,
        "components": {"messages": messages, "schemas": {"Problem": PROBLEM_SCHEMA, **schemas}},
    }
    return orjson.dumps(whole)


def asyncapi_page(title: str, document: bytes) -> bytes:
    """The page that shows the document, as FastStream serves it."""
    # Imported here since most processes are never asked for the page.
    from faststream.specification.asyncapi import get_asyncapi_html

    return get_asyncapi_html(_Shown(title, document), try_it_out_path=None).encode()  # type: ignore[arg-type]  # reads these two


class _Shown:
    """As much of FastStream's own document as its page asks for."""

    def __init__(self, title: str, document: bytes) -> None:
        self.title = title
        self._document = document

    def to_json(self) -> str:
        return self._document.decode().replace("</", "<\\/")


def _name_of(operation: Operation, schema: Schema) -> str:
    return schema["$ref"].rpartition("/")[2] if "$ref" in schema else f"{operation.id}Answer"


def _request(operation: Operation) -> dict[str, Any]:
    body = operation.body or {}
    headers = {
        parameter.name: {**parameter.schema, "description": parameter.description}
        for parameter in operation.parameters
        if parameter.where == "header" and parameter is not TENANT
    }
    return {
        "title": operation.summary,
        "headers": {"type": "object", "properties": headers},
        "payload": next(iter(body.values()), reference(operation.id)),
        "contentType": next(iter(body), "application/json"),
    }
