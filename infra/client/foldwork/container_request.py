"""What a job of the kind `container` asks for: the `run: container` of the Open Workflow DSL, read from the job's payload.

The reference leaves some of it open, and is read so: `command` is the text of a shell, which takes the place of the image's entrypoint;
`ports` are `{container: host}`, `volumes` `{host: container}`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import orjson

from foldwork.job import JobError

Wanted = Literal["stdout", "stderr", "code", "all", "none"]
Cleanup = Literal["always", "never", "eventually"]

COMMAND_BYTES_MAX = 131_072
PORT_MAX = 65_535
PULLS = {"always": "always", "ifNotPresent": "missing", "never": "never"}
"""How the engines call the pull policies."""
_RETURNS = ("stdout", "stderr", "code", "all", "none")
_CLEANUPS = ("always", "never", "eventually")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,1023}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PORT = re.compile(r"(\d{1,5})(?:/(tcp|udp|sctp))?")
_TARGET = re.compile(r"(/[^:,\x00-\x1f]*)(?::(ro|rw))?")
_SOURCE = re.compile(r"/[^:,\x00-\x1f]*|[A-Za-z0-9][A-Za-z0-9_.-]*")
_SECONDS = {"days": 86_400.0, "hours": 3_600.0, "minutes": 60.0, "seconds": 1.0, "milliseconds": 0.001}
_ISO = re.compile(
    r"P(?=.)(?:(?P<weeks>[\d.]+)W)?(?:(?P<days>[\d.]+)D)?"
    r"(?:T(?=.)(?:(?P<hours>[\d.]+)H)?(?:(?P<minutes>[\d.]+)M)?(?:(?P<seconds>[\d.]+)S)?)?"
)


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the container, as a port of the machine."""

    inside: int
    protocol: str
    outside: int


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder of the machine or, without a slash, a volume of the engine, and where the container sees it."""

    source: str
    target: str
    mode: str


@dataclass(frozen=True, slots=True)
class ContainerRequest:
    """`after_s` is when to remove the container with the cleanup `eventually`; `name` is None if it may have any."""

    image: str
    name: str | None
    command: str | None
    arguments: tuple[str, ...]
    stdin: bytes
    environment: Mapping[str, str]
    ports: tuple[Port, ...]
    volumes: tuple[Volume, ...]
    pull: str
    cleanup: Cleanup
    after_s: float
    wanted: Wanted

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> "ContainerRequest":
        """Raises JobError for what no container can be run with."""
        given = _map(payload, "container")
        lifetime = _map(given, "lifetime")
        cleanup = lifetime.get("cleanup", "never")
        pull, wanted = given.get("pullPolicy", "ifNotPresent"), payload.get("return", "stdout")
        _require(cleanup in _CLEANUPS, "lifetime/cleanup", "always, never or eventually")
        _require(pull in PULLS, "pullPolicy", "always, ifNotPresent or never")
        _require(wanted in _RETURNS, "return", "stdout, stderr, code, all or none")
        name, command, arguments = given.get("name"), given.get("command"), given.get("arguments") or []
        _require(name is None or _fits(_NAME, name), "name", "letters, digits, `_`, `.` and `-`")
        _require(command is None or isinstance(command, str), "command", "text")
        _require(isinstance(arguments, list), "arguments", "a list")
        _require(_fits(_IMAGE, given.get("image")), "image", "the name of an image")
        words = [plain(argument) for argument in arguments]
        long = sum(len(word.encode()) + 1 for word in (command or "", *words))
        _require(long <= COMMAND_BYTES_MAX, "command", f"{COMMAND_BYTES_MAX} bytes long at most with its arguments")
        _require("\x00" not in "".join((command or "", *words)), "command", "without NUL")
        return cls(
            image=given["image"],
            name=name,
            command=command or None,
            arguments=tuple(words),
            stdin=plain(given.get("stdin")).encode(),
            environment=dict(_variable(*item) for item in _map(given, "environment").items()),
            ports=tuple(_port(*item) for item in _map(given, "ports").items()),
            volumes=tuple(_volume(*item) for item in _map(given, "volumes").items()),
            pull=PULLS[pull],
            cleanup=cast(Cleanup, cleanup),
            after_s=seconds_of(lifetime.get("after")) if cleanup == "eventually" else 0.0,
            wanted=cast(Wanted, wanted),
        )


def plain(value: Any) -> str:
    """A value as a process takes it: text as it is, nothing as nothing, anything else as JSON."""
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()


def seconds_of(duration: Any) -> float:
    """A duration of the specification: `{"minutes": 1, "seconds": 5}`, or ISO 8601 without months and years. Raises JobError."""
    if isinstance(duration, dict) and duration.keys() <= _SECONDS.keys():
        values = {name: value for name, value in duration.items() if isinstance(value, int | float)}
        if len(values) == len(duration):
            return sum(_SECONDS[name] * value for name, value in values.items())
    found = _ISO.fullmatch(duration) if isinstance(duration, str) else None
    _require(found is not None, "lifetime/after", "a duration")
    assert found is not None
    try:
        read = {name: float(value) for name, value in found.groupdict().items() if value}
    except ValueError:
        raise JobError("The container's lifetime/after must be a duration.") from None
    return sum(value * (604_800.0 if name == "weeks" else _SECONDS[name]) for name, value in read.items())


def _require(fits: bool, place: str, wanted: str) -> None:
    """What was given is not repeated: it may be confidential."""
    if not fits:
        raise JobError(f"The container's {place} must be {wanted}.")


def _fits(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _map(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = given.get(name)
    _require(found is None or isinstance(found, dict), name, "an object")
    return found or {}


def _variable(name: str, value: Any) -> tuple[str, str]:
    """The engines read a variable from a line of a file."""
    text = plain(value)
    _require(_fits(_VARIABLE, name), "environment", "of names that are words")
    _require(not set(text) & {"\n", "\r", "\x00"}, f"environment/{name}", "a single line")
    return name, text


def _port(inside: str, outside: Any) -> Port:
    found, outer = _PORT.fullmatch(inside), _PORT.fullmatch(plain(outside))
    _require(found is not None and outer is not None, "ports", "numbers, of the container and of the machine")
    assert found is not None
    assert outer is not None
    numbers = int(found[1]), int(outer[1])
    _require(all(1 <= number <= PORT_MAX for number in numbers), "ports", f"from 1 to {PORT_MAX}")
    return Port(numbers[0], found[2] or "tcp", numbers[1])


def _volume(source: str, target: Any) -> Volume:
    found = _TARGET.fullmatch(target) if isinstance(target, str) else None
    _require(found is not None and _fits(_SOURCE, source), "volumes", "folders, of the machine and of the container")
    assert found is not None
    return Volume(source, found[1], found[2] or "rw")
