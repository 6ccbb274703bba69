"""Child processes that are never lost: they die with their parent, or are found and stopped at the next start.

A running child holds a lock on ``<name>.pid`` that its own children inherit. So a free lock proves that nothing of it
is left, whatever process ids have been reused since.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from domain.errors import Unavailable
from workers.embedded import spawn

MINIMUM_FREE_BYTES = 64 * 1024 * 1024
"""Below this much free space a server is not started: it would damage itself or hang."""

_POLL_SECONDS = 0.02
_LOG_KEEP_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class User:
    """Whom a child runs as instead of root. ``capability``: the Linux capability that it keeps, by its number."""

    uid: int
    gid: int
    capability: int | None = None


class ChildProcess:
    """One program, run below this process.

    It gets a session of its own, so that Ctrl-C in a terminal reaches only the parent, which stops its children in
    order. ``stop_signal`` asks it to end; Linux also sends it when the parent dies.
    """

    def __init__(self, name: str, *, run_dir: Path, log_file: Path, stop_signal: signal.Signals) -> None:
        self.name = name
        self.log_file = log_file
        self._pid_file = run_dir / f"{name}.pid"
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    def start(
        self, command: Sequence[str], *, env: Mapping[str, str], user: User | None = None, cwd: Path = Path("/")
    ) -> None:
        """Start ``command`` (an absolute path and its arguments); its output is added to the log file.

        The folders must exist, and ``stop_leftover`` must have been called.
        """
        lock = _locked(self._pid_file)
        if lock is None:
            raise Unavailable(f"{self.name} is still running (see {self._pid_file})")
        try:
            _shorten(self.log_file)
            with self.log_file.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603  # the command is ours
                    [*_prefix(self._stop_signal, user), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=dict(env),
                    pass_fds=[lock],
                    start_new_session=True,
                )
            os.truncate(lock, 0)
            os.write(lock, str(self._process.pid).encode())
        finally:
            os.close(lock)

    async def wait(self) -> int:
        """Wait for its end and return its exit code."""
        while (code := self.exit_code) is None:  # noqa: ASYNC110  # no event tells of it
            await asyncio.sleep(_POLL_SECONDS)
        return code

    async def stop(self, *, patience: timedelta = timedelta(seconds=10)) -> None:
        """Ask it to end, wait, and kill it when it does not. Safe to repeat."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
        await self._until_gone(self._process.pid, patience)
        self._process.wait()
        self._pid_file.unlink(missing_ok=True)

    async def stop_leftover(self, *, patience: timedelta = timedelta(seconds=10)) -> bool:
        """Stop what an earlier parent left running. Returns whether there was something."""
        if not self._pid_file.exists() or self._is_gone():
            return False
        content = self._pid_file.read_text()
        pid = int(content) if content.isdigit() else 0
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, self._stop_signal)
        await self._until_gone(pid, patience)
        return True

    def log_tail(self, lines: int = 8) -> str:
        """The last lines of its log, for an error message."""
        try:
            text = self.log_file.read_text(errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"

    async def _until_gone(self, pid: int, patience: timedelta) -> None:
        """Wait until the process and its children are gone; kill its group half a patience after the deadline."""
        deadline = asyncio.get_running_loop().time() + patience.total_seconds()
        killed = False
        while not self._is_gone():
            await asyncio.sleep(_POLL_SECONDS)
            if self._process is not None:
                self._process.poll()
            if asyncio.get_running_loop().time() < deadline:
                continue
            if killed or not pid:
                raise Unavailable(f"{self.name} does not end; stop process {pid or '?'} by hand")
            killed = True
            deadline += patience.total_seconds() / 2
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def _is_gone(self) -> bool:
        lock = _locked(self._pid_file)
        if lock is None:
            return False
        os.close(lock)
        return True


def _prefix(death_signal: signal.Signals, user: User | None) -> list[str]:
    who = f"{user.uid}:{user.gid}" if user else "-"
    capability = str(user.capability) if user and user.capability is not None else "-"
    return [sys.executable, "-I", "-S", spawn.__file__, str(os.getpid()), str(int(death_signal)), who, capability]


def _locked(pid_file: Path) -> int | None:
    """A descriptor that holds the lock of ``pid_file``, or ``None`` when another process holds it."""
    descriptor = os.open(pid_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _shorten(log_file: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if log_file.stat().st_size > _LOG_KEEP_BYTES:
            log_file.replace(log_file.with_suffix(".log.1"))


def clean_environment(*forbidden_prefixes: str) -> dict[str, str]:
    """This process's environment without the variables that would turn a child elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(forbidden_prefixes)}


def require_space(directory: Path) -> None:
    """Raise ``Unavailable`` when the disk of ``directory`` is nearly full or cannot be written."""
    free = shutil.disk_usage(directory).free
    if free < MINIMUM_FREE_BYTES:
        raise Unavailable(
            f"only {free // 1024**2} MB are free on the disk of {directory}, "
            f"at least {MINIMUM_FREE_BYTES // 1024**2} MB are needed: make room or set STEPWELL_DATA_DIR"
        )


def make_directory(directory: Path) -> Path:
    """Make ``directory`` (and its parents) if absent, for the owner alone. Raises ``Unavailable`` when it cannot."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (directory / ".writable").open("wb") as probe:
            probe.write(b"\0")
        (directory / ".writable").unlink()
    except OSError as error:
        raise Unavailable(
            f"{directory} cannot be written ({error.strerror}): mend its permissions, make room, "
            "or set STEPWELL_DATA_DIR to another folder"
        ) from error
    return directory
