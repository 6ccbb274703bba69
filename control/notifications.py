"""Wake-ups from Postgres: one listening connection a process, for everyone in it who waits for something.

A notification only saves time. It may be lost (a broken connection, a server that restarts), so that whoever waits
looks again every second or so; whoever listens while the connection comes back is woken too.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
import structlog

from domain.ids import CHANNEL_RUN_ENDED, CHANNEL_RUN_PENDING, CHANNEL_SCHEDULES, CHANNEL_SIGNAL
from store.database import APP_ROLE, psycopg_dsn

RECONNECT_SECONDS = 1.0
"""Pause before a lost connection is made anew."""

_log = structlog.get_logger("notifications")


class WakeUp:
    """One listener's side: set by notifications that came since it last woke."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the listener, now or when it next waits."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Return at the next notification (True) or when the time is over (False)."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Notifications:
    """Listens to ``channels`` of the database at ``url``, and goes on listening when the connection breaks."""

    def __init__(
        self,
        url: str,
        channels: Sequence[str] = (CHANNEL_RUN_PENDING, CHANNEL_RUN_ENDED, CHANNEL_SIGNAL, CHANNEL_SCHEDULES),
    ) -> None:
        self._dsn = psycopg_dsn(url)
        self._listeners: dict[str, dict[str | None, set[WakeUp]]] = {channel: {} for channel in channels}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen, in the background; the database need not be up."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen_forever(), name="notifications")

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    @contextmanager
    def listen(self, channel: str, payload: object = None) -> Iterator[WakeUp]:
        """A ``WakeUp`` that notifications of ``channel`` ring: only those with ``payload``, if one is given."""
        key = None if payload is None else str(payload)
        listeners = self._listeners[channel].setdefault(key, set())
        wake_up = WakeUp()
        listeners.add(wake_up)
        try:
            yield wake_up
        finally:
            listeners.discard(wake_up)
            if not listeners and self._listeners[channel].get(key) is listeners:
                del self._listeners[channel][key]

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except psycopg.OperationalError as error:
                _log.warning("the listening connection is lost", error=str(error).strip())
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=5,
            application_name="stepwell-notifications",
            options=f"-c role={APP_ROLE}",
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
        async with connection:
            for channel in self._listeners:
                await connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
            self._ring_all()
            async for notification in connection.notifies():
                self._ring(notification.channel, notification.payload)

    def _ring(self, channel: str, payload: str) -> None:
        listeners = self._listeners.get(channel, {})
        for key in (payload, None):
            for wake_up in listeners.get(key, ()):
                wake_up.ring()

    def _ring_all(self) -> None:
        """What was notified while nobody listened is unknown: let everyone look."""
        for listeners in self._listeners.values():
            for wake_ups in listeners.values():
                for wake_up in wake_ups:
                    wake_up.ring()
