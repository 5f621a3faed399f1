"""Brings a database to the newest schema: numbered SQL files, forward only, each once and never changed.

Guarantee: concurrent runs wait for each other (advisory lock); a file that was changed after it was applied is refused.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources

import psycopg

from infra.errors import Fault

_LOCK = 0x_F01D_0001
_TABLE = """
CREATE TABLE IF NOT EXISTS migration (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


class MigrationChanged(Fault):
    """A migration that was applied before has other content now; migrations are never edited, add a new one."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """The files of infra/adapters/sql, in order of their number."""
    files = (
        entry for entry in resources.files("infra.adapters").joinpath("sql").iterdir() if entry.name.endswith(".sql")
    )
    found = [Migration(int(file.name.split("_")[0]), file.name, file.read_text(encoding="utf-8")) for file in files]
    return sorted(found, key=lambda migration: migration.number)


async def migrate(database_url: str, shard: int = 0, partition_events: int = 10_000_000) -> list[str]:
    """Apply what is missing, make the shard's head row and its first partition; gives the names of the files applied."""
    applied: list[str] = []
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        await connection.execute(_TABLE)
        cursor = await connection.execute("SELECT number, checksum FROM migration")
        known: dict[int, str] = dict(await cursor.fetchall())
        for migration in migrations():
            if migration.number in known:
                if known[migration.number] != migration.checksum:
                    raise MigrationChanged(f"{migration.name} was changed after it was applied.")
                continue
            async with connection.transaction():
                await connection.execute(migration.sql.encode())
                await connection.execute(
                    "INSERT INTO migration (number, name, checksum) VALUES (%s, %s, %s)",
                    (migration.number, migration.name, migration.checksum),
                )
            applied.append(migration.name)
        await connection.execute(
            "INSERT INTO log_head (shard, position) VALUES (%s, 0) ON CONFLICT DO NOTHING", (shard,)
        )
        await connection.execute(
            "SELECT ensure_partitions((SELECT position + 1 FROM log_head WHERE shard = %s), %s)",
            (shard, partition_events),
        )
    return applied
