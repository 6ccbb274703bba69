"""Keeping the parts of a development stack up: what ends by itself is started again, ever more slowly."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from domain.errors import StepwellError
from workers.embedded.processes import ChildProcess

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 60.0
"""After this long the next end counts as a first one again."""


class Part(Protocol):
    """Something that is started, may end by itself, and is stopped."""

    async def start(self) -> object:
        """Start it; return when it works."""

    async def wait(self) -> int:
        """Wait until it ends and return its exit code."""

    async def stop(self) -> None:
        """Stop it. Safe to repeat."""


class Program:
    """A part that is a program of ours, as a child process."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        env: Mapping[str, str],
        patience: timedelta = timedelta(seconds=15),
    ) -> None:
        self.child = ChildProcess(
            name, run_dir=directory, log_file=directory / f"{name}.log", stop_signal=signal.SIGTERM
        )
        self._command = command
        self._env = env
        self._patience = patience

    async def start(self) -> None:
        """Start the program, after stopping what an earlier stack left of it."""
        await self.child.stop()
        await self.child.stop_leftover()
        self.child.start(self._command, env=self._env, cwd=Path.cwd())

    async def wait(self) -> int:
        """Wait until it ends and return its exit code."""
        return await self.child.wait()

    async def stop(self) -> None:
        """Ask it to end and wait for that."""
        await self.child.stop(patience=self._patience)


@contextlib.asynccontextmanager
async def kept_up(name: str, part: Part, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Start ``part``, start it again whenever it ends, and stop it at the end. ``tell`` is told what happens."""
    try:
        await part.start()
        keeper = asyncio.create_task(_keep_up(name, part, tell), name=f"keep up {name}")
        try:
            yield
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
    finally:
        await part.stop()


async def _keep_up(name: str, part: Part, tell: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    pause = _FIRST_PAUSE_SECONDS
    while True:
        since = loop.time()
        code = await part.wait()
        if loop.time() - since > _STEADY_SECONDS:
            pause = _FIRST_PAUSE_SECONDS
        tell(f"{name} ended unexpectedly ({_reason(code)}); starting it again in {pause:.0f} s")
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        try:
            await part.start()
        except (StepwellError, OSError) as error:
            tell(f"{name}: {error}")
        else:
            tell(f"{name} is up again")


def _reason(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
