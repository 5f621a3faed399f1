"""How the system is doing: its processes, the log and its mirror, the consumers and the queues."""

import asyncio
from pathlib import Path

import httpx
import nats
import psycopg
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import make_conninfo
from pydantic import BaseModel, ConfigDict

from infra.adapters.checkpoints import Operations
from infra.embedded.folder import DataFolder, SystemState
from infra.errors import Rejection
from infra.parts import PARTS
from infra.settings import Settings
from infra.telemetry import QUEUE_DEPTH, redact_text

REQUEST_S_MAX = 2.0
CONNECT_S_MAX = 3

_HEAD = b"SELECT position FROM log_head WHERE shard = %s"


class NotRunning(Rejection):
    """Foldwork does not run here."""


class ProcessStatus(BaseModel):
    """`state` is ready, not ready, or down; `memory_mib` is resident memory, where the process is on this machine."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: str
    pid: int | None
    url: str | None
    restarts: int | None
    memory_mib: int | None


class ConsumerProgress(BaseModel):
    """A projection or saga; `lag` is how many events it is behind the log; `state` is running, paused or rebuilding."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    position: int
    lag: int
    state: str
    dead_letters: int


class QueueStatus(BaseModel):
    """How much waits in a queue of a process, as that process says on /metrics."""

    model_config = ConfigDict(frozen=True)

    process: str
    queue: str
    depth: int


class SystemStatus(BaseModel):
    """`head` is the position of the last event in the log, `mirror` of the last on JetStream; None: not reachable."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    head: int | None
    mirror: int | None
    processes: list[ProcessStatus]
    consumers: list[ConsumerProgress]
    queues: list[QueueStatus]
    dead_letters: int
    problems: list[str]


def running(settings: Settings) -> SystemState | None:
    """What `foldwork up` runs in the data folder."""
    return DataFolder(settings.data_dir).state()


def database_url(settings: Settings) -> str:
    """The database that is set, else the one that `foldwork up` runs; raises NotRunning."""
    state = running(settings)
    url = settings.database_url or (state.database_url if state else None)
    if url is None:
        raise NotRunning(
            f"Foldwork does not run in {settings.data_dir.absolute()}. "
            "Start it with `foldwork up`, or set FOLDWORK_DATABASE_URL or FOLDWORK_DATA_DIR."
        )
    return url


def part_url(settings: Settings, name: str) -> str:
    """Where a part answers: as `foldwork up` runs it, else by the settings."""
    state = running(settings)
    if state and name in state.processes and state.processes[name].url:
        return str(state.processes[name].url)
    return next(part for part in PARTS if part.name == name).url(settings)


async def system_status(settings: Settings) -> SystemStatus:
    """Ask everything at once. What cannot be reached is a problem in the answer, not an error."""
    url = database_url(settings)
    state = running(settings)
    problems: list[str] = []
    asked = await asyncio.gather(
        _processes(settings, state),
        _log(url, settings.shard, problems),
        _mirror(state.nats_url if state else settings.nats_url, settings.shard, problems),
    )
    (processes, queues), (head, consumers), mirror = asked
    return SystemStatus(
        ok=not problems and all(process.state == "ready" for process in processes),
        head=head,
        mirror=mirror,
        processes=processes,
        consumers=consumers,
        queues=queues,
        dead_letters=sum(consumer.dead_letters for consumer in consumers),
        problems=problems,
    )


async def _processes(settings: Settings, state: SystemState | None) -> tuple[list[ProcessStatus], list[QueueStatus]]:
    names = list(state.processes) if state else [part.name for part in PARTS]
    async with httpx.AsyncClient(timeout=REQUEST_S_MAX, trust_env=False) as http:
        found = await asyncio.gather(*(_process(http, settings, state, name) for name in names))
    return [process for process, _ in found], [queue for _, queues in found for queue in queues]


async def _process(
    http: httpx.AsyncClient, settings: Settings, state: SystemState | None, name: str
) -> tuple[ProcessStatus, list[QueueStatus]]:
    noted = state.processes[name] if state else None
    url = part_url(settings, name) if noted is None else noted.url
    memory = _resident_mib(noted.pid) if noted and noted.pid else None
    health = ("ready" if memory is not None else "down") if url is None else "down"
    queues: list[QueueStatus] = []
    if url is not None:
        try:
            answer = await http.get(url + "/readyz")
            health = "ready" if answer.status_code == httpx.codes.OK else "not ready"
            queues = _queues(name, (await http.get(url + "/metrics")).text)
        except (httpx.HTTPError, ValueError):
            pass
    process = ProcessStatus(
        name=name,
        state=health,
        pid=noted.pid if noted else None,
        url=url,
        restarts=noted.restarts if noted else None,
        memory_mib=memory,
    )
    return process, queues


def _queues(process: str, metrics: str) -> list[QueueStatus]:
    return [
        QueueStatus(process=process, queue=sample.labels.get("queue", ""), depth=int(sample.value))
        for family in text_string_to_metric_families(metrics)
        if family.name == QUEUE_DEPTH
        for sample in family.samples
    ]


def _resident_mib(pid: int) -> int | None:
    """Resident memory from procfs (proc(5)); None if the process is gone or there is no procfs."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
    return sizes[0] // 1024 if sizes else None


async def consumers(database_url: str, shard: int) -> tuple[int, list[ConsumerProgress]]:
    """The position of the last event, and where each consumer of the shard stands."""
    url = make_conninfo(database_url, connect_timeout=CONNECT_S_MAX)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        row = await (await connection.execute(_HEAD, (shard,))).fetchone()
    head = int(row[0]) if row else 0
    operations = Operations(url, shard)
    letters = await operations.count_dead_letters()
    return head, [
        ConsumerProgress(
            name=found.consumer,
            kind=found.kind,
            position=found.position,
            lag=max(0, head - found.position),
            state="paused" if found.paused else "rebuilding" if found.rebuild else "running",
            dead_letters=letters.get(found.consumer, 0),
        )
        for found in await operations.list_consumers()
        if found.shard == shard
    ]


async def _log(url: str, shard: int, problems: list[str]) -> tuple[int | None, list[ConsumerProgress]]:
    try:
        return await consumers(url, shard)
    except psycopg.Error as failure:
        problems.append(redact_text(f"The database cannot be read: {failure}"))
        return None, []


async def _mirror(url: str | None, shard: int, problems: list[str]) -> int | None:
    if url is None:
        return None
    failures: list[Exception] = []

    async def note(failure: Exception) -> None:
        failures.append(failure)

    try:
        connection = await nats.connect(
            url.split(","),
            allow_reconnect=False,
            connect_timeout=2,
            # Left alone nats-py tries for two minutes to connect for the first time, and prints each failure with its traceback.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=note,
        )
        try:
            info = await connection.jetstream().stream_info(f"EVENTS_{shard}")
            return info.state.last_seq
        finally:
            await connection.close()
    except (NatsError, OSError) as failure:
        cause = failures[-1] if failures and isinstance(failure, NoServersError) else failure
        problems.append(redact_text(f"The mirror on NATS cannot be read: {str(cause) or type(cause).__name__}"))
        return None
