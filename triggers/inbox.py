"""The inbox's own loop: asks the triggers of events that are to be asked again, and forgets old events."""

import asyncio
import time
from datetime import timedelta
from typing import Final

import structlog

from domain.errors import Unavailable
from store import events
from store.database import ALL_TENANTS, Database
from store.tables.base import now
from triggers.dispatcher import Dispatcher

POLL_SECONDS: Final = 1.0
FORGET_SECONDS: Final = 600.0
"""How often old events are looked for."""

FORGET_BATCH: Final = 1000

_log = structlog.get_logger("inbox")


class Inbox:
    """Looks after the events of all tenants. ``retention``: how long an event is kept after it was received."""

    def __init__(self, database: Database, dispatcher: Dispatcher, *, retention: timedelta) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._retention = retention

    async def run_forever(self) -> None:
        """Ask and forget, again and again. Ends by cancellation only."""
        forget_at = 0.0
        while True:
            try:
                while await self.ask_next():
                    pass
                if time.monotonic() >= forget_at:
                    await self.forget()
                    forget_at = time.monotonic() + FORGET_SECONDS
            except Unavailable as error:
                _log.warning("cannot look after the inbox", error=str(error))
            await asyncio.sleep(POLL_SECONDS)

    async def ask_next(self) -> bool:
        """Ask the triggers of the oldest pending event. False: there is none."""
        async with self._database.session(ALL_TENANTS) as session:
            row = await events.next_pending(session)
            if row is None:
                return False
            await self._dispatcher.replay_in(session, row)
            return True

    async def forget(self) -> int:
        """Delete the events that are older than the retention; how many."""
        gone = 0
        while True:
            async with self._database.statements(ALL_TENANTS) as session:
                some = await events.forget(session, before=now() - self._retention, batch=FORGET_BATCH)
            gone += some
            if some < FORGET_BATCH:
                return gone
