"""The data folder of one machine's Foldwork (`.foldwork`): its lock, its logs, and the note of what runs."""

import fcntl
import os
from datetime import datetime
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.errors import Rejection


class AlreadyRunning(Rejection):
    """Foldwork already runs in this folder."""


class FolderUnusable(Rejection):
    """Nothing can be kept in this folder."""


class ProcessState(BaseModel):
    """One process: `url` is None for the servers, whose URLs stand in the SystemState."""

    model_config = ConfigDict(frozen=True)

    pid: int | None
    url: str | None
    log: str
    restarts: int


class SystemState(BaseModel):
    """What runs in a folder. The URLs may hold passwords."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started_at: datetime
    shard: int
    database_url: str
    nats_url: str
    processes: dict[str, ProcessState]


class DataFolder:
    """`acquire` it before anything is started in it. `state.json` says what runs, for other commands."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    def acquire(self) -> None:
        """Take the folder, or raise AlreadyRunning or FolderUnusable. The kernel frees it when this process ends, however it ends."""
        try:
            (self.path / "logs").mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a")
        except OSError as failure:
            raise FolderUnusable(
                f"The data folder {self.path} cannot be used: {failure.strerror}. Set another FOLDWORK_DATA_DIR."
            ) from failure
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as taken:
            lock.close()
            state = self.state()
            whom = f" (process {state.pid})" if state else ""
            raise AlreadyRunning(
                f"Foldwork already runs in {self.path}{whom}. Stop that one first, or set another FOLDWORK_DATA_DIR."
            ) from taken
        self._lock = lock
        # The note of a system that was killed; its process id may be somebody else's by now.
        (self.path / "state.json").unlink(missing_ok=True)

    def release(self) -> None:
        if self._lock:
            (self.path / "state.json").unlink(missing_ok=True)
            self._lock.close()
        self._lock = None

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    def note(self, state: SystemState) -> None:
        """Write what runs, so that nobody else can read it and nobody ever reads half of it."""
        unfinished = self.path / "state.json.new"
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(state.model_dump_json(indent=2))
        unfinished.replace(self.path / "state.json")

    def state(self) -> SystemState | None:
        """What runs, None if nothing does (a crash may leave the note behind, but not the process)."""
        try:
            state = SystemState.model_validate_json((self.path / "state.json").read_text())
            os.kill(state.pid, 0)
        except (OSError, ValidationError):
            return None
        return state
