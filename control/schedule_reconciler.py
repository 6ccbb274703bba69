"""Lets Temporal have the schedules that the rows say, and no others of this database.

Temporal lists ids quickly, but not all of what they stand for: what is new, changed or missing is put right at once,
all the rest is looked at closely every minute. Several reconcilers may run at once: each puts what the rows say.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

import structlog
from pydantic import ValidationError
from temporalio.client import Client
from temporalio.service import RPCError

from control.notifications import Notifications
from control.scheduling import TemporalSchedules, Wanted
from domain import ids
from domain.errors import InputInvalid, NotFound, Unavailable
from store import schedules as rows
from store.database import ALL_TENANTS, Database
from store.schedules import ScheduleRecord

POLL_SECONDS = 10.0
"""Pause between two looks, unless something is known to have changed."""

CLOSE_LOOK_SECONDS = 60.0
"""How often everything is looked at closely: what somebody changed by hand on Temporal is put back then."""

CLOSE_LOOK_SHARE = 0.1
"""Where there are so many schedules that this would take more of the time, it is done less often."""

CONCURRENT_CALLS = 10

_Seen = tuple[datetime, bool, bool]

_log = structlog.get_logger("schedules")


class ScheduleReconciler:
    """Puts this database's schedules on Temporal. Their runs are started on ``task_queue``."""

    def __init__(self, database: Database, temporal: Client, notifications: Notifications, task_queue: str) -> None:
        self._database = database
        self._schedules = TemporalSchedules(temporal)
        self._notifications = notifications
        self._task_queue = task_queue
        self._right: dict[str, _Seen] = {}
        """What the rows said when Temporal was last found, or put, right: by schedule id."""
        self._close_look_due = float("-inf")

    async def run_forever(self, poll_seconds: float = POLL_SECONDS) -> None:
        """Look now, whenever something has changed, and again and again. Ends by cancellation only."""
        with self._notifications.listen(ids.CHANNEL_SCHEDULES) as wake_up:
            while True:
                started = time.monotonic()
                close = started >= self._close_look_due
                try:
                    await self.reconcile_once(close_look=close)
                    if close:
                        took = time.monotonic() - started
                        self._close_look_due = started + max(CLOSE_LOOK_SECONDS, took / CLOSE_LOOK_SHARE)
                except (Unavailable, NotFound, RPCError) as error:
                    _log.warning("cannot bring schedules to Temporal", error=str(error))
                await wake_up.wait(poll_seconds)

    async def reconcile_once(self, *, close_look: bool = True) -> int:
        """Put what differs right; how much that was. ``close_look``: also compare what has not changed here.

        Raises ``Unavailable``, and ``RPCError`` when Temporal does not list its schedules. What one schedule fails on
        is logged, and tried again the next time.
        """
        async with self._database.statements(ALL_TENANTS) as session:
            installation = await rows.installation(session)
        # First the list, then the rows: what is listed without a row has none any more, rather than none yet.
        listed = await self._schedules.ids(ids.schedules_of(installation))
        async with self._database.statements(ALL_TENANTS) as session:
            records = {ids.schedule_id(installation, each.tenant, each.id): each for each in await rows.every(session)}
        due = [
            schedule_id
            for schedule_id, record in records.items()
            if close_look or schedule_id not in listed or self._right.get(schedule_id) != _seen(record)
        ]
        self._right = {schedule_id: seen for schedule_id, seen in self._right.items() if schedule_id in records}
        changed = await _each(due, lambda schedule_id: self._put(schedule_id, records, installation))
        return changed + await _each(sorted(listed - records.keys()), self._remove)

    async def _put(self, schedule_id: str, records: Mapping[str, ScheduleRecord], installation: str) -> bool:
        record = records[schedule_id]
        try:
            changed = await self._schedules.put(Wanted.of(record, installation, self._task_queue))
        except (ValidationError, InputInvalid) as error:
            _log.error("a schedule cannot be understood", schedule=schedule_id, error=str(error))
            return False
        except RPCError as error:
            _log.error(
                "Temporal refuses a schedule", schedule=schedule_id, status=error.status.name, error=error.message
            )
            return False
        self._right[schedule_id] = _seen(record)
        if changed:
            _log.info("put a schedule on Temporal", schedule=schedule_id, process=record.process)
        return changed

    async def _remove(self, schedule_id: str) -> bool:
        removed = await self._schedules.remove(schedule_id)
        if removed:
            _log.info("removed a schedule from Temporal", schedule=schedule_id)
        return removed


def _seen(record: ScheduleRecord) -> _Seen:
    """What tells that a row has changed, or that its process was switched on or off."""
    return record.updated_at, record.is_active, record.is_startable


async def _each(schedule_ids: Sequence[str], work: Callable[[str], Awaitable[bool]]) -> int:
    """How many of the schedules ``work`` changed. Raises what it raises, once all have been tried."""
    slots = asyncio.Semaphore(CONCURRENT_CALLS)

    async def one(schedule_id: str) -> bool:
        async with slots:
            return await work(schedule_id)

    done = await asyncio.gather(*map(one, schedule_ids), return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return sum(each is True for each in done)
