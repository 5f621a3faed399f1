"""`call: mcp`: one method of a Model Context Protocol server, over streamable HTTP or over the pipes of a process.

The transports are those of https://modelcontextprotocol.io/specification/2025-06-18/basic/transports.
"""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass

import httpx
import orjson
from pydantic import JsonValue

from infra.calls.contract import (
    Arguments,
    CallContext,
    CallFailed,
    NotWanted,
    endpoint_of,
    list_of,
    map_of,
    plain,
    seconds_of,
    text_of,
)
from infra.calls.exchange import exchange, url_of
from infra.calls.guarded_process import PATH, GuardedProcess, Program, found_program, guarded
from infra.calls.http_call import HttpRequest, prepared
from infra.calls.json_rpc import Message, post, request_of, result_of

METHODS = {
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/read",
    "resources/templates/list",
}
PROTOCOL_VERSION = "2025-06-18"
_SESSION, _VERSION = "Mcp-Session-Id", "MCP-Protocol-Version"
_CLIENT = {"name": "foldwork", "version": "1.0.0"}
_METHOD_NOT_FOUND = -32601
_LINES_WAITING_MAX = 1_000
_LINE_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class _Session:
    """What was negotiated over HTTP: where to send, with which headers, as whom."""

    url: httpx.URL
    headers: dict[str, str]
    policy: Arguments | None


async def mcp_call(arguments: Arguments, context: CallContext) -> JsonValue:
    """Carry out `call: mcp`: initialise, call the method, give the JSON-RPC result.

    CallFailed: runtime if the server answers with an error, timeout beyond the call's own `timeout`; the others as `call: http`, or as
    `run: shell` over pipes.
    """
    method = text_of(arguments, "method")
    if method not in METHODS:
        raise CallFailed(
            "configuration", f"The MCP method {method[:100]!r} is not one of {', '.join(sorted(METHODS))}."
        )
    transport = map_of(arguments, "transport")
    patience_s = seconds_of(arguments["timeout"]) if arguments.get("timeout") is not None else None
    try:
        async with asyncio.timeout(patience_s):
            if "http" in transport:
                return await _over_http(method, arguments, map_of(transport, "http"), context)
            if "stdio" in transport:
                return await _over_pipes(method, arguments, map_of(transport, "stdio"), context)
    except TimeoutError as late:
        raise CallFailed("timeout", f"The MCP server did not answer within {patience_s:g} s.", in_doubt=True) from late
    raise CallFailed("configuration", "The MCP transport is neither http nor stdio.")


def _initialize(arguments: Arguments) -> Message:
    client: JsonValue = {**_CLIENT, **map_of(arguments, "client")}
    version = text_of(arguments, "protocolVersion", PROTOCOL_VERSION)
    return request_of("initialize", {"protocolVersion": version, "capabilities": {}, "clientInfo": client}, 0)


def _agreed_version(result: JsonValue) -> str:
    version = result.get("protocolVersion") if isinstance(result, dict) else None
    if not isinstance(version, str):
        raise CallFailed("runtime", "The MCP server did not say which version of the protocol it speaks.")
    return version


_INITIALIZED: Message = {"jsonrpc": "2.0", "method": "notifications/initialized"}


@contextmanager
def _not_asked_yet() -> Iterator[None]:
    """What fails in here comes before the request that the call is about: that is in no doubt."""
    try:
        yield
    except CallFailed as failed:
        failed.in_doubt = False
        raise


async def _over_http(method: str, arguments: Arguments, http: Arguments, context: CallContext) -> JsonValue:
    uri, policy = endpoint_of(http.get("endpoint"))
    headers = {name: plain(value) for name, value in map_of(http, "headers").items()}
    session = _Session(url_of(uri), headers, policy)
    with _not_asked_yet():
        received, first = await _ask(session, _initialize(arguments), context)
    if _SESSION in received:
        headers[_SESSION] = received[_SESSION]
    try:
        headers[_VERSION] = _agreed_version(first)
        with _not_asked_yet():
            async with aclosing(post(session.url, _INITIALIZED, headers, policy, context)) as answers:
                async for _ in answers:
                    break
        return (await _ask(session, request_of(method, arguments.get("parameters"), 1), context))[1]
    finally:
        if _SESSION in received:
            await _leave(session, context)


