"""What a process says about itself: JSON logs on stderr, metrics, and /healthz, /readyz, /metrics over HTTP.

Guarantee: no event data, no headers and no passwords in a log line; logging never raises.
"""

import asyncio
import logging
import re
import sys
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import structlog
from prometheus_client import CollectorRegistry, Gauge, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

REQUEST_BYTES_MAX = 16_384
REQUEST_S_MAX = 5.0
LOGGED_DEPTH_MAX = 6
LOGGED_CHARACTERS_MAX = 8_000

QUEUE_DEPTH = "foldwork_queue_depth"

WITHHELD = "[withheld]"
# Fields of a log line that hold what users sent, however well it is meant.
_PRIVATE_FIELDS = frozenset(
    {
        "data",
        "payload",
        "body",
        "headers",
        "header",
        "metadata",
        "fields",
        "row",
        "rows",
        "arguments",
        "params",
        "parameters",
    }
    | {"authorization", "cookie", "password", "secret", "token", "api_key", "conninfo"}
)
_PRIVATE_TEXT = (
    # the password in a URL, which may hold an @ that nobody escaped; a URL may hold it in its query as well, one of NATS a token
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/@:]*):\S*@", re.IGNORECASE), rf"\1:{WITHHELD}@"),
    (re.compile(r"\b(nats|tls|wss?)://[^\s/@:]+@", re.IGNORECASE), rf"\1://{WITHHELD}@"),
    (
        re.compile(r"\b(password|passwd|pwd|token|secret|api_key)=(?:'(?:[^'\\]|\\.)*'|[^\s&'\"]+)", re.IGNORECASE),
        rf"\1={WITHHELD}",
    ),
    # libpq quotes what it could not read of where to connect to
    (re.compile(r"(percent-encoded (?:token|value): |unexpected spaces found in )(?:\".*\"|.*)"), rf"\1{WITHHELD}"),
    (re.compile(r'(after )"(?![a-z][a-z0-9+.-]*://).*(?= in connection info string)'), rf"\1{WITHHELD}"),
    (re.compile(r"(\bhost (?:name )?['\"])[^'\"]*@"), rf"\1{WITHHELD}@"),
    # pydantic quotes the input, and Postgres the row, in their messages
    (re.compile(r"input_value=.*?(?=, input_type=)", re.DOTALL), f"input_value={WITHHELD}"),
    (re.compile(r"^(\s*)(DETAIL|CONTEXT):.*$", re.MULTILINE), rf"\1\2: {WITHHELD}"),
)

EventDict = MutableMapping[str, Any]


def configure_logging(service: str, level: str = "INFO", *, text: bool = False) -> None:
    """Send every log line of this process to stderr: as JSON with the service's name, or as text for a person."""
    numeric = logging.getLevelNamesMapping()[level]
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        lambda _logger, _method, line: {"service": service, **line},
    ]
    last: list[structlog.types.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
        _as_text if text else structlog.processors.JSONRenderer(serializer=_as_json),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(numeric)
    for chatty in ("uvicorn.access", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(max(numeric, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def redact(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """The structlog processor that takes out what must not be in a log."""
    return {name: _redacted(name, value, 0) for name, value in line.items()}


def redact_text(text: str) -> str:
    """A text without passwords and without the user data that libraries quote in their messages."""
    for pattern, replacement in _PRIVATE_TEXT:
        text = pattern.sub(replacement, text)
    if len(text) <= LOGGED_CHARACTERS_MAX:
        return text
    half = LOGGED_CHARACTERS_MAX // 2
    return f"{text[:half]} ... {text[-half:]}"


def _redacted(name: str, value: Any, depth: int) -> Any:
    if name.lower() in _PRIVATE_FIELDS or depth > LOGGED_DEPTH_MAX:
        return WITHHELD
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): _redacted(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(name, item, depth + 1) for item in value]
    return redact_text(value if isinstance(value, str) else str(value))


def _as_json(line: Any, **_: Any) -> str:
    # A lone surrogate, for example in the name of a file, is no UTF-8: show it escaped.
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return repr(line)


def _as_text(_logger: Any, _method: str, line: EventDict) -> str:
    hidden = ("service", "timestamp", "level", "logger", "event", "exception")
    rest = " ".join(f"{name}={value}" for name, value in line.items() if name not in hidden)
    head = f"{str(line.get('timestamp', ''))[11:19]} {line.get('event', '')} {rest}".rstrip()
    return f"{head}\n{line['exception']}" if line.get("exception") else head


def new_registry() -> CollectorRegistry:
    """A metrics registry for one process, with its memory, CPU, file handles and garbage collection."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def queue_depths(registry: CollectorRegistry) -> Gauge:
    """How much waits in each queue of this process, by the label `queue`; `foldwork status` shows them."""
    return Gauge(QUEUE_DEPTH, "How much waits in a queue.", ["queue"], registry=registry)


def metrics_page(registry: CollectorRegistry) -> tuple[bytes, str]:
    """The body and the content type of /metrics."""
    return generate_latest(registry), CONTENT_TYPE_LATEST


@asynccontextmanager
async def serve_health(
    port: int,
    ready: Callable[[], bool],
    *,
    registry: CollectorRegistry,
    host: str = "127.0.0.1",
) -> AsyncIterator[int]:
    """Answer /healthz, /readyz and /metrics while the block runs; gives the port (a free one for port 0).

    /healthz answers as long as the event loop turns. /readyz is 200 while `ready()` is true, else 503.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(REQUEST_S_MAX):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(_answer(head, ready, registry))
                    await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(handle, host, port, limit=REQUEST_BYTES_MAX)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def _answer(head: bytes, ready: Callable[[], bool], registry: CollectorRegistry) -> bytes:
    method, _, rest = head.decode("latin-1").partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    status, content_type, body = _page(method, path, ready, registry)
    length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    page = b"" if method == "HEAD" else body
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{length}".encode() + page


def _page(method: str, path: str, ready: Callable[[], bool], registry: CollectorRegistry) -> tuple[str, str, bytes]:
    json = "application/json"
    if method not in ("GET", "HEAD"):
        return "405 Method Not Allowed", json, b'{"status":"method not allowed"}'
    if path == "/healthz":
        return "200 OK", json, b'{"status":"alive"}'
    if path == "/readyz" and ready():
        return "200 OK", json, b'{"status":"ready"}'
    if path == "/readyz":
        return "503 Service Unavailable", json, b'{"status":"not ready"}'
    if path == "/metrics":
        body, content_type = metrics_page(registry)
        return "200 OK", content_type, body
    return "404 Not Found", json, b'{"status":"not found"}'
