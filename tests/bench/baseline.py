"""What Foldwork's workflows are compared with: programs in `baselines/`, each in a virtual environment of its own below the user's cache.

Nothing of theirs is a dependency of ours. The environment is made once for a list of requirements, from PyPI.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, urlencode

import orjson
from psycopg import conninfo

from tests.bench.baselines.steady_load import Measured

PROGRAMS = Path(__file__).parent / "baselines"
INSTALL_S_MAX = 600.0
MEASURE_S_MAX = 180.0
COMPLETE = "complete"
"""A file that says that everything was installed."""


class Unmeasured(Exception):
    """A baseline could not be installed, or did not run to its end."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A program in `baselines/` and the exact packages that it needs."""

    name: str
    program: str
    requirements: tuple[str, ...]


def environment_of(baseline: Baseline) -> Path:
    """Where its environment is: another one for other packages, another Python or another checkout."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_for = "\n".join((*baseline.requirements, sys.version, sys.base_prefix))
    return cache / "foldwork-bench" / f"{baseline.name.lower()}-{sha256(made_for.encode()).hexdigest()[:12]}"


def as_url(database_url: str) -> str:
    """A connection string as a URL, which every client of Postgres understands; a socket's folder goes into the query."""
    parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(database_url).items() if value is not None}
    user, password, database = (quote(parts.pop(name, ""), safe="") for name in ("user", "password", "dbname"))
    secret = f":{password}" if password else ""
    return f"postgresql://{user}{secret}@/{database}?{urlencode(parts)}"


async def measure_baseline(baseline: Baseline, database_url: str, in_flight: int) -> Measured:
    """Install what is not there yet and measure on an empty database. Raises Unmeasured."""
    environment = environment_of(baseline)
    python = environment / "bin" / "python"
    try:
        if not (environment / COMPLETE).exists():
            await _run(INSTALL_S_MAX, sys.executable, "-m", "venv", "--clear", str(environment))
            install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            await _run(INSTALL_S_MAX, str(python), *install, *baseline.requirements)
            (environment / COMPLETE).touch()
        program = str(PROGRAMS / baseline.program)
        printed = await _run(MEASURE_S_MAX, str(python), program, as_url(database_url), str(in_flight))
        return Measured(**orjson.loads(printed.splitlines()[-1]))
    except (OSError, TimeoutError, IndexError, ValueError) as broken:
        raise Unmeasured(f"{type(broken).__name__}: {broken}"[:200]) from broken


async def _run(within_s: float, *arguments: str) -> bytes:
    """What a program prints. Raises Unmeasured with its last words if it fails, TimeoutError if it is too slow."""
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(*arguments, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(within_s):
            printed, complaints = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    if running.returncode != 0:
        words = complaints.decode(errors="replace").strip().splitlines() or ["no word of why"]
        raise Unmeasured(words[-1][:200])
    return printed