async def _ask(session: _Session, message: Message, context: CallContext) -> tuple[httpx.Headers, JsonValue]:
    """The result of a request; what else the server says meanwhile (notifications, requests of its own) is passed over."""
    secrets = tuple(session.headers.values())
    async with aclosing(post(session.url, message, session.headers, session.policy, context)) as answers:
        async for received in answers:
            answer = received.message
            if answer is not None and answer.get("id") == message["id"] and "method" not in answer:
                return received.headers, result_of(answer, (*received.secrets, *secrets))
    raise CallFailed("communication", "The MCP server did not answer the request.", in_doubt=True)


async def _leave(session: _Session, context: CallContext) -> None:
    """Tell the server that the session is over; it may not care, and a call that has taken too long already does not wait for it."""
    request = HttpRequest("DELETE", session.url, session.headers, (), None, session.policy)
    with suppress(CallFailed, NotWanted, TimeoutError):
        async with asyncio.timeout(context.settings.close_s_max):
            async with exchange(await prepared(request, context), context):
                pass


async def _over_pipes(method: str, arguments: Arguments, stdio: Arguments, context: CallContext) -> JsonValue:
    environment = {name: plain(value) for name, value in map_of(stdio, "environment").items()}
    command = text_of(stdio, "command")
    found = found_program(command, context.settings, environment.get("PATH", PATH)) or command
    # Servers of this kind run on node more often than not, which reserves much more memory than it uses.
    program = Program([found, *map(plain, list_of(stdio, "arguments"))], environment, address_space=False)
    lines = _Lines()
    async with guarded(program, context.settings, lines.take) as process:
        ending = asyncio.create_task(process.exited.wait())
        ending.add_done_callback(lambda _: lines.end())
        try:
            secrets = tuple(environment.values())
            with _not_asked_yet():
                _agreed_version(await _ask_process(process, lines, _initialize(arguments), secrets))
            _write(process, _INITIALIZED)
            request = request_of(method, arguments.get("parameters"), 1)
            await context.confirm()
            return await _ask_process(process, lines, request, secrets)
        finally:
            ending.cancel()


class _Lines:
    """The lines that a process writes; None after the last."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._waiting = bytearray()

    def take(self, data: bytes) -> None:
        self._waiting.extend(data)
        *lines, rest = bytes(self._waiting).split(b"\n")
        self._waiting = bytearray(rest)
        for line in filter(bytes.strip, lines):
            self.queue.put_nowait(line)
        if self.queue.qsize() > _LINES_WAITING_MAX or len(self._waiting) > _LINE_BYTES_MAX:
            self.end()

    def end(self) -> None:
        self.queue.put_nowait(None)


def _write(process: GuardedProcess, message: Message) -> None:
    process.write(orjson.dumps(message) + b"\n")


async def _ask_process(process: GuardedProcess, lines: _Lines, request: Message, secrets: tuple[str, ...]) -> JsonValue:
    _write(process, request)
    while (line := await lines.queue.get()) is not None:
        try:
            message = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if not isinstance(message, dict):
            continue
        if message.get("method") == "ping" and "id" in message:
            _write(process, {"jsonrpc": "2.0", "id": message["id"], "result": {}})
        elif "method" in message and "id" in message:
            error: JsonValue = {"code": _METHOD_NOT_FOUND, "message": "This client offers nothing."}
            _write(process, {"jsonrpc": "2.0", "id": message["id"], "error": error})
        elif message.get("id") == request["id"]:
            return result_of(message, secrets)
    detail = f"The MCP server ended without an answer (exit code {process.code})."
    raise CallFailed("communication", detail, in_doubt=True)
