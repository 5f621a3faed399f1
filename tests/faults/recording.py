"""Remembers every answer that the command API gave, so that it can be held to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import orjson

from read_side.demo.client import CommandSender

COMMANDS_PATH = "/v1/commands"


@dataclass(slots=True)
class Answers:
    """`events` are the acknowledged ones, by id, with their positions. `changed` are commands that were answered in two ways."""

    events: dict[str, int] = field(default_factory=dict)
    by_command: dict[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)

    def note(self, tenant_id: str, command_id: str, position: int, event_ids: Sequence[str]) -> None:
        """Take an answer. The events of a command stand together, the last of them at `position`."""
        known = self.by_command.setdefault((tenant_id, command_id), event_ids)
        if list(known) != list(event_ids):
            self.changed.append(command_id)
        first = position - len(event_ids) + 1
        self.events.update({event_id: first + place for place, event_id in enumerate(event_ids)})

    @property
    def acknowledged(self) -> list[tuple[str, int]]:
        return list(self.events.items())


class RecordingTransport(httpx.AsyncHTTPTransport):
    """The network, with a note of what came back from `POST /v1/commands`."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self._answers = answers

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        content = await response.aread()
        await response.aclose()
        if request.url.path == COMMANDS_PATH and response.status_code == httpx.codes.OK:
            tenant_id = request.headers["Foldwork-Tenant"]
            asked, answered = orjson.loads(request.content), orjson.loads(content)["results"]
            for command, answer in zip(asked, answered, strict=True):
                if answer["status"] < httpx.codes.BAD_REQUEST:
                    self._answers.note(tenant_id, command["command_id"], answer["position"], answer["event_ids"])
        return httpx.Response(response.status_code, headers=response.headers, content=content)


def recording_sender(answers: Answers, command_url: str, tenant: str, actor: str) -> CommandSender:
    """A CommandSender of the demo whose answers are noted."""
    return CommandSender(command_url, tenant, actor, RecordingTransport(answers))
